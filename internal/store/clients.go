package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/rowauth"
	"moneyer/internal/store/engine"
)

// Client implements authority.Registry. A client whose row does not verify is a
// *registry.UnverifiedError.
func (d *DB) Client(ctx context.Context, issuer, id string) (*registry.Client, error) {
	key := named{issuer, id}
	c, epoch, ok := d.cache.clients.get(key)
	if ok && d.cacheIsFresh() {
		return c, nil
	}
	var revision int64
	var document, mac []byte
	err := d.reads.Get(ctx, `SELECT revision, document, mac FROM client WHERE issuer = $1 AND id = $2`,
		[]any{issuer, id}, []any{&revision, &document, &mac})
	if err != nil {
		return nil, missing(err, "client", id)
	}
	if c, err = decode[registry.Client](d.rows, clientRow(issuer, id, revision, document), mac); err != nil {
		return nil, err
	}
	c.ShareTexts()
	d.cache.clients.put(named{c.Issuer, c.ID}, c, epoch) // not id, which may be a substring that keeps a whole request in memory
	return c, nil
}

// ClientByDigest implements authority.Registry.
func (d *DB) ClientByDigest(ctx context.Context, issuer string, digest registry.Digest) (*registry.Client, error) {
	key := digested{issuer, digest}
	id, epoch, ok := d.cache.digests.get(key)
	if !ok || !d.cacheIsFresh() {
		err := d.reads.Get(ctx, `SELECT client FROM client_digest WHERE issuer = $1 AND digest = $2`,
			[]any{issuer, digest[:]}, []any{&id})
		if err != nil {
			return nil, missing(err, "API key or identity of issuer", issuer)
		}
		d.cache.digests.put(key, id, epoch)
	}
	c, err := d.Client(ctx, issuer, id)
	if err != nil {
		return nil, err
	}
	if err := holds(c, digest); err != nil { // it may have been removed between the two reads
		return nil, err
	}
	return c, nil
}

