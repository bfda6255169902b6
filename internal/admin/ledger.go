package admin

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
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

// appendRecord appends the line of a record. Entry is copied, not encoded anew:
// its octets are what the chain hashes.
func appendRecord(dst []byte, r *authority.Record) []byte {
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendInt(dst, r.Seq, 10)
	dst = append(dst, `,"previous":"`...)
	dst = hex.AppendEncode(dst, r.Previous[:])
	dst = append(dst, `","hash":"`...)
	dst = hex.AppendEncode(dst, r.Hash[:])
	dst = append(dst, `","entry":`...)
	dst = append(dst, r.Line...)
	return append(dst, "}\n"...)
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
		line = appendRecord(line[:0], r)
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
