package ledger

import (
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
)

// A ledger has one chain for each process that writes it concurrently. The number of an
// entry is chain<<40 | n, where n counts the entries of the chain from 1 without a gap. A
// file has only chain 0, so its numbers are n.

// ChainShift is the number of bits for the place of an entry in its chain.
const ChainShift = 40

// MaxChain is the greatest chain number: greater entry numbers are not exact in JSON
// parsers that use float64.
const MaxChain = 1<<(53-ChainShift) - 1

// Numbered returns the number of a chain's n-th entry; n 0 is before the first.
func Numbered(chain, n int64) int64 { return chain<<ChainShift | n }

// ChainOf returns the chain of an entry.
func ChainOf(seq int64) int64 { return seq >> ChainShift }

// PlaceOf returns the place of an entry in its chain, from 1.
func PlaceOf(seq int64) int64 { return seq & (1<<ChainShift - 1) }

// ShowSeq formats the number of an entry: "n" in chain 0, otherwise "chain-n".
func ShowSeq(seq int64) string {
	if ChainOf(seq) == 0 {
		return strconv.FormatInt(seq, 10)
	}
	return fmt.Sprintf("%d-%d", ChainOf(seq), PlaceOf(seq))
}

// ParseSeq parses the output of ShowSeq, or a plain number.
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

// Hash links an entry to all that come before it in its chain.
type Hash = [sha256.Size]byte

// ChainHash links an entry's canonical line to the hash of the entry before it.
// The predecessor of a chain's first entry is the zero hash.
func ChainHash(previous Hash, line []byte) Hash {
	h := sha256.New()
	h.Write(previous[:])
	h.Write(line)
	var sum Hash
	h.Sum(sum[:0])
	return sum
}

// Head is the end of a chain at some time.
type Head struct {
	Seq  int64 // the last entry
	Hash Hash  // the chain hash of that entry
}
