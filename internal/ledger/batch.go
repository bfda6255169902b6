package ledger

import (
	"bytes"
	"crypto/sha256"
	"fmt"
)

// Batch is consecutive entries of one chain that are not yet verified: a row of a store, or
// a line of an export.
type Batch struct {
	// First is the number of its first entry, Count how many entries it claims to have.
	First, Count int64
	// Lines are their canonical lines. Unreadable is why they could not be read.
	Lines      [][]byte
	Unreadable error
	// Previous is the hash before the first entry, Last the one after the last.
	Previous, Last []byte
	// Marks are the first MarkSize bytes of the hash after each entry, or after some first
	// entries. They identify a changed entry.
	Marks []byte
}

// MarkSize is the number of bytes of each hash that are stored to identify a broken entry.
// The hash after the last entry proves that the batch is intact.
const MarkSize = 4

// BrokenError identifies an entry that is not as it was recorded.
type BrokenError struct {
	Seq int64
	How string
}

func (e *BrokenError) Error() string {
	return fmt.Sprintf("ledger entry %s is broken: %s", ShowSeq(e.Seq), e.How)
}

func brokenf(seq int64, format string, args ...any) *BrokenError {
	return &BrokenError{Seq: seq, How: fmt.Sprintf(format, args...)}
}

// Hashes appends the hash after each entry to dst, up to the first entry that is not
// as it was recorded. The error is a [*BrokenError] that identifies that entry.
func (b *Batch) Hashes(dst []Hash) ([]Hash, error) {
	hashes, broken := b.hashes(dst)
	if broken != nil {
		return hashes, broken
	}
	return hashes, nil
}

func (b *Batch) hashes(dst []Hash) ([]Hash, *BrokenError) {
	const changed = "it was changed: its hash is not that of its content"
	if b.Unreadable != nil {
		return dst, b.unreadable()
	}
	if len(b.Previous) != sha256.Size {
		return dst, brokenf(b.First, "its link to the entry before is not a hash")
	}
	hash := Hash(b.Previous)
	for i := range int(min(b.Count, int64(len(b.Lines)))) {
		hash = ChainHash(hash, b.Lines[i])
		if len(b.Marks) >= (i+1)*MarkSize && !bytes.Equal(hash[:MarkSize], b.Marks[i*MarkSize:][:MarkSize]) {
			return dst, brokenf(b.First+int64(i), changed)
		}
		dst = append(dst, hash)
	}
	switch n := int64(len(b.Lines)); {
	case n < b.Count:
		return dst, brokenf(b.First+n, "its line is missing")
	case n > b.Count:
		return dst, brokenf(b.First+max(b.Count, 1)-1, "lines were added after it")
	case bytes.Equal(b.Last, hash[:]):
		return dst, nil
	case n == 1:
		return dst[:len(dst)-1], brokenf(b.First, changed)
	}
	return dst[:len(dst)-len(b.Lines)], brokenf(b.First, "its batch, up to entry %s, does not lead to the hash at its end", ShowSeq(b.First+b.Count-1))
}

func (b *Batch) unreadable() *BrokenError {
	if b.Count == 1 {
		return brokenf(b.First, "it cannot be read: %v", b.Unreadable)
	}
	return brokenf(b.First, "it cannot be read, nor the rest of its batch: %v", b.Unreadable)
}
