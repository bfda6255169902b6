package server_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"moneyer/internal/ledger"
	"moneyer/internal/revocation"
)

// BenchmarkCheck is a request of a proxy without the network: an ES256 token judged,
// and its headers.
func BenchmarkCheck(b *testing.B) {
	w := openTown(b)
	benchmark(b, w, http.MethodGet, "/check?scope=read", http.Header{"Authorization": {"Bearer " + w.mint(b, w.one)}}, "")
}

// BenchmarkCheckRevoked is the same with the most clients revoked, none of them the
// token's.
func BenchmarkCheckRevoked(b *testing.B) {
	w := openTown(b)
	for i := range revocation.MaxGroups {
		v := &revocation.Revocation{Issuer: "plain", ID: fmt.Sprint(i), Claim: "client_id", Value: fmt.Sprint("gone-", i), Before: w.Now(), Until: w.Now().AddDate(1, 0, 0)}
		must(b, w.authority.Revocations.Add(b.Context(), v, &ledger.Entry{Kind: ledger.KindAdmin, Time: w.Now()}))
	}
	benchmark(b, w, http.MethodGet, "/check?scope=read", http.Header{"Authorization": {"Bearer " + w.mint(b, w.one)}}, "")
}

// BenchmarkIntrospect is the same by RFC 7662, the client known by its secret.
func BenchmarkIntrospect(b *testing.B) {
	w := openTown(b)
	benchmark(b, w, http.MethodPost, "/introspect", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, "token="+w.mint(b, w.one)+"&"+w.asking)
}

// BenchmarkIntrospectSigned has the answer in a JWT (RFC 9701).
func BenchmarkIntrospectSigned(b *testing.B) {
	w := openTown(b)
	benchmark(b, w, http.MethodPost, "/introspect", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/token-introspection+jwt"}},
		"token="+w.mint(b, w.one)+"&"+w.asking)
}

func openTown(b *testing.B) *platformServer {
	b.Helper()
	s := readSetup(b, "testdata/transcripts/oauth2", "limit client=1e9/1000000000 address=1e9/1000000000")
	return &platformServer{platformCase: platforms[0], testServer: s.open(b)}
}

func benchmark(b *testing.B, w *platformServer, method, target string, header http.Header, body string) {
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequestWithContext(b.Context(), method, target, strings.NewReader(body))
		r.Host, r.Header = w.host(), header
		answer := httptest.NewRecorder()
		if w.handler.ServeHTTP(answer, r); answer.Code != http.StatusOK {
			b.Fatal(answer.Code, answer.Body)
		}
	}
}
