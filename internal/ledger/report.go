package ledger

import (
	"cmp"
	"fmt"
	"slices"
)

// VerifyReport is the result of Verify.
type VerifyReport struct {
	// Chains are the chains of the ledger, and missing ones that a checkpoint names, sorted
	// by their numbers.
	Chains []ChainReport
	// First, Last and Head are those of the only chain; zero if there are several.
	First, Last int64
	Head        Hash
	// Broken and How are those of the first chain that is broken; 0 means none.
	Broken int64
	How    string
	// Unconfirmed says why a ledger that is not broken is not confirmed; empty if the
	// checkpoints of the server confirm it, but for the entries of the last minutes.
	Unconfirmed string
	// Checkpoints is the number of checkpoints in all chains. Signed means that a key was
	// given to verify their signatures.
	Checkpoints int64
	Signed      bool
	// Heads is the number of heads noted elsewhere that were compared. It does not count
	// those of entries that were pruned or are not in a partial export.
	Heads int64
}

// ChainReport is the result for one chain.
type ChainReport struct {
	Chain int64
	// First and Last are the first and last entry of the chain; 0 if it has none. Last of a
	// broken chain is the last entry before the break.
	First, Last int64
	// Head is the chain hash of Last. Compared with an earlier head that was stored
	// elsewhere, it proves that no entry was removed from the end.
	Head Hash
	// Confirmed is the last entry that a checkpoint names; 0 means none. Open is the number
	// of entries that no checkpoint confirms yet: those after Confirmed and after the
	// last checkpoint of the chain itself.
	Confirmed, Open int64
	// Pruned is the number of entries before First that are missing and that an anchor
	// names as pruned.
	Pruned int64
	// Broken is the first entry that is not as it was recorded; 0 means none.
	Broken int64
	// How says in what way it is broken.
	How string
}

// Report sorts the chains and returns the report on them.
func Report(chains []ChainReport) VerifyReport {
	slices.SortFunc(chains, func(a, b ChainReport) int { return cmp.Compare(a.Chain, b.Chain) })
	r := VerifyReport{Chains: chains}
	if len(chains) == 1 {
		r.First, r.Last, r.Head = chains[0].First, chains[0].Last, chains[0].Head
	}
	for i := range chains {
		if r.Broken == 0 {
			r.Broken, r.How = chains[i].Broken, chains[i].How
		}
	}
	return r
}

// report checks the remaining claims and the ends of the chains, and returns the report.
func (v *verifier) report() VerifyReport {
	stopped, newest := false, int64(0)
	for _, c := range v.chains {
		stopped = stopped || c.stopped
		newest = max(newest, c.succession.newest.at)
	}
	var chains []ChainReport
	for _, c := range v.chains {
		c.checkClaims()
		if !v.Partial && !stopped { // otherwise the anchor may be in a part that was not read
			c.checkStart()
		}
		if !stopped && c.broken == nil {
			c.checkSuccession(newest)
		}
		if c.first != 0 || c.broken != nil {
			chains = append(chains, c.report())
		}
	}
	r := Report(chains)
	r.Checkpoints, r.Signed, r.Heads = v.checkpoints, v.Key != nil, v.compared()
	if r.Broken == 0 {
		r.Unconfirmed = cmp.Or(r.unconfirmed(), v.unwritten())
	}
	return r
}

// checkSuccession fails for a chain with an entry that should have been confirmed by now,
// whose time is not known, or from which checkpoints were removed together with old entries.
func (c *chain) checkSuccession(newest int64) {
	s := &c.succession
	for _, broken := range []*BrokenError{s.checkAnchor(c.first), s.checkEnd(c.confirmed, newest)} {
		if broken != nil {
			c.fail(broken)
		}
	}
	if s.timeless != 0 {
		c.fail(brokenf(s.timeless, "it has no time"))
	}
}

// compared returns how many heads noted elsewhere are of entries that are not pruned.
func (v *verifier) compared() (n int64) {
	for i := range v.Heads {
		if c := v.chains[ChainOf(v.Heads[i].Seq)]; c == nil || v.Heads[i].Seq >= c.first-1 {
			n++
		}
	}
	return n
}

// unconfirmed returns why the whole ledger is not confirmed; empty if it is.
func (r *VerifyReport) unconfirmed() string {
	switch {
	case len(r.Chains) == 0:
		return "there are no entries"
	case r.Checkpoints == 0:
		return "there is no checkpoint"
	case !r.Signed:
		return "the signatures of the checkpoints were not checked, because no key was given"
	}
	for i := range r.Chains {
		if c := &r.Chains[i]; PlaceOf(c.First) != c.Pruned+1 {
			return "the entries before " + ShowSeq(c.First) + " are not in it"
		}
	}
	return ""
}

// unwritten returns that a chain has no checkpoint of its own: then no server vouches for its
// entries. Checkpoints of other chains name any chain that they find. A server begins its
// chain with a checkpoint.
func (v *verifier) unwritten() string {
	found := int64(-1)
	for _, c := range v.chains {
		if c.first != 0 && c.succession.last.number == 0 && (found < 0 || c.number < found) {
			found = c.number
		}
	}
	if found < 0 {
		return ""
	}
	return fmt.Sprintf("chain %d has no checkpoint of its own: its entries may not be by a server", found)
}

func (c *chain) report() ChainReport {
	r := ChainReport{Chain: c.number, First: c.first, Last: c.last, Head: c.head}
	covered := max(c.succession.last.Seq, c.first-1)
	if c.first <= c.confirmed.seq && c.confirmed.seq <= c.last {
		r.Confirmed = c.confirmed.seq
		covered = max(covered, c.confirmed.seq)
	}
	if r.Open = c.last - covered; c.anchored && c.first != 0 {
		r.Pruned = PlaceOf(c.first) - 1
	}
	if c.broken != nil {
		r.Broken, r.How = c.broken.Seq, c.broken.How
	}
	return r
}
