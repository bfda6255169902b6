package ledger

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Record is an entry with its position in the ledger. Its JSON is a line of an export:
//
//	{"seq":1,"previous":"<hex>","hash":"<hex>","entry":{...}}
type Record struct {
	// Seq is the entry's number, which holds its chain and its place there: see
	// ChainOf and PlaceOf.
	Seq int64
	// Line is the canonical line.
	Line []byte
	// Previous and Hash are the chain before and after this entry: Hash is the SHA-256
	// of the bytes of Previous followed by those of Line.
	Previous, Hash Hash
}

// MaxRecord bounds the line of a record, in bytes.
const MaxRecord = 1 << 20

// Entry decodes the record's line.
func (r *Record) Entry() (*Entry, error) {
	e := &Entry{}
	if err := json.Unmarshal(r.Line, e); err != nil {
		return nil, fmt.Errorf("ledger entry %s: %w", ShowSeq(r.Seq), err)
	}
	return e, nil
}

// AppendJSON appends the line of a record, without a line feed. The entry is copied and not
// re-encoded, because the chain hashes its bytes.
func (r *Record) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendInt(dst, r.Seq, 10)
	dst = append(dst, `,"previous":"`...)
	dst = hex.AppendEncode(dst, r.Previous[:])
	dst = append(dst, `","hash":"`...)
	dst = hex.AppendEncode(dst, r.Hash[:])
	dst = append(dst, `","entry":`...)
	dst = append(dst, r.Line...)
	return append(dst, '}')
}

// MarshalJSON is AppendJSON.
func (r Record) MarshalJSON() ([]byte, error) { return r.AppendJSON(nil), nil }

// UnmarshalJSON parses the output of MarshalJSON, or equivalent JSON.
func (r *Record) UnmarshalJSON(text []byte) error {
	var line struct {
		Seq      int64           `json:"seq"`
		Previous string          `json:"previous"`
		Hash     string          `json:"hash"`
		Entry    json.RawMessage `json:"entry"`
	}
	if err := json.Unmarshal(text, &line); err != nil {
		return fmt.Errorf("not a ledger entry: %w", err)
	}
	previous, err1 := hex.DecodeString(line.Previous)
	hash, err2 := hex.DecodeString(line.Hash)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("not a ledger entry: %w", err)
	}
	if len(previous) != len(r.Previous) || len(hash) != len(r.Hash) {
		return errors.New("not a ledger entry: its hashes are not 32 bytes")
	}
	*r = Record{Seq: line.Seq, Line: line.Entry, Previous: Hash(previous), Hash: Hash(hash)}
	return nil
}

// ParseRecord parses a line that AppendJSON wrote, and no other form. It does not verify the
// chain: see Verify.
func ParseRecord(line []byte) (*Record, error) {
	r := &Record{}
	if err := r.UnmarshalJSON(line); err != nil {
		return nil, err
	}
	if !bytes.Equal(r.AppendJSON(nil), line) {
		return nil, errors.New("not as the server writes an entry")
	}
	return r, nil
}
