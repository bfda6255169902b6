package history

import (
	"context"

	"moneyer/internal/ledger"
	"moneyer/internal/store/engine"
)

// Chain is what the ledger holds of one chain: the entries from First to the Head.
type Chain struct {
	Number, First int64
	LastBatch     int64 // the first entry of the last batch
	Head          ledger.Head
}

// Chains reads the chains and their ends in one snapshot, so that every entry which a
// checkpoint in one chain names in another is included.
func Chains(ctx context.Context, reads *engine.Reader) ([]Chain, error) {
	var chains []Chain
	err := reads.List(ctx, `
		WITH RECURSIVE chain (first) AS (
			SELECT min(first_seq) FROM ledger_batch WHERE first_seq >= 0
			UNION ALL
			SELECT (SELECT min(first_seq) FROM ledger_batch WHERE first_seq >= ((chain.first >> 40) + 1) << 40)
			FROM chain WHERE chain.first IS NOT NULL
		), span (first, last) AS MATERIALIZED (
			SELECT first, (SELECT max(first_seq) FROM ledger_batch
				WHERE first_seq >= chain.first AND first_seq < ((chain.first >> 40) + 1) << 40)
			FROM chain WHERE first IS NOT NULL
		)
		SELECT first, last, (SELECT count FROM ledger_batch WHERE first_seq = span.last LIMIT 1),
			(SELECT ledger_batch.last FROM ledger_batch WHERE first_seq = span.last LIMIT 1)
		FROM span ORDER BY first`,
		nil, func(scan func(...any) error) error {
			var c Chain
			var count int64
			var hash []byte
			if err := scan(&c.First, &c.LastBatch, &count, &hash); err != nil {
				return err
			}
			c.Number, c.Head.Seq = ledger.ChainOf(c.First), c.LastBatch+count-1
			copy(c.Head.Hash[:], hash)
			chains = append(chains, c)
			return nil
		})
	return chains, err
}
