package admin

import (
	"bufio"
	"encoding/json"
	"math"
	"net/http"
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

// readLedger streams the entries that the query selects, chain after chain. After
// an error the last line is a Failure.
func (a *API) readLedger(c *call) error {
	var q ledger.Query
	err := c.query(parameters{
		"after":       positions(&q.After),
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
	q.Correlation = registry.MaskCardNumbers(q.Correlation) // as it was recorded
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

func (a *API) verifyLedger(c *call) error {
	if err := withoutDeadlines(http.NewResponseController(c.w)); err != nil {
		return err
	}
	report, err := a.Verify(c.r.Context())
	return c.outcome(adminapi.ShowVerified(&report, a.CheckpointKey), err)
}

func (a *API) showCheckpointKey(c *call) error {
	return c.reply(adminapi.CheckpointKey{Alg: "Ed25519", Key: adminapi.ShowCheckpointKey(a.CheckpointKey)})
}
