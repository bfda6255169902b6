package server

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/keyring"
	"moneyer/internal/platform"
	"moneyer/oauth"
)

const (
	jwksPath     = "/.well-known/jwks.json"
	metadataPath = "/.well-known/oauth-authorization-server" // RFC 8414 §3
	openIDPath   = "/.well-known/openid-configuration"       // RFC 8414 §5
)

// around lists where a document of an issuer is found: between host and path (RFC 8414
// §3.1), and behind the path as OpenID has it.
func around(issuerPath, document string) []string {
	return slices.Compact([]string{document + issuerPath, issuerPath + document})
}

// metadata is the document of RFC 8414 §2, fixed while the configuration is.
type metadata struct {
	Issuer          string            `json:"issuer"`
	TokenEndpoint   string            `json:"token_endpoint"`
	JWKSURI         string            `json:"jwks_uri"`
	ScopesSupported []string          `json:"scopes_supported,omitempty"`
	ResponseTypes   []string          `json:"response_types_supported"`
	GrantTypes      []oauth.GrantType `json:"grant_types_supported"`
	// If the methods were left out, that would mean client_secret_basic.
	AuthMethods           []string `json:"token_endpoint_auth_methods_supported"`
	AuthSigningAlgorithms []string `json:"token_endpoint_auth_signing_alg_values_supported,omitempty"`
	// RFC 7009, RFC 7662 and RFC 9701, with how clients authenticate there.
	RevocationEndpoint       string   `json:"revocation_endpoint"`
	RevocationAuthMethods    []string `json:"revocation_endpoint_auth_methods_supported"`
	RevocationAuthAlgs       []string `json:"revocation_endpoint_auth_signing_alg_values_supported,omitempty"`
	IntrospectionEndpoint    string   `json:"introspection_endpoint"`
	IntrospectionAuthMethods []string `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectionAuthAlgs    []string `json:"introspection_endpoint_auth_signing_alg_values_supported,omitempty"`
	IntrospectionAlgorithms  []string `json:"introspection_signing_alg_values_supported"`
	// RFC 8705 §3.3 and §5.
	BoundTokens bool     `json:"tls_client_certificate_bound_access_tokens,omitempty"`
	MTLSAliases *aliases `json:"mtls_endpoint_aliases,omitempty"`
	// RevocationList is where package bearer polls; no RFC has it.
	RevocationList string `json:"revocation_list_uri"`
}

// aliases are the endpoints for clients that show a certificate.
type aliases struct {
	TokenEndpoint         string `json:"token_endpoint"`
	RevocationEndpoint    string `json:"revocation_endpoint"`
	IntrospectionEndpoint string `json:"introspection_endpoint"`
}

// openIDMetadata has what a parser of OpenID Connect Discovery §3 demands beside it. No ID token is
// issued: the algorithm is that of access tokens, as in the documents of Kubernetes and SPIRE.
type openIDMetadata struct {
	metadata
	SubjectTypes      []string `json:"subject_types_supported"`
	IDTokenAlgorithms []string `json:"id_token_signing_alg_values_supported"`
}

func (e *endpoint) metadata() metadata {
	p, ways := e.issuer.Profile, named(e.issuer.ResourceAuth())
	m := metadata{
		Issuer: e.issuer.URL, TokenEndpoint: e.issuer.Endpoints()[0], JWKSURI: e.issuer.URL + jwksPath,
		ScopesSupported:    p.Policy.Scope.Words,
		ResponseTypes:      []string{}, // there is no authorization endpoint
		RevocationEndpoint: e.issuer.URL + revokePath, RevocationAuthMethods: ways,
		IntrospectionEndpoint: e.issuer.URL + introspectPath, IntrospectionAuthMethods: ways,
		RevocationList: e.issuer.URL + revocationsPath,
	}
	m.BoundTokens = e.wire.certificates != nil && p.Policy.Token.Claim("cnf") != nil
	if base := e.issuer.MTLSURL; base != "" {
		m.MTLSAliases = &aliases{base + p.Wire.Path, base + revokePath, base + introspectPath}
	}
	for _, grant := range p.Policy.Grants {
		m.GrantTypes = append(m.GrantTypes, grant.Type)
		for _, name := range named(grant.ClientAuth) {
			if !slices.Contains(m.AuthMethods, name) {
				m.AuthMethods = append(m.AuthMethods, name)
			}
		}
	}
	if p.Policy.Uses(oauth.AuthPrivateKeyJWT) {
		m.AuthSigningAlgorithms = e.issuer.AssertionAlgs()
	}
	if slices.Contains(ways, string(oauth.AuthPrivateKeyJWT)) {
		m.RevocationAuthAlgs, m.IntrospectionAuthAlgs = e.issuer.AssertionAlgs(), e.issuer.AssertionAlgs()
	}
	if e.issuer.TrustsSPIFFE() {
		m.AuthMethods = withSVID(m.AuthMethods)
		m.RevocationAuthMethods, m.IntrospectionAuthMethods = withSVID(ways), withSVID(ways)
	}
	return m
}

// of is the metadata while signatures are by alg, in one of two forms.
func (m metadata) of(alg string, openID bool) any {
	m.IntrospectionAlgorithms = []string{alg}
	if !openID {
		return m
	}
	return openIDMetadata{m, []string{"public"}, []string{alg}}
}

// document publishes metadata. After the issuer's alg is changed the old key signs until the new one
// takes over, and the algorithm is that of the key that signs.
func (e *endpoint) document(m metadata, openID bool) http.HandlerFunc {
	type text struct {
		body []byte
		etag string
	}
	byAlg := map[string]text{}
	for _, alg := range []jose.Alg{jose.ES256, jose.PS256, jose.RS256, jose.EdDSA} {
		body, err := json.Marshal(m.of(string(alg), openID))
		if err != nil {
			panic(fmt.Sprintf("metadata of strings does not marshal: %v", err))
		}
		sum := sha256.Sum256(body)
		byAlg[string(alg)] = text{body, `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
	}
	return func(w http.ResponseWriter, r *http.Request) {
		alg := e.issuer.Alg
		if signer, err := e.Keyring.Signer(e.issuer.Name, e.Now()); err == nil {
			alg = string(signer.Alg())
		}
		found := byAlg[alg]
		publish(w, r, "application/json", found.body, found.etag, keyring.JWKSMaxAge)
	}
}

