package admin

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"moneyer/internal/authority"
)

// Record is a line of the ledger as the API streams it.
type Record struct {
	Seq int64 `json:"seq"`
	// Previous and Hash are the chain before and after the entry, in hex: Hash is
	// the SHA-256 of the octets of Previous followed by those of Entry.
	Previous string `json:"previous"`
	Hash     string `json:"hash"`
	// Entry is the canonical line, octet for octet.
	Entry json.RawMessage `json:"entry"`
}

// AppendRecord appends the one line that stands for a record, without a line
// feed. Entry is copied, not encoded anew: its octets are what the chain hashes.
func AppendRecord(dst []byte, r *authority.Record) []byte {
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

// ParseRecord reads a line that AppendRecord wrote, and no other spelling of it.
// Whether the record fits the chain is for the caller to see.
func ParseRecord(line []byte) (*authority.Record, error) {
	var shown Record
	if err := json.Unmarshal(line, &shown); err != nil {
		return nil, fmt.Errorf("not a ledger entry: %w", err)
	}
	r := &authority.Record{Seq: shown.Seq, Line: shown.Entry}
	if hex.DecodedLen(len(shown.Previous)) != len(r.Previous) || hex.DecodedLen(len(shown.Hash)) != len(r.Hash) {
		return nil, errors.New("not a ledger entry: its hashes are not 32 octets")
	}
	_, err1 := hex.Decode(r.Previous[:], []byte(shown.Previous))
	_, err2 := hex.Decode(r.Hash[:], []byte(shown.Hash))
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("not a ledger entry: %w", err)
	}
	if !bytes.Equal(AppendRecord(nil, r), line) {
		return nil, errors.New("not as the server writes an entry")
	}
	return r, nil
}

// readLedger streams the entries that the query selects. Trouble on the way is
// told by a last line that is a Failure.
func (a *API) readLedger(c *call) error {
	var q authority.Query
	err := c.query(parameters{
		"after":       number(&q.After, 0, math.MaxInt64),
		"since":       instant(&q.Since),
		"until":       instant(&q.Until),
		"kind":        word(&q.Kind),
		"issuer":      word(&q.Issuer),
		"client":      word(&q.Client),
		"correlation": word(&q.Correlation),
		"jti":         word(&q.JTI),
		"limit":       number(&q.Limit, 1, math.MaxInt32),
	})
	if err != nil {
		return err
	}
	if err := unhurried(http.NewResponseController(c.w)); err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	out := bufio.NewWriterSize(c.w, 64<<10)
	var line []byte
	err = a.Ledger.Entries(c.r.Context(), q, func(r *authority.Record) error {
		line = append(AppendRecord(line[:0], r), '\n')
		_, err := out.Write(line)
		return err
	})
	if err != nil {
		failure := Failure{Code: judge(err).Code, Description: a.told(c, err)}
		_ = json.NewEncoder(out).Encode(failure)
	}
	_ = out.Flush() // who has gone hears nothing
	return nil
}

// Verified is what verifying the ledger found, as the API shows it.
type Verified struct {
	Whole bool  `json:"whole"`
	First int64 `json:"first"`
	Last  int64 `json:"last"`
	// Head is the chain after Last, in hex. Note it elsewhere: a later ledger must
	// hold it.
	Head string `json:"head"`
	// Broken is the first entry that is not as it was recorded, and How in what way.
	Broken int64  `json:"broken,omitempty"`
	How    string `json:"how,omitempty"`
}

func (a *API) verifyLedger(c *call) error {
	if err := unhurried(http.NewResponseController(c.w)); err != nil {
		return err
	}
	v, err := a.Verify(c.r.Context())
	if err != nil {
		return err
	}
	return c.reply(Verified{Whole: v.Broken == 0, First: v.First, Last: v.Last, Head: hex.EncodeToString(v.Head[:]),
		Broken: v.Broken, How: v.How})
}
