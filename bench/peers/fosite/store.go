package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/go-jose/go-jose/v3"
	"github.com/ory/fosite"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const bearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// store keeps a row per token and per consumed assertion in SQLite, durable when the call returns,
// and the clients in memory. Its methods are those that fosite's handlers require.
type store struct {
	db      *sql.DB
	token   *sql.Stmt
	used    *sql.Stmt
	clients map[string]fosite.Client
	issuer  string
	public  jose.JSONWebKey
}

func openStore(c config) (*store, error) {
	// Callers wait for the one connection in Go, which costs less than SQLite's busy handling.
	db, err := sql.Open("sqlite", "file:"+c.Database+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	_, err = db.Exec(`
		CREATE TABLE IF NOT EXISTS token (signature TEXT PRIMARY KEY, request TEXT NOT NULL, client TEXT NOT NULL,
			requested_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, session TEXT NOT NULL) WITHOUT ROWID;
		CREATE TABLE IF NOT EXISTS used (jti TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID`)
	if err != nil {
		return nil, err
	}
	s := &store{db: db, clients: clientsOf(c), issuer: c.ClientID, public: c.ClientKey}
	if s.token, err = db.Prepare("INSERT INTO token VALUES (?, ?, ?, ?, ?, ?)"); err != nil {
		return nil, err
	}
	s.used, err = db.Prepare("INSERT INTO used VALUES (?, ?)")
	return s, err
}

func clientsOf(c config) map[string]fosite.Client {
	hash := sha256.Sum256([]byte(c.ClientSecret))
	return map[string]fosite.Client{
		c.ClientID: &fosite.DefaultClient{
			ID: c.ClientID, Secret: hash[:], GrantTypes: []string{"client_credentials", bearer}},
		c.KeyClientID: &fosite.DefaultOpenIDConnectClient{
			DefaultClient:                     &fosite.DefaultClient{ID: c.KeyClientID, GrantTypes: []string{"client_credentials"}},
			JSONWebKeys:                       &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{c.ClientKey}},
			TokenEndpointAuthMethod:           "private_key_jwt",
			TokenEndpointAuthSigningAlgorithm: "ES256",
		},
	}
}

// GetClient finds a client.
func (s *store) GetClient(_ context.Context, id string) (fosite.Client, error) {
	client, ok := s.clients[id]
	if !ok {
		return nil, fosite.ErrNotFound
	}
	return client, nil
}

// CreateAccessTokenSession stores a token.
func (s *store) CreateAccessTokenSession(ctx context.Context, signature string, request fosite.Requester) error {
	session, err := json.Marshal(request.GetSession())
	if err != nil {
		return err
	}
	_, err = s.token.ExecContext(ctx, signature, request.GetID(), request.GetClient().GetID(),
		request.GetRequestedAt().Unix(), request.GetSession().GetExpiresAt(fosite.AccessToken).Unix(), string(session))
	return err
}

// GetAccessTokenSession is for introspection, which is not used here.
func (s *store) GetAccessTokenSession(context.Context, string, fosite.Session) (fosite.Requester, error) {
	return nil, fosite.ErrNotFound
}

// DeleteAccessTokenSession is for revocation, which is not used here.
func (s *store) DeleteAccessTokenSession(context.Context, string) error { return fosite.ErrNotFound }

// use records the jti of an assertion. The second call with one jti fails, so the checks that
// fosite makes before need no query.
func (s *store) use(ctx context.Context, jti string, until time.Time) error {
	_, err := s.used.ExecContext(ctx, jti, until.Unix())
	var failed *sqlite.Error
	if errors.As(err, &failed) && failed.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY {
		return fosite.ErrJTIKnown
	}
	return err
}

// ClientAssertionJWTValid leaves the check to SetClientAssertionJWT.
func (s *store) ClientAssertionJWTValid(context.Context, string) error { return nil }

// SetClientAssertionJWT consumes an assertion for client authentication.
func (s *store) SetClientAssertionJWT(ctx context.Context, jti string, until time.Time) error {
	return s.use(ctx, jti, until)
}

// IsJWTUsed leaves the check to MarkJWTUsedForTime.
func (s *store) IsJWTUsed(context.Context, string) (bool, error) { return false, nil }

// MarkJWTUsedForTime consumes an assertion that is a grant.
func (s *store) MarkJWTUsedForTime(ctx context.Context, jti string, until time.Time) error {
	return s.use(ctx, jti, until)
}

// GetPublicKey returns the key of an assertion that is a grant.
func (s *store) GetPublicKey(_ context.Context, issuer, subject, kid string) (*jose.JSONWebKey, error) {
	if issuer != s.issuer || subject != s.issuer || kid != s.public.KeyID {
		return nil, fosite.ErrNotFound
	}
	return &s.public, nil
}

// GetPublicKeys is for assertions without a kid, which are not used here.
func (s *store) GetPublicKeys(context.Context, string, string) (*jose.JSONWebKeySet, error) {
	return nil, fosite.ErrNotFound
}

// GetPublicKeyScopes allows no scope, since none is requested.
func (s *store) GetPublicKeyScopes(context.Context, string, string, string) ([]string, error) {
	return nil, nil
}
