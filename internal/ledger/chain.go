package ledger

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A ledger has a chain for each process that writes it at one time. The number of
// an entry carries both: chain<<40 | n, where n counts the entries of the chain
// from 1 without a gap. The one chain of a file is chain 0, so its numbers are n.

// ChainShift parts the chain from the place of an entry in it.
const ChainShift = 40

// MaxChain is the last chain that there may be: beyond it numbers are no longer
// exact where JSON's are floats.
const MaxChain = 1<<(53-ChainShift) - 1

// Numbered is the number of a chain's n-th entry; n 0 stands before the first.
func Numbered(chain, n int64) int64 { return chain<<ChainShift | n }

// ChainOf tells in which chain an entry is.
func ChainOf(seq int64) int64 { return seq >> ChainShift }

// PlaceOf tells the how manieth of its chain an entry is.
func PlaceOf(seq int64) int64 { return seq & (1<<ChainShift - 1) }

// ShowSeq shows the number of an entry to people: "n" in chain 0, else "chain-n".
func ShowSeq(seq int64) string {
	if ChainOf(seq) == 0 {
		return strconv.FormatInt(seq, 10)
	}
	return fmt.Sprintf("%d-%d", ChainOf(seq), PlaceOf(seq))
}

// ParseSeq reads a number as ShowSeq shows it, or as the plain number that it is.
func ParseSeq(text string) (int64, error) {
	chainText, nText, dashed := strings.Cut(text, "-")
	if !dashed {
		chainText, nText = "0", text
	}
	chain, err1 := strconv.ParseUint(chainText, 10, 63)
	n, err2 := strconv.ParseUint(nText, 10, 63)
	seq := Numbered(int64(chain), int64(n))
	switch {
	case err1 != nil || err2 != nil, ChainOf(seq) > MaxChain, chain > MaxChain, dashed && PlaceOf(seq) != int64(n):
		return 0, fmt.Errorf("%.64q is no number of a ledger entry: want one such as 1201, or 3-1201 in chain 3", text)
	}
	return seq, nil
}

// Head is the end of a chain at some time.
type Head struct {
	Seq  int64             // the last entry
	Hash [sha256.Size]byte // the chain after it
}

// FormatHeads writes heads as one text: "CHAIN-N:HASH", the hash in hex, in the
// order of their chains and parted by spaces.
func FormatHeads(heads []Head) string {
	var text []byte
	for i := range heads {
		if i > 0 {
			text = append(text, ' ')
		}
		text = fmt.Appendf(text, "%d-%d:%x", ChainOf(heads[i].Seq), PlaceOf(heads[i].Seq), heads[i].Hash)
	}
	return string(text)
}

// ParseHeads reads what FormatHeads wrote, and no other spelling of it.
func ParseHeads(text string) ([]Head, error) {
	var heads []Head
	for word := range strings.SplitSeq(text, " ") {
		seqText, hashText, _ := strings.Cut(word, ":")
		seq, err := ParseSeq(seqText)
		if err != nil {
			return nil, err
		}
		hash, err := hex.DecodeString(hashText)
		if err != nil || len(hash) != sha256.Size {
			return nil, fmt.Errorf("the hash of entry %s is not 32 octets in hex", ShowSeq(seq))
		}
		if PlaceOf(seq) == 0 || len(heads) > 0 && ChainOf(heads[len(heads)-1].Seq) >= ChainOf(seq) {
			return nil, fmt.Errorf("entry %s is no head, or out of order", ShowSeq(seq))
		}
		heads = append(heads, Head{Seq: seq, Hash: [sha256.Size]byte(hash)})
	}
	if FormatHeads(heads) != text {
		return nil, errors.New("the heads are not spelt as a checkpoint spells them")
	}
	return heads, nil
}

// Checkpoint returns the heads that a checkpoint names; without an error, none if
// the record holds something else. Its signature must be that of key, unless key
// is nil.
func (r *Record) Checkpoint(key ed25519.PublicKey) ([]Head, error) {
	if !bytes.HasPrefix(r.Line, []byte(`{"kind":"`+KindCheckpoint+`"`)) {
		return nil, nil
	}
	e, err := r.Entry()
	if err != nil {
		return nil, err
	}
	signature, err := base64.RawURLEncoding.Strict().DecodeString(e.Signature)
	if err != nil {
		return nil, fmt.Errorf("its signature is not base64url: %w", err)
	}
	if key != nil && !ed25519.Verify(key, e.CheckpointMessage(ChainOf(r.Seq)), signature) {
		return nil, errors.New("its signature is not by the checkpoint key")
	}
	return ParseHeads(e.Heads)
}

// VerifyReport is what a walk along a whole ledger found.
type VerifyReport struct {
	// Chains are those of the ledger, and those that a checkpoint names and that are
	// gone, by their numbers.
	Chains []ChainReport
	// First, Last and Head are those of the only chain; where there are several, zero.
	First, Last int64
	Head        [sha256.Size]byte
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
	Head [sha256.Size]byte
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

// CheckpointMessage is what a checkpoint in that chain signs: its time and heads.
func (e *Entry) CheckpointMessage(chain int64) []byte {
	at := appendTime(nil, e.Time)
	return fmt.Appendf(nil, "moneyer checkpoint v1\nchain %d\ntime %s\nheads %s\n", chain, at[1:len(at)-1], e.Heads)
}
