package server_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"moneyer/assertion"
	"moneyer/internal/authority"
	"moneyer/internal/jose"
	"moneyer/internal/keyring"
	"moneyer/internal/ledger"
	"moneyer/internal/overload"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/internal/rowauth/rowauthtest"
	"moneyer/internal/server"
	"moneyer/internal/store"
	"moneyer/oauth"
	"moneyer/profile"
)

// callers at once, for each benchmark over HTTP: enough to keep a core busy while
// the disk makes a batch durable.
const callers = 256

// BenchmarkCeiling is what a jwt-bearer request must at least cost: a check of
// one signature, the making of another, and an HTTP exchange that does nothing.
// Compare with BenchmarkRequest in the same run, both with -cpu 1.
func BenchmarkCeiling(b *testing.B) {
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256([]byte("message"))
	signer, err := jose.NewSigner(key, jose.ES256, "kid", "")
	if err != nil {
		b.Fatal(err)
	}
	compact, err := signer.Sign(nil, digest[:])
	if err != nil {
		b.Fatal(err)
	}
	parsed, err := jose.Parse(string(compact))
	if err != nil {
		b.Fatal(err)
	}
	empty := serveOn(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if _, err := key.Sign(rand.Reader, digest[:], nil); err != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
		if err := parsed.Verify(signer.Public()); err != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = w.Write(make([]byte, 700))
	}))
	post(b, empty, func(int) string { return strings.Repeat("x", 500) })
}

// BenchmarkRequest is an ES256 assertion in, an ES256 token out, used once, the
// ledger durable on the disk of the temporary folder.
func BenchmarkRequest(b *testing.B) {
	f := newBenchFixture(b)
	bodies := make([]string, b.N)
	for i := range bodies {
		bodies[i] = f.body(b)
	}
	post(b, f.endpoint, func(i int) string { return bodies[i] })
}

// post sends b.N requests from many callers.
func post(b *testing.B, endpoint string, body func(int) string) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	var next atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(callers)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			resp, err := client.Post(endpoint, "application/x-www-form-urlencoded", strings.NewReader(body(int(next.Add(1)-1))))
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				b.Errorf("status %d", resp.StatusCode)
				return
			}
		}
	})
}

func serveOn(b *testing.B, h http.Handler) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.Serve(l) }()
	b.Cleanup(func() { s.Close() })
	return "http://" + l.Addr().String() + "/oauth2/token"
}

type benchFixture struct {
	signer   *assertion.Signer
	endpoint string
}

const benchClient = "merchant01"

func newBenchFixture(b *testing.B) *benchFixture {
	b.Helper()
	ctx := context.Background()
	db, err := store.Open(ctx, "sqlite:"+filepath.Join(b.TempDir(), "bench.db"), store.Options{Create: true, RowKey: rowauthtest.Key(), Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	found, err := profile.Builtin("thales-d1")
	p := found.Definition()
	if err != nil {
		b.Fatal(err)
	}
	issuer := &registry.Issuer{Name: "d1", URL: "http://127.0.0.1", Profile: p, AudienceNames: []string{"stg"}, ResourceAudience: "https://api.example.com",
		TokenLifetime: 15 * time.Minute, Replay: platform.ReplayOnce, Alg: "ES256"}
	f := &benchFixture{signer: onboardBench(b, ctx, db, issuer)}
	master, err := keyring.NewMasterKey()
	if err != nil {
		b.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	keys := &keyring.Keyring{Store: db, Master: master, Now: time.Now, Issuers: map[string]keyring.Settings{"d1": {Alg: jose.ES256, Typ: "at+jwt"}}}
	if err := keys.Load(ctx); err != nil {
		b.Fatal(err)
	}
	if err := keys.Ensure(ctx, "d1"); err != nil {
		b.Fatal(err)
	}
	limits := overload.Default()
	limits.AddressRate, limits.Readers, limits.AtWork, limits.RequestTime = overload.Rate{PerSecond: 1e6, Burst: 1e6}, 32*callers, 4*callers, 10*time.Second
	s := &server.Server{
		Issuers: []*registry.Issuer{issuer}, Keyring: keys, Admission: overload.NewAdmission(limits),
		Authority: &authority.Authority{Registry: db, Ledger: db, Keyring: keys, Pepper: master.Pepper(), Now: time.Now,
			ClientRate: overload.NewLimiter[authority.ClientName](overload.Rate{PerSecond: 1e6, Burst: 1e6}, 1000), Refusals: authority.NewRefusals(db, overload.Rate{PerSecond: 1}), Revocations: authority.NewRevocations(db)},
		Ready: func(context.Context) error { return nil }, Refused: server.NewRefusalLog(log, overload.Rate{PerSecond: 1}),
		Observe: func(string, string, oauth.Code, time.Duration) {}, Now: time.Now,
	}
	h, err := s.Handler()
	if err != nil {
		b.Fatal(err)
	}
	f.endpoint = serveOn(b, h)
	return f
}

func onboardBench(b *testing.B, ctx context.Context, db *store.DB, issuer *registry.Issuer) *assertion.Signer {
	b.Helper()
	key, err := assertion.GenerateKey("ES256")
	if err != nil {
		b.Fatal(err)
	}
	public, err := jose.NewPublicKey(key.Public(), jose.ES256)
	if err != nil {
		b.Fatal(err)
	}
	c := &registry.Client{Issuer: "d1", ID: benchClient, Scope: oauth.Scope{"d1-s2s:api:merchant-gtw"}}
	if err := c.AddKey(issuer, nil, registry.Key{Kid: "k1", Public: public}); err != nil {
		b.Fatal(err)
	}
	if err := db.PutClient(ctx, c, &ledger.Entry{Kind: ledger.KindAdmin, Time: time.Now(), Action: "client.add"}); err != nil {
		b.Fatal(err)
	}
	signer, err := assertion.NewSigner(key, "", "k1", "")
	if err != nil {
		b.Fatal(err)
	}
	return signer
}

// body is a token request with a new assertion.
func (f *benchFixture) body(b *testing.B) string {
	signed, err := f.signer.Sign(assertion.Assertion{Issuer: benchClient, Subject: benchClient, Audience: []string{"stg"},
		ID: assertion.NewID(), Expiry: time.Now().Add(10 * time.Minute)})
	if err != nil {
		b.Fatal(err)
	}
	return url.Values{"grant_type": {string(oauth.JWTBearer)}, "assertion": {signed}}.Encode()
}
