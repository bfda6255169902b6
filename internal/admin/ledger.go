package admin

import (
	"bufio"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"slices"
	"strings"

	"moneyer/internal/adminapi"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
)

// positions reads entry numbers separated by commas, at most one for each chain.
func positions(to *[]int64) func(string) error {
	return func(s string) error {
		chains := map[int64]bool{}
		for text := range strings.SplitSeq(s, ",") {
			seq, err := ledger.ParseSeq(text)
			if err != nil {
				return invalid("%v", err)
			}
			if chain := ledger.ChainOf(seq); chains[chain] {
				return invalid("want one position for a chain, and there are two for chain %d", chain)
			}
			chains[ledger.ChainOf(seq)] = true
			*to = append(*to, seq)
		}
		return nil
	}
}

// kindOf reads a kind of entry.
func kindOf(to *ledger.Kind) func(string) error {
	return func(s string) error {
		if *to = ledger.Kind(s); !slices.Contains(ledger.Kinds(), *to) {
			return invalid("want a kind of entry, one of %q", ledger.Kinds())
		}
		return nil
	}
}

// readLedger streams the entries that the query selects, chain after chain. After
// an error the last line is a Failure.
func (a *API) readLedger(c *call) error {
	var q ledger.Query
	err := c.query(parameters{
		"after":       positions(&q.After),
		"since":       instant(&q.Since),
		"until":       instant(&q.Until),
		"kind":        kindOf(&q.Kind),
		"issuer":      word(&q.Issuer),
		"client":      word(&q.Client),
		"correlation": word(&q.Correlation),
		"jti":         word(&q.JTI),
		"limit":       number(&q.Limit, 1, math.MaxInt32),
	})
	if err != nil {
		return err
	}
	q.Correlation = registry.MaskCardNumbers(q.Correlation) // as it was recorded
	if err := a.checkPositions(c, q.After); err != nil {
		return err
	}
	if err := withoutDeadlines(http.NewResponseController(c.w)); err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	out := bufio.NewWriterSize(c.w, 64<<10)
	var line []byte
	err = a.Ledger.Entries(c.r.Context(), q, func(r *ledger.Record) error {
		line = append(r.AppendJSON(line[:0]), '\n')
		_, err := out.Write(line)
		return err
	})
	if err != nil {
		failure := adminapi.Failure{Code: publicError(err).Code, Description: a.streamError(c, err)}
		_ = json.NewEncoder(out).Encode(failure)
	}
	_ = out.Flush() // an error means that the connection is closed
	return nil
}

// checkPositions refuses a position after the end of its chain: an export that goes on from
// there would lack entries, or is of another ledger.
func (a *API) checkPositions(c *call, after []int64) error {
	if len(after) == 0 {
		return nil
	}
	heads, err := a.Ledger.Heads(c.r.Context())
	if err != nil {
		return err
	}
	for _, seq := range after {
		chain := ledger.ChainOf(seq)
		i := slices.IndexFunc(heads, func(h ledger.Head) bool { return ledger.ChainOf(h.Seq) == chain })
		switch {
		case ledger.PlaceOf(seq) == 0:
		case i < 0:
			return invalid("entry %s is beyond the end: the ledger has no chain %d", ledger.ShowSeq(seq), chain)
		case seq > heads[i].Seq:
			return invalid("entry %s is beyond the end of its chain, which is entry %s", ledger.ShowSeq(seq), ledger.ShowSeq(heads[i].Seq))
		}
	}
	return nil
}

func (a *API) verifyLedger(c *call) error { return a.verify(c, nil) }

// maxHeads bounds the heads that are compared at once, in bytes: some 200,000 of them.
const maxHeads = 16 << 20

// verifyHeads verifies the ledger, and that heads which were noted elsewhere are in it.
func (a *API) verifyHeads(c *call) error {
	if err := requireMediaType(c.r, "text/plain"); err != nil {
		return err
	}
	heads, err := ledger.ReadHeads(http.MaxBytesReader(c.w, c.r.Body, maxHeads))
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return invalid("more than %d MiB of heads: compare them in parts, or with an export or a backup", maxHeads>>20)
	case err != nil:
		return invalid("heads: %v", err)
	}
	return a.verify(c, heads)
}

func (a *API) verify(c *call, heads []ledger.Head) error {
	if err := withoutDeadlines(http.NewResponseController(c.w)); err != nil {
		return err
	}
	report, err := a.Verify(c.r.Context(), heads)
	return c.outcome(adminapi.ShowVerified(&report, a.CheckpointKey), err)
}

func (a *API) showCheckpointKey(c *call) error {
	return c.reply(adminapi.CheckpointKey{Alg: "Ed25519", Key: adminapi.ShowCheckpointKey(a.CheckpointKey)})
}
