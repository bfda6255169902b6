package ledger

import (
	"cmp"
	"slices"
)

// VerifyReport is what a walk along a whole ledger found.
type VerifyReport struct {
	// Chains are those of the ledger, and those that a checkpoint names and that are
	// gone, by their numbers.
	Chains []ChainReport
	// First, Last and Head are those of the only chain; where there are several, zero.
	First, Last int64
	Head        Hash
	// Broken and How are those of the first chain that is broken; 0 means none.
	Broken int64
	How    string
	// Checkpoints were found in all chains, and their signatures were good if they
	// are Signed. Else nobody knew the key.
	Checkpoints int64
	Signed      bool
}

// ChainReport is what was found of one chain.
type ChainReport struct {
	Chain int64
	// First and Last are the entries that the chain holds; 0 when it holds none. Of
	// a broken chain, Last is how far its entries follow from each other.
	First, Last int64
	// Head is the chain after Last. Whoever noted an earlier head elsewhere can
	// tell from it that no entry was taken off the end.
	Head Hash
	// Confirmed is the last entry that a checkpoint names; 0 means none.
	Confirmed int64
	// Broken is the first entry that is not as it was recorded; 0 means none.
	Broken int64
	// How says in what way it is broken.
	How string
}

// Report sums up what was found of all chains, which it sorts.
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
