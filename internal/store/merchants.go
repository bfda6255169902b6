package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/store/engine"
)

// Merchant implements authority.Registry.
func (d *DB) Merchant(ctx context.Context, issuer, id string) (*registry.Merchant, error) {
	key := named{issuer, id}
	m, epoch, ok := d.cache.merchants.get(key)
	if ok && d.trusts() {
		return m, nil
	}
	var document []byte
	err := d.reads.Get(ctx, `SELECT document FROM merchant WHERE issuer = $1 AND id = $2`,
		[]any{issuer, id}, []any{&document})
	if err != nil {
		return nil, missing(err, "merchant", id)
	}
	m = &registry.Merchant{}
	if err := json.Unmarshal(document, m); err != nil {
		return nil, fmt.Errorf("merchant %q of issuer %q: %w", id, issuer, err)
	}
	d.cache.merchants.put(named{m.Issuer, m.ID}, m, epoch) // id may be a part of a whole request
	return m, nil
}

// Merchants lists an issuer's merchants whose IDs come after the given one, in
// the order of their IDs: at most limit, or [MaxPage].
func (d *DB) Merchants(ctx context.Context, issuer, after string, limit int) ([]registry.Merchant, error) {
	var merchants []registry.Merchant
	err := d.reads.List(ctx, `SELECT document FROM merchant WHERE issuer = $1 AND id > $2 ORDER BY id LIMIT $3`,
		[]any{issuer, after, page(limit)},
		func(scan func(...any) error) error {
			var document []byte
			if err := scan(&document); err != nil {
				return err
			}
			var m registry.Merchant
			err := json.Unmarshal(document, &m)
			merchants = append(merchants, m)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("merchants of issuer %q: %w", issuer, err)
	}
	return merchants, nil
}

// PutMerchants creates or replaces up to [MaxBulk] merchants, all or none, and
// records e with the change. A client that does not exist is an
// registry.ErrNotFound that names it.
func (d *DB) PutMerchants(ctx context.Context, merchants []registry.Merchant, e *ledger.Entry) error {
	if err := checkBulk(len(merchants)); err != nil {
		return err
	}
	documents := make([][]byte, len(merchants))
	for i := range merchants {
		var err error
		if documents[i], err = json.Marshal(&merchants[i]); err != nil {
			return fmt.Errorf("merchant %q: %w", merchants[i].ID, err)
		}
	}
	return d.change(ctx, e, func(t *tx) error {
		owners := map[named]error{}
		for i := range merchants {
			m := &merchants[i]
			t.changed(engine.ChangedMerchant, m.Issuer, m.ID)
			owner := named{m.Issuer, m.Client}
			if _, asked := owners[owner]; !asked {
				owners[owner] = t.exists("client", m.Client, `SELECT 1 FROM client WHERE issuer = $1 AND id = $2`, m.Issuer, m.Client)
			}
			if err := owners[owner]; err != nil {
				return fmt.Errorf("merchant %q: %w", m.ID, err)
			}
			err := t.Later(func(int64) error { return nil }, `INSERT INTO merchant (issuer, id, client, document) VALUES ($1, $2, $3, $4)
				ON CONFLICT (issuer, id) DO UPDATE SET client = excluded.client, document = excluded.document`,
				m.Issuer, m.ID, m.Client, documents[i])
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// RemoveMerchant removes a merchant. One that does not exist is
// registry.ErrNotFound, one that still has card tokens is registry.ErrConflict.
func (d *DB) RemoveMerchant(ctx context.Context, issuer, id string, e *ledger.Entry) error {
	err := d.change(ctx, e, func(t *tx) error {
		t.changed(engine.ChangedMerchant, issuer, id)
		var token string
		err := t.Row(`SELECT id FROM card_token WHERE issuer = $1 AND merchant = $2 LIMIT 1`,
			[]any{issuer, id}, []any{&token})
		if err == nil {
			return conflictf("merchant %q still has card tokens, such as %q", id, token)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		return t.remove("merchant", id, `DELETE FROM merchant WHERE issuer = $1 AND id = $2`, issuer, id)
	})
	return removed(err, "merchant", id)
}

// CardTokens implements authority.Registry. An id that is asked for twice is
// answered twice.
func (d *DB) CardTokens(ctx context.Context, issuer string, ids []string) ([]registry.CardToken, error) {
	found := make([]registry.CardToken, 0, len(ids))
	for _, id := range ids {
		token, err := d.cardToken(ctx, issuer, id)
		switch {
		case err == nil:
			found = append(found, token)
		case !errors.Is(err, registry.ErrNotFound):
			return nil, err
		}
	}
	return found, nil
}

func (d *DB) cardToken(ctx context.Context, issuer, id string) (registry.CardToken, error) {
	key := named{issuer, id}
	token, epoch, ok := d.cache.cardTokens.get(key)
	if ok && d.trusts() {
		return token, nil
	}
	key.id = strings.Clone(id) // which may be a part of a whole request
	token = registry.CardToken{Issuer: issuer, ID: key.id}
	err := d.reads.Get(ctx, `SELECT merchant, scheme FROM card_token WHERE issuer = $1 AND id = $2`,
		[]any{issuer, id}, []any{&token.Merchant, &token.Scheme})
	if err != nil {
		return token, missing(err, "card token", id)
	}
	d.cache.cardTokens.put(key, token, epoch)
	return token, nil
}

// MerchantCardTokens lists a merchant's card tokens whose IDs come after the
// given one, in the order of their IDs: at most limit, or [MaxPage].
func (d *DB) MerchantCardTokens(ctx context.Context, issuer, merchant, after string, limit int) ([]registry.CardToken, error) {
	var tokens []registry.CardToken
	err := d.reads.List(ctx, `SELECT id, scheme FROM card_token
		WHERE issuer = $1 AND merchant = $2 AND id > $3 ORDER BY id LIMIT $4`,
		[]any{issuer, merchant, after, page(limit)},
		func(scan func(...any) error) error {
			token := registry.CardToken{Issuer: issuer, Merchant: merchant}
			err := scan(&token.ID, &token.Scheme)
			tokens = append(tokens, token)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("card tokens of merchant %q: %w", merchant, err)
	}
	return tokens, nil
}

// PutCardTokens creates up to [MaxBulk] card tokens or changes their scheme, all
// or none, and records e with the change. An ID that belongs to another merchant
// is an registry.ErrConflict that names it, a merchant that does not exist an
// registry.ErrNotFound that names it.
func (d *DB) PutCardTokens(ctx context.Context, tokens []registry.CardToken, e *ledger.Entry) error {
	if err := checkBulk(len(tokens)); err != nil {
		return err
	}
	return d.change(ctx, e, func(t *tx) error {
		owners := map[named]error{}
		for i := range tokens {
			if err := t.putCardToken(&tokens[i], owners); err != nil { // it names its card token, which may be one before
				return err
			}
		}
		return nil
	})
}

// putCardToken asks for each merchant once.
func (t *tx) putCardToken(c *registry.CardToken, owners map[named]error) error {
	t.changed(engine.ChangedCardToken, c.Issuer, c.ID)
	owner := named{c.Issuer, c.Merchant}
	if _, asked := owners[owner]; !asked {
		owners[owner] = t.exists("merchant", c.Merchant, `SELECT 1 FROM merchant WHERE issuer = $1 AND id = $2`, c.Issuer, c.Merchant)
	}
	if err := owners[owner]; err != nil {
		return fmt.Errorf("card token %q: %w", c.ID, err)
	}
	return t.Later(func(changed int64) error {
		if changed == 0 {
			return conflictf("card token %q belongs to another merchant", c.ID)
		}
		return nil
	}, `INSERT INTO card_token (issuer, id, merchant, scheme) VALUES ($1, $2, $3, $4)
		ON CONFLICT (issuer, id) DO UPDATE SET scheme = excluded.scheme
		WHERE card_token.merchant = excluded.merchant`, c.Issuer, c.ID, c.Merchant, c.Scheme)
}

// RemoveCardToken removes a card token. One that does not exist is
// registry.ErrNotFound.
func (d *DB) RemoveCardToken(ctx context.Context, issuer, id string, e *ledger.Entry) error {
	err := d.change(ctx, e, func(t *tx) error {
		t.changed(engine.ChangedCardToken, issuer, id)
		return t.remove("card token", id, `DELETE FROM card_token WHERE issuer = $1 AND id = $2`, issuer, id)
	})
	return removed(err, "card token", id)
}

func checkBulk(n int) error {
	if n > MaxBulk {
		return fmt.Errorf("%d in one change, at most %d are taken", n, MaxBulk)
	}
	return nil
}

// exists returns an registry.ErrNotFound unless query finds a row.
func (t *tx) exists(what, id, query string, args ...any) error {
	var one int
	if err := t.Row(query, args, []any{&one}); err != nil {
		return missing(err, what, id)
	}
	return nil
}
