package adminclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"moneyer/internal/adminapi"
	"moneyer/internal/ledger"
)

// LedgerQuery selects entries of the ledger. Zero fields select all.
type LedgerQuery struct {
	// After selects the entries after these numbers, one for each chain.
	After []string
	// Since is inclusive, Until exclusive.
	Since, Until                           time.Time
	Kind, Issuer, Client, Correlation, JTI string
}

func (q *LedgerQuery) values() url.Values {
	values := url.Values{}
	set := func(name, value string) {
		if value != "" {
			values.Set(name, value)
		}
	}
	set("after", strings.Join(q.After, ","))
	set("kind", q.Kind)
	set("issuer", q.Issuer)
	set("client", q.Client)
	set("correlation", q.Correlation)
	set("jti", q.JTI)
	for name, t := range map[string]time.Time{"since": q.Since, "until": q.Until} {
		if !t.IsZero() {
			set(name, t.Format(time.RFC3339))
		}
	}
	return values
}

// Ledger calls visit for each line of the ledger that the query selects, each a
// ledger.Record. A line is valid until visit returns.
func (c *Client) Ledger(ctx context.Context, q LedgerQuery, visit func(line []byte) error) error {
	resp, err := c.send(ctx, http.MethodGet, c.url("ledger")+"?"+q.values().Encode(), "", nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	err = adminapi.EachLine(resp.Body, func(line []byte) error {
		if bytes.HasPrefix(line, []byte(`{"error":`)) {
			var told adminapi.Failure
			_ = json.Unmarshal(line, &told) // it is an error either way
			return errors.New(told.Description)
		}
		return visit(line)
	})
	if err != nil {
		return &UnavailableError{fmt.Errorf("the ledger ends early: %w", err)}
	}
	return nil
}

// VerifyLedger makes the server verify its ledger, in which these heads noted elsewhere must
// be.
func (c *Client) VerifyLedger(ctx context.Context, noted []ledger.Head) (v adminapi.Verified, err error) {
	if len(noted) == 0 {
		return get[adminapi.Verified](ctx, c, c.url("ledger", "verify"))
	}
	var text bytes.Buffer
	for i := range noted {
		text.WriteString(ledger.FormatHeads(noted[i:i+1]) + "\n")
	}
	resp, err := c.send(ctx, http.MethodPost, c.url("ledger", "verify"), "text/plain", &text)
	if err != nil {
		return v, err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		return v, &UnavailableError{fmt.Errorf("the answer of %s: %w", c.File.URL, err)}
	}
	return v, nil
}

// CheckpointKey returns the key that verifies the signatures of checkpoints.
func (c *Client) CheckpointKey(ctx context.Context) (adminapi.CheckpointKey, error) {
	return get[adminapi.CheckpointKey](ctx, c, c.url("ledger", "checkpoint-key"))
}
