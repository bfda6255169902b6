package ledger

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// ReadHeads reads heads that were noted outside of the ledger, and sorts them by their
// entries. A line is a line of JSON of a server's log, of which the member "heads" counts,
// or heads as FormatHeads writes them. Other lines of JSON and blank lines are skipped. It
// is an error if there are no heads.
func ReadHeads(in io.Reader) ([]Head, error) {
	var all []Head
	lines := linesOf(in)
	for n := 1; lines.Scan(); n++ {
		heads, err := notedHeads(bytes.TrimSpace(lines.Bytes()))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		all = append(all, heads...)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, errors.New("there are no heads of a ledger in it")
	}
	slices.SortFunc(all, func(a, b Head) int { return cmp.Or(cmp.Compare(a.Seq, b.Seq), bytes.Compare(a.Hash[:], b.Hash[:])) })
	return slices.Compact(all), nil
}

func notedHeads(line []byte) ([]Head, error) {
	if len(line) == 0 {
		return nil, nil
	}
	text := string(line)
	if line[0] == '{' {
		if !bytes.Contains(line, []byte(`"heads"`)) {
			return nil, nil
		}
		var logged struct{ Heads string }
		if err := json.Unmarshal(line, &logged); err != nil {
			return nil, fmt.Errorf("not a line of the log: %w", err)
		}
		if text = logged.Heads; text == "" {
			return nil, nil
		}
	}
	heads, err := ParseHeads(text)
	if err != nil {
		return nil, fmt.Errorf("want a line of the server's log in JSON, or heads in the form CHAIN-N:HASH: %w", err)
	}
	return heads, nil
}