// named lists the names of sets in metadata. A set that no registered name stands for, such as an
// API key or several methods at once, is an absolute URI (RFC 7591 §2).
func named(sets []platform.AuthSet) []string {
	names := make([]string, len(sets))
	for i, set := range sets {
		names[i] = set.String()
		if len(set) > 1 || set.Has(oauth.AuthAPIKey) {
			names[i] = unregisteredMethod + strings.ReplaceAll(names[i], " ", "")
		}
	}
	return names
}

// unregisteredMethod begins the URI of a set of methods; the rest is as in the profile.
const unregisteredMethod = "urn:x-moneyer:client-auth:"

// withSVID adds the method of JWT-SVIDs where a JWT authenticates a client
// (draft-ietf-oauth-spiffe-client-auth §4).
func withSVID(methods []string) []string {
	if slices.Contains(methods, string(oauth.AuthPrivateKeyJWT)) {
		methods = append(slices.Clip(methods), "spiffe_jwt")
	}
	return methods
}

// jwks publishes the issuer's keys (RFC 7517 §5).
func (e *endpoint) jwks(w http.ResponseWriter, r *http.Request) {
	now := e.Now()
	keys, err := e.Keyring.JWKS(e.issuer.Name, now)
	if err != nil {
		e.unavailable(w, r, err)
		return
	}
	age := keyring.JWKSMaxAge
	if !keys.Until.IsZero() {
		age = min(age, keys.Until.Sub(now))
	}
	publish(w, r, "application/jwk-set+json", keys.Body, keys.ETag, age)
}

// publish answers everybody with a cacheable document, or 304 when the caller has it.
func publish(w http.ResponseWriter, r *http.Request, contentType string, body []byte, etag string, age time.Duration) {
	h := w.Header()
	h.Set("Cache-Control", "public, max-age="+strconv.Itoa(int(max(age, 0)/time.Second)))
	h.Set("Access-Control-Allow-Origin", "*")
	serve(w, r, contentType, body, etag)
}

// serve answers with a document, or 304 when the caller has it.
func serve(w http.ResponseWriter, r *http.Request, contentType string, body []byte, etag string) {
	h := w.Header()
	h.Set("ETag", etag)
	if r.Method != http.MethodPost && matches(r.Header.Get("If-None-Match"), etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

// matches compares weakly (RFC 9110 §13.1.2).
func matches(ifNoneMatch, etag string) bool {
	for candidate := range strings.SplitSeq(ifNoneMatch, ",") {
		candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
		if candidate == strings.TrimPrefix(etag, "W/") || candidate == "*" {
			return true
		}
	}
	return false
}
