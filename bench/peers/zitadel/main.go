// Command zitadel serves zitadel/oidc as a token endpoint for machines, with the storage of its
// example server, which keeps tokens in memory. It adds what that storage cannot configure: a P-256
// signing key, JWTs as access tokens, and one client with a secret and a P-256 key.
//
// Its argument is the configuration file that bench/peers writes.
package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"os"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// config is what bench/peers writes.
type config struct {
	Listen       string            `json:"listen"`
	TLSCert      string            `json:"tls_cert"`
	TLSKey       string            `json:"tls_key"`
	Issuer       string            `json:"issuer"`
	ClientID     string            `json:"client_id"`
	ClientSecret string            `json:"client_secret"`
	ClientKey    jose.JSONWebKey   `json:"client_key"`
	SigningKeys  []jose.JSONWebKey `json:"signing_keys"`
}

func main() {
	if err := serve(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func serve(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var c config
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError})))
	settings := &op.Config{AuthMethodPost: true}
	rand.Read(settings.CryptoKey[:])
	provider, err := op.NewProvider(settings, newStore(c), op.StaticIssuer(c.Issuer), op.WithAllowInsecure())
	if err != nil {
		return err
	}
	server := &http.Server{Addr: c.Listen, Handler: provider}
	if c.TLSCert != "" {
		return server.ListenAndServeTLS(c.TLSCert, c.TLSKey)
	}
	return server.ListenAndServe()
}

// store is the example's storage with our keys and our client.
type store struct {
	*storage.Storage
	signing key
	client  client
	secret  [sha256.Size]byte
	public  jose.JSONWebKey
}

func newStore(c config) *store {
	return &store{
		Storage: storage.NewStorage(subjects{storage.NewUserStore(c.Issuer)}),
		signing: key{c.SigningKeys[0]},
		client:  client{storage.WebClient(c.ClientID, "")},
		secret:  sha256.Sum256([]byte(c.ClientSecret)),
		public:  c.ClientKey,
	}
}

// subjects has a user for every subject: introspection answers with what is known of it.
type subjects struct{ storage.UserStore }

func (subjects) GetUserByID(id string) *storage.User { return &storage.User{ID: id} }

// key is a signing key in the form that op requires.
type key struct{ jwk jose.JSONWebKey }

func (k key) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.ES256 }
func (k key) Key() any                                    { return k.jwk.Key }
func (k key) ID() string                                  { return k.jwk.KeyID }

// publicKey is the public half of a key in the form that op requires.
type publicKey struct{ jwk jose.JSONWebKey }

func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.ES256 }
func (k publicKey) Use() string                        { return "sig" }
func (k publicKey) Key() any                           { return k.jwk.Key }
func (k publicKey) ID() string                         { return k.jwk.KeyID }

func (s *store) SigningKey(context.Context) (op.SigningKey, error) { return s.signing, nil }

func (s *store) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.ES256}, nil
}

func (s *store) KeySet(context.Context) ([]op.Key, error) {
	return []op.Key{publicKey{s.signing.jwk.Public()}}, nil
}

// client is a confidential client whose access tokens are JWTs.
type client struct{ *storage.Client }

func (client) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }

func (client) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeClientCredentials, oidc.GrantTypeBearer}
}

func (s *store) ClientCredentials(ctx context.Context, id, secret string) (op.Client, error) {
	return s.client, s.AuthorizeClientIDSecret(ctx, id, secret)
}

// AuthorizeClientIDSecret authenticates the client, also for introspection.
func (s *store) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	given := sha256.Sum256([]byte(secret))
	if id != s.client.GetID() || subtle.ConstantTimeCompare(given[:], s.secret[:]) != 1 {
		return errors.New("wrong client or secret")
	}
	return nil
}

func (s *store) ClientCredentialsTokenRequest(_ context.Context, id string, scopes []string) (op.TokenRequest, error) {
	return &oidc.JWTTokenRequest{Subject: id, Audience: []string{id}, Scopes: scopes}, nil
}

// GetKeyByIDAndClientID returns the key that verifies an assertion.
func (s *store) GetKeyByIDAndClientID(_ context.Context, kid, id string) (*jose.JSONWebKey, error) {
	if id != s.client.GetID() || kid != s.public.KeyID {
		return nil, errors.New("no such key")
	}
	return &s.public, nil
}

// JWTProfileTokenType selects JWTs for assertions, too.
func (s *store) JWTProfileTokenType(context.Context, op.TokenRequest) (op.AccessTokenType, error) {
	return op.AccessTokenTypeJWT, nil
}
