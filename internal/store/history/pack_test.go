package history

import (
	"errors"
	"testing"

	"moneyer/internal/store/engine"
)

// TestUnpackIsBounded: a small row cannot make its reader take memory without bound.
func TestUnpackIsBounded(t *testing.T) {
	p, err := NewPacker()
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]error{1: nil, maxLines: nil, maxLines + 1: errTooManyLines} {
		lines, err := p.unpack(p.pack(nil, make([]engine.Line, n)))
		if !errors.Is(err, want) || want == nil && len(lines) != n {
			t.Errorf("%d lines: %d, %v, want %v", n, len(lines), err, want)
		}
	}
	if _, err := p.unpack(p.encoder.EncodeAll(make([]byte, maxText+1), nil)); err == nil {
		t.Error("a text beyond the bound was unpacked")
	}
}
