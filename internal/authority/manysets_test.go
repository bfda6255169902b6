package authority_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"moneyer/internal/authority"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// TestSetsOfSeveralMembers: a request shows all members of a set and no others, whatever
// other sets there are. A certificate on the connection is no credential where a set
// without one is shown.
func TestSetsOfSeveralMembers(t *testing.T) {
	const (
		basic, key, jwt = oauth.AuthBasic, oauth.AuthAPIKey, oauth.AuthPrivateKeyJWT
		cert            = oauth.AuthSelfSignedTLS
	)
	sets := []platform.AuthSet{{basic, key}, {key, cert}, {jwt, cert}, {basic, key, jwt}, {cert}}
	for shown, want := range map[string]string{
		"client_secret_basic api_key":                                             ok,
		"client_secret_basic api_key private_key_jwt":                             ok,
		"api_key self_signed_tls_client_auth":                                     ok,
		"private_key_jwt self_signed_tls_client_auth":                             ok,
		"self_signed_tls_client_auth":                                             ok,
		"client_secret_basic api_key self_signed_tls_client_auth":                 ok,
		"client_secret_basic api_key private_key_jwt self_signed_tls_client_auth": ok,
		"client_secret_basic":                                                     "client authentication",
		"api_key":                                                                 "client authentication",
		"private_key_jwt":                                                         "client authentication",
		"":                                                                        "client authentication",
		"client_secret_basic private_key_jwt":                                     "client authentication",
		"api_key private_key_jwt":                                                 "client authentication",
		"client_secret_basic self_signed_tls_client_auth":                         "client authentication",
		"api_key private_key_jwt self_signed_tls_client_auth":                     "client authentication",
	} {
		methods := strings.Fields(shown)
		for wrong := range slices.Values(append([]string{""}, methods...)) {
			h := newFixture(t, "oauth2")
			h.issuer.Profile.Policy.Grants = []platform.Grant{{Type: oauth.ClientCredentials, ClientAuth: sets}}
			req := h.requestOf(t, methods, wrong)
			token, err := h.exchange(req)
			rule := want
			if want == ok {
				rule = map[string]string{"client_secret_basic": "secret", "api_key": "API key", "private_key_jwt": "signature", "self_signed_tls_client_auth": "client certificate"}[wrong]
			}
			if want == ok && wrong == string(cert) && slices.Contains(methods, string(basic)) {
				rule = ok // of this set it is no member
			}
			if rule == ok {
				if err != nil {
					t.Errorf("%q with a wrong %q: %v", shown, wrong, err)
				}
				continue
			}
			if e, refusal := refusalOf(t, token, err); e.Code != oauth.InvalidClient || refusal.Rule != rule {
				t.Errorf("%q with a wrong %q: %s by %q, want %q", shown, wrong, e.Code, refusal.Rule, rule)
			}
		}
	}
}

// requestOf shows some methods, one of them wrong.
func (h *fixture) requestOf(t *testing.T, methods []string, wrong string) *authority.Request {
	t.Helper()
	mine := shownCertificate(t, "mine")
	h.client().Certificates = []registry.Certificate{{ID: "c1", Match: registry.MatchCertificate, Value: mine.Thumbprint()}}
	req := &authority.Request{GrantType: oauth.ClientCredentials, ClientID: clientID}
	secret, apiKey, jwt := h.newSecret(t, registry.ClientSecret), h.newSecret(t, registry.APIKey), h.spec()
	switch oauth.ClientAuth(wrong) {
	case oauth.AuthBasic:
		secret = "wrong"
	case oauth.AuthAPIKey:
		apiKey = "wrong"
	case oauth.AuthPrivateKeyJWT:
		jwt.key = strangerKey
	case oauth.AuthSelfSignedTLS:
		mine = shownCertificate(t, "other")
	}
	all := map[oauth.ClientAuth]authority.Credential{
		oauth.AuthBasic:         {Method: oauth.AuthBasic, ID: clientID, Secret: secret},
		oauth.AuthAPIKey:        {Method: oauth.AuthAPIKey, APIKey: apiKey},
		oauth.AuthPrivateKeyJWT: {Method: oauth.AuthPrivateKeyJWT, Assertion: jwt.String()},
	}
	for _, method := range slices.Sorted(maps.Keys(all)) {
		if slices.Contains(methods, string(method)) {
			req.Credentials = append(req.Credentials, all[method])
		}
	}
	if slices.Contains(methods, string(oauth.AuthSelfSignedTLS)) {
		req.Certificate = mine
	}
	return req
}
