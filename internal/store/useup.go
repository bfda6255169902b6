package store

import (
	"fmt"
	"strings"

	"moneyer/internal/authority"
)

// useUpChunk is the most keys that one statement inserts. Smaller numbers go in
// powers of two, so that few statements are ever prepared.
const useUpChunk = 64

type useKey = [32]byte

// useUp marks the keys of a batch as used and sets lost on each append whose key
// had been used before, by an earlier transaction or earlier in this batch.
func (t *tx) useUp(batch []*appending) error {
	first := make(map[useKey]*appending, len(batch))
	var contenders, repeaters []*appending
	for _, a := range batch {
		a.lost = nil
		switch {
		case a.use == nil:
		case first[a.use.Key] == nil:
			first[a.use.Key] = a
			contenders = append(contenders, a)
		default:
			repeaters = append(repeaters, a)
		}
	}
	for size := useUpChunk; len(contenders) > 0; {
		for size > len(contenders) {
			size /= 2
		}
		if err := t.insertKeys(contenders[:size]); err != nil {
			return err
		}
		contenders = contenders[size:]
	}
	for _, a := range repeaters {
		winner := first[a.use.Key]
		if a.lost = winner.lost; a.lost == nil {
			a.lost = &authority.UsedError{Sealed: winner.use.Sealed}
		}
	}
	return nil
}

// insertKeys inserts the keys that are not there yet and sets lost on the others.
func (t *tx) insertKeys(contenders []*appending) error {
	args := make([]any, 0, 3*len(contenders))
	for _, a := range contenders {
		sealed := a.use.Sealed
		if sealed == nil {
			sealed = []byte{}
		}
		args = append(args, a.use.Key[:], ceilMilli(a.use.Until), sealed)
	}
	won := make(map[useKey]bool, len(contenders))
	err := t.list(insertUseUp(len(contenders)), args, func(scan func(...any) error) error {
		var key []byte
		if err := scan(&key); err != nil {
			return err
		}
		won[useKey(key)] = true
		return nil
	})
	if err != nil || len(won) == len(contenders) {
		return err
	}
	for _, a := range contenders {
		if won[a.use.Key] {
			continue
		}
		a.lost = &authority.UsedError{}
		if err := t.row(`SELECT sealed FROM use_up WHERE key = $1`, []any{a.use.Key[:]}, []any{&a.lost.Sealed}); err != nil {
			return err
		}
	}
	return nil
}

// insertUseUp is the statement that inserts n keys and returns those that were new.
func insertUseUp(n int) string {
	var b strings.Builder
	b.WriteString(`INSERT INTO use_up (key, until, sealed) VALUES `)
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "($%d, $%d, $%d)", 3*i+1, 3*i+2, 3*i+3)
	}
	b.WriteString(` ON CONFLICT DO NOTHING RETURNING key`)
	return b.String()
}