// Clients lists an issuer's clients with IDs greater than after, sorted by ID: at most
// limit, or [MaxPage]. Of a client whose row does not verify it returns the ID alone, with
// Unverified set.
func (d *DB) Clients(ctx context.Context, issuer, after string, limit int) ([]*registry.Client, error) {
	var clients []*registry.Client
	err := d.reads.List(ctx, `SELECT id, revision, document, mac FROM client WHERE issuer = $1 AND id > $2 ORDER BY id LIMIT $3`,
		[]any{issuer, after, page(limit)},
		func(scan func(...any) error) error {
			var id string
			var revision int64
			var document, mac []byte
			if err := scan(&id, &revision, &document, &mac); err != nil {
				return err
			}
			c, err := decode[registry.Client](d.rows, clientRow(issuer, id, revision, document), mac)
			if registry.IsUnverified(err) {
				c, err = &registry.Client{Issuer: issuer, ID: id, Disabled: true, Unverified: true}, nil
			}
			clients = append(clients, c)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("clients of issuer %q: %w", issuer, err)
	}
	return clients, nil
}

// PutClient stores c with the revision c.Revision+1, and records e. c is not modified.
// c.Revision must be the stored revision, or 0 for a new client; otherwise PutClient
// returns registry.ErrConflict. It returns a *registry.KeyTakenError if a key, or a
// certificate itself or its key, is registered, even disabled, for another client of the
// issuer, or for another environment of any issuer, or if the jwks_uri is registered for
// another environment. A certificate that c has disabled is taken by nobody: it is revoked. An API key or an identity of another client of the issuer is a
// registry.ErrConflict. A nil e is an error.
func (d *DB) PutClient(ctx context.Context, c *registry.Client, e *ledger.Entry) error {
	p, err := d.prepare(c)
	if err != nil {
		return err
	}
	return d.change(ctx, e, func(t *tx) error { return t.putClients([]*clientPut{p}) })
}

// PutClients is PutClient for up to [MaxBulk] clients, all or none. The error names the
// refused client.
func (d *DB) PutClients(ctx context.Context, clients []*registry.Client, e *ledger.Entry) error {
	if err := checkBulk(len(clients)); err != nil {
		return err
	}
	prepared := make([]*clientPut, len(clients))
	for i, c := range clients {
		var err error
		if prepared[i], err = d.prepare(c); err != nil {
			return err
		}
	}
	return d.change(ctx, e, func(t *tx) error { return t.putClients(prepared) })
}

// clientPut is a client with its new revision, and everything that is computed before the
// transaction, to keep the transaction short.
type clientPut struct {
	stored      registry.Client
	document    []byte
	mac         []byte
	thumbprints []string // of its keys
}

func (d *DB) prepare(c *registry.Client) (*clientPut, error) {
	p := &clientPut{stored: *c}
	p.stored.Revision++
	err := p.addThumbprints()
	if err != nil {
		return nil, err
	}
	if p.document, err = json.Marshal(&p.stored); err != nil {
		return nil, fmt.Errorf("client %q: %w", c.ID, err)
	}
	p.mac = d.rows.MAC(clientRow(c.Issuer, c.ID, p.stored.Revision, p.document))
	return p, nil
}

func (p *clientPut) addThumbprints() error {
	for _, k := range p.stored.Keys {
		if k.Public == nil {
			return fmt.Errorf("client %q: key %q has no public key", p.stored.ID, k.Kid)
		}
		p.thumbprints = append(p.thumbprints, k.Public.Thumbprint())
	}
	return nil
}

func (t *tx) putClients(puts []*clientPut) error {
	known := map[string][]string{}
	for _, p := range puts {
		if p.stored.Revision > 1 {
			known[p.stored.Issuer] = append(known[p.stored.Issuer], p.stored.ID)
		}
	}
	if err := t.findAll(rowauth.Client, known); err != nil {
		return err
	}
	for _, p := range puts {
		err := t.putClient(p)
		if taken := (*registry.KeyTakenError)(nil); len(puts) > 1 && errors.As(err, &taken) { // other errors name their client, which may be an earlier one
			err = fmt.Errorf("client %q: %w", p.stored.ID, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) putClient(p *clientPut) error {
	c := &p.stored
	t.wrote(rowauth.Name{Kind: rowauth.Client, Issuer: c.Issuer, ID: c.ID}, p.mac)
	t.changed(engine.ChangedClient, c.Issuer, c.ID)
	if err := t.writeClient(p); err != nil {
		return err
	}
	if c.Revision > 1 { // a new client has no rows in the index tables
		if err := t.clearClientIndex(c.Issuer, c.ID); err != nil {
			return err
		}
	}
	return t.indexClient(p)
}

// RemoveClient removes a client with its credentials. It returns registry.ErrNotFound
// if the client does not exist, and registry.ErrConflict if it still owns accounts.
func (d *DB) RemoveClient(ctx context.Context, issuer, id string, e *ledger.Entry) error {
	err := d.change(ctx, e, func(t *tx) error { return t.removeClient(issuer, id) })
	return removed(err, "client", id)
}

func (t *tx) removeClient(issuer, id string) error {
	t.changed(engine.ChangedClient, issuer, id)
	var account string
	err := t.Row(`SELECT id FROM account WHERE issuer = $1 AND client = $2 LIMIT 1`,
		[]any{issuer, id}, []any{&account})
	if err == nil {
		return conflictf("client %q still owns accounts, such as %q", id, account)
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if err := t.clearClientIndex(issuer, id); err != nil {
		return err
	}
	if _, err := t.Exec(`DELETE FROM last_used WHERE issuer = $1 AND client = $2`, issuer, id); err != nil {
		return err
	}
	return t.remove(rowauth.Name{Kind: rowauth.Client, Issuer: issuer, ID: id},
		`DELETE FROM client WHERE issuer = $1 AND id = $2 RETURNING mac`, issuer, id)
}

// removed maps the error of a removal: an ID that the database cannot store does not exist.
func removed(err error, what, id string) error {
	if errors.Is(err, engine.ErrUnstorable) {
		return missing(err, what, id)
	}
	return err
}

// change runs fn and records e in one transaction.
func (d *DB) change(ctx context.Context, e *ledger.Entry, fn func(*tx) error) error {
	if _, err := engine.Encode(e); err != nil {
		return err
	}
	return d.writer.do(ctx, func(t *tx) error {
		if err := t.Changing(&t.Tx); err != nil {
			return err
		}
		if err := fn(t); err != nil {
			return err
		}
		return t.recordChange(e)
	})
}

// writeClient inserts a client of revision 1, and updates one of a later revision.
func (t *tx) writeClient(p *clientPut) error {
	c := &p.stored
	judge := func(changed int64) error {
		if changed == 0 {
			return fmt.Errorf("client %q: %w", c.ID, registry.ErrConflict)
		}
		return nil
	}
	if c.Revision == 1 {
		return t.Later(judge, `INSERT INTO client (issuer, id, revision, document, mac) VALUES ($1, $2, 1, $3, $4)
			ON CONFLICT DO NOTHING`, c.Issuer, c.ID, p.document, p.mac)
	}
	return t.Later(judge, `UPDATE client SET revision = $1, document = $2, mac = $3 WHERE issuer = $4 AND id = $5 AND revision = $6`,
		c.Revision, p.document, p.mac, c.Issuer, c.ID, c.Revision-1)
}

func conflictUnless(changed int64, err error) error {
	if err == nil && changed == 0 {
		return registry.ErrConflict
	}
	return err
}

// clearClientIndex deletes a client's rows in the index tables.
func (t *tx) clearClientIndex(issuer, id string) error {
	if _, err := t.Exec(`DELETE FROM client_key WHERE issuer = $1 AND client = $2`, issuer, id); err != nil {
		return err
	}
	if _, err := t.Exec(`DELETE FROM client_jwks_uri WHERE issuer = $1 AND client = $2`, issuer, id); err != nil {
		return err
	}
	return t.List(`DELETE FROM client_digest WHERE issuer = $1 AND client = $2 RETURNING digest`, []any{issuer, id},
		func(scan func(...any) error) error {
			var digest []byte
			if err := scan(&digest); err != nil {
				return err
			}
			t.changed(engine.ChangedDigest, issuer, hex.EncodeToString(digest))
			return nil
		})
}

// indexClient inserts a client's rows into the index tables.
func (t *tx) indexClient(p *clientPut) error {
	c := &p.stored
	for i := range c.Keys {
		k := &c.Keys[i]
		if err := t.indexKey(c, &keyRow{kid: k.Kid, thumbprint: p.thumbprints[i], environment: k.Environment, notAfter: k.NotAfter}); err != nil {
			return err
		}
	}
	for i := range c.Certificates {
		if err := t.indexCertificate(c, &c.Certificates[i]); err != nil {
			return err
		}
	}
	if err := t.indexJWKSURI(c); err != nil {
		return err
	}
	return t.indexDigests(c)
}

// indexDigests inserts the digests by which a client is found.
func (t *tx) indexDigests(c *registry.Client) error {
	for i := range c.Secrets {
		s := &c.Secrets[i]
		if s.Kind != registry.APIKey {
			continue
		}
		if err := t.indexDigest(c, s.Digest, "API key "+s.ID); err != nil {
			return err
		}
	}
	for i := range c.Identities {
		identity := &c.Identities[i]
		if err := t.identityTaken(c, identity); err != nil {
			return err
		}
		if err := t.indexDigest(c, identity.Digest, "identity "+identity.ID+" (claims of trusted issuer "+identity.Trusted+")"); err != nil {
			return err
		}
	}
	return nil
}

// identityTaken returns a *registry.IdentityTakenError where another client has the identity.
func (t *tx) identityTaken(c *registry.Client, identity *registry.Identity) error {
	taken := &registry.IdentityTakenError{Issuer: c.Issuer, Trusted: identity.Trusted}
	err := t.Row(`SELECT client FROM client_digest WHERE issuer = $1 AND digest = $2 AND client <> $3`,
		[]any{c.Issuer, identity.Digest[:], c.ID}, []any{&taken.Client})
	switch {
	case err == nil:
		return fmt.Errorf("client %q: %w", c.ID, taken)
	case errors.Is(err, sql.ErrNoRows):
		return nil
	}
	return err
}

// indexDigest makes a client the one that is found by a digest.
func (t *tx) indexDigest(c *registry.Client, digest registry.Digest, what string) error {
	t.changed(engine.ChangedDigest, c.Issuer, hex.EncodeToString(digest[:]))
	return t.Later(func(changed int64) error {
		if changed == 0 {
			return conflictf("%s of client %q is registered already: for another client of issuer %q, or twice", what, c.ID, c.Issuer)
		}
		return nil
	}, `INSERT INTO client_digest (issuer, digest, client) VALUES ($1, $2, $3)
		ON CONFLICT DO NOTHING`, c.Issuer, digest[:], c.ID)
}

// indexCertificate holds a certificate that is registered itself, and its key, to one client
// and environment.
func (t *tx) indexCertificate(c *registry.Client, k *registry.Certificate) error {
	if k.Match != registry.MatchCertificate {
		return nil
	}
	row := keyRow{kid: k.ID, thumbprint: k.Value, environment: k.Environment, notAfter: k.NotAfter, certificate: true, revokes: k.Disabled}
	if err := t.indexKey(c, &row); err != nil || k.Key == "" {
		return err
	}
	row.kid, row.thumbprint, row.certificate = "certificate "+k.ID, k.Key, false
	return t.indexKey(c, &row)
}

// keyRow is a row of the index of keys.
type keyRow struct {
	kid, thumbprint, environment string
	notAfter                     time.Time
	certificate                  bool // a certificate itself, not a key
	// revokes is set for a disabled certificate, which may revoke it for each of several
	// clients that have a name of it: it takes nothing from the one that holds it.
	revokes bool
}

// indexKey holds a key, or a certificate itself, to one client of the issuer and to one
// environment.
func (t *tx) indexKey(c *registry.Client, k *keyRow) error {
	taken := &registry.KeyTakenError{Certificate: k.certificate}
	err := t.Row(`SELECT issuer, client, kid, environment FROM client_key
		WHERE thumbprint = $1 AND (environment <> $2 OR issuer = $3 AND client <> $4) LIMIT 1`,
		[]any{k.thumbprint, k.environment, c.Issuer, c.ID},
		[]any{&taken.Issuer, &taken.Client, &taken.Kid, &taken.Environment})
	switch {
	case err == nil && k.revokes:
		return nil
	case err == nil:
		return taken
	case !errors.Is(err, sql.ErrNoRows):
		return err
	}
	var until int64
	if !k.notAfter.IsZero() {
		until = k.notAfter.UnixMilli()
	}
	return t.Later(func(changed int64) error {
		if changed == 0 {
			return conflictf("client %q has two keys or certificates with the ID %q", c.ID, k.kid)
		}
		return nil
	}, `INSERT INTO client_key (issuer, client, kid, thumbprint, environment, not_after)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
		c.Issuer, c.ID, k.kid, k.thumbprint, k.environment, until)
}

// indexJWKSURI holds the URL of a client's keys to one environment. Clients of one
// environment may share it: an identity provider can sign for several.
func (t *tx) indexJWKSURI(c *registry.Client) error {
	uri := registry.CanonicalJWKSURI(c.JWKSURI)
	if uri == "" {
		return nil
	}
	taken := &registry.KeyTakenError{}
	err := t.Row(`SELECT issuer, client, environment FROM client_jwks_uri WHERE uri = $1 AND environment <> $2 LIMIT 1`,
		[]any{uri, c.JWKSEnvironment}, []any{&taken.Issuer, &taken.Client, &taken.Environment})
	if err == nil {
		return taken
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	_, err = t.Exec(`INSERT INTO client_jwks_uri (issuer, client, uri, environment) VALUES ($1, $2, $3, $4)`,
		c.Issuer, c.ID, uri, c.JWKSEnvironment)
	return err
}

// KeyElsewhere returns a *registry.KeyTakenError if a key with that thumbprint (RFC 7638)
// is registered, even disabled, or is that of a certificate which is registered itself, for an
// environment other than that one.
func (d *DB) KeyElsewhere(ctx context.Context, thumbprint, environment string) error {
	taken := &registry.KeyTakenError{}
	err := d.reads.Row(ctx, `SELECT issuer, client, kid, environment FROM client_key
		WHERE thumbprint = $1 AND environment <> $2 LIMIT 1`,
		[]any{thumbprint, environment}, []any{&taken.Issuer, &taken.Client, &taken.Kid, &taken.Environment})
	switch {
	case err == nil:
		return taken
	case errors.Is(err, sql.ErrNoRows):
		return nil
	}
	return fmt.Errorf("registrations of key %s: %w", thumbprint, err)
}

// missing maps sql.ErrNoRows to a registry.ErrNotFound that says what is missing. An ID
// that the database cannot store does not exist either.
func missing(err error, what, id string) error {
	if errors.Is(err, sql.ErrNoRows) || errors.Is(err, engine.ErrUnstorable) {
		return fmt.Errorf("%s %q: %w", what, id, registry.ErrNotFound)
	}
	return fmt.Errorf("%s %q: %w", what, id, err)
}

// conflict is a registry.ErrConflict with a reason.
type conflict string

func (c conflict) Error() string { return string(c) }

// Is makes a conflict a registry.ErrConflict to errors.Is.
func (conflict) Is(target error) bool { return target == registry.ErrConflict }

func conflictf(format string, args ...any) error { return conflict(fmt.Sprintf(format, args...)) }
