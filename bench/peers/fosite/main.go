// Command fosite serves a minimal token endpoint for machines with ory/fosite: compose, JWTs as
// access tokens, client_credentials, private_key_jwt and the JWT bearer grant, with a durable store
// (store.go).
//
// Its argument is the configuration file that bench/peers writes.
package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/go-jose/go-jose/v3"
	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/token/jwt"
)

// config is what bench/peers writes.
type config struct {
	Listen       string            `json:"listen"`
	TLSCert      string            `json:"tls_cert"`
	TLSKey       string            `json:"tls_key"`
	Issuer       string            `json:"issuer"`
	ClientID     string            `json:"client_id"`
	ClientSecret string            `json:"client_secret"`
	KeyClientID  string            `json:"key_client_id"`
	ClientKey    jose.JSONWebKey   `json:"client_key"`
	SigningKeys  []jose.JSONWebKey `json:"signing_keys"`
	Database     string            `json:"database"`
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
	store, err := openStore(c)
	if err != nil {
		return err
	}
	defer store.db.Close()
	key := &c.SigningKeys[0]
	settings := &fosite.Config{
		AccessTokenIssuer:                   c.Issuer,
		TokenURL:                            c.Issuer + "/token",
		ClientSecretsHasher:                 quick{},
		GrantTypeJWTBearerCanSkipClientAuth: true,
		GlobalSecret:                        make([]byte, 32), // of opaque tokens, which are not used
	}
	signer := func(context.Context) (any, error) { return key, nil }
	strategy := &compose.CommonStrategy{
		CoreStrategy: compose.NewOAuth2JWTStrategy(signer, compose.NewOAuth2HMACStrategy(settings), settings),
		Signer:       &jwt.DefaultSigner{GetPrivateKey: signer},
	}
	provider := compose.Compose(settings, store, strategy,
		compose.OAuth2ClientCredentialsGrantFactory, compose.RFC7523AssertionGrantFactory)
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) { token(provider, w, r) })
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/jwk-set+json")
		w.Write(keys)
	})
	server := &http.Server{Addr: c.Listen, Handler: mux}
	if c.TLSCert != "" {
		return server.ListenAndServeTLS(c.TLSCert, c.TLSKey)
	}
	return server.ListenAndServe()
}

// token handles one token request.
func token(provider fosite.OAuth2Provider, w http.ResponseWriter, r *http.Request) {
	session := &oauth2.JWTSession{
		JWTClaims: &jwt.JWTClaims{IssuedAt: time.Now()},
		JWTHeader: &jwt.Headers{},
	}
	request, err := provider.NewAccessRequest(r.Context(), r, session)
	if err != nil {
		provider.WriteAccessError(r.Context(), w, request, err)
		return
	}
	if session.Subject == "" { // only an assertion sets it
		session.Subject = request.GetClient().GetID()
	}
	session.JWTClaims.Subject = session.Subject
	response, err := provider.NewAccessResponse(r.Context(), request)
	if err != nil {
		provider.WriteAccessError(r.Context(), w, request, err)
		return
	}
	provider.WriteAccessResponse(r.Context(), w, request, response)
}

// quick hashes secrets with SHA-256 instead of fosite's bcrypt, which is meant for passwords: a
// random secret of 256 bits needs no slow hash.
type quick struct{}

func (quick) Hash(_ context.Context, secret []byte) ([]byte, error) {
	hash := sha256.Sum256(secret)
	return hash[:], nil
}

func (quick) Compare(_ context.Context, hash, secret []byte) error {
	given := sha256.Sum256(secret)
	if subtle.ConstantTimeCompare(given[:], hash) != 1 {
		return errors.New("wrong secret")
	}
	return nil
}
