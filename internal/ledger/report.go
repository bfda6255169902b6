package ledger

import (
	"cmp"
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
	// Checkpoints is the number of checkpoints in all chains. Signed means that a key was
	// given to verify their signatures.
	Checkpoints int64
	Signed      bool
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
	// Confirmed is the last entry that a checkpoint names; 0 means none.
	Confirmed int64
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
