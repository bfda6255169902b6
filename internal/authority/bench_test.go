package authority_test

import (
	"context"
	"testing"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/ledger"
	"moneyer/internal/overload"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// noLedger records nothing, so that what is measured is the authority's own work.
type noLedger struct{}

func (noLedger) Append(context.Context, *ledger.Entry, ...ledger.Consumed) error { return nil }

func (noLedger) Expect(int) {}

// quiet is a registry that notes no last use.
type quiet struct{ *memoryRegistry }

func (quiet) Touch(string, string, string, time.Time) {}

func benchmarkExchange(b *testing.B, profileName string, request func(*fixture) *authority.Request, code oauth.Code) {
	h := newFixture(b, profileName)
	req := request(h)
	h.Ledger, h.Registry, h.Refusals = noLedger{}, quiet{h.registry}, authority.NewRefusals(noLedger{}, overload.Rate{PerSecond: 0.01})
	b.ReportAllocs()
	for b.Loop() {
		token, err := h.Exchange(b.Context(), h.issuer, req)
		if code == "" && err != nil || code != "" && (token != nil || oauth.AsError(err).Code != code) {
			b.Fatal(err)
		}
	}
}

func BenchmarkExchange(b *testing.B) {
	b.Run("jwt-bearer", func(b *testing.B) {
		benchmarkExchange(b, "thales-d1", func(h *fixture) *authority.Request { return grantRequest(h.assertion()) }, "")
	})
	b.Run("private_key_jwt", func(b *testing.B) {
		benchmarkExchange(b, "oauth2", func(h *fixture) *authority.Request { return clientAuthRequest(h.assertion()) }, "")
	})
	b.Run("client_secret", func(b *testing.B) {
		benchmarkExchange(b, "oauth2", func(h *fixture) *authority.Request { return secretRequest(h.newSecret(b, registry.ClientSecret)) }, "")
	})
	b.Run("api_key", func(b *testing.B) {
		benchmarkExchange(b, "thales-etp", func(h *fixture) *authority.Request {
			h.addAccount()
			return apiKeyRequest(h.newSecret(b, registry.APIKey))
		}, "")
	})
}

// A wrong signature and a client that is not there should cost the same.
func BenchmarkRefusal(b *testing.B) {
	for name, edit := range map[string]func(*spec){
		"signature": func(s *spec) { s.key = strangerKey },
		"client":    claim("iss", "NOBODY0000"),
		"kid":       header("kid", "key-9"),
		"RS256 signature": func(s *spec) {
			s.client().Keys[0].Public, s.key = publicOf(rsaKey), rsaKey
			s.header["alg"] = "RS256"
			s.resign = func(sig []byte) []byte { sig[9] ^= 1; return sig }
		},
		"RS256 client": all(claim("iss", "NOBODY0000"), header("alg", "RS256"), func(s *spec) { s.key = rsaKey }),
	} {
		b.Run(name, func(b *testing.B) {
			benchmarkExchange(b, "oauth2", func(h *fixture) *authority.Request {
				s := h.spec()
				edit(s)
				return grantRequest(s.String())
			}, oauth.InvalidGrant)
		})
	}
}
