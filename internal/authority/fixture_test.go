package authority_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // for P-384
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/evidence"
	"moneyer/internal/jose"
	"moneyer/internal/ledger"
	"moneyer/internal/overload"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/internal/revocation"
	"moneyer/internal/store"
	"moneyer/oauth"
	"moneyer/profile"
)

// noon is when every test begins: on a whole second, so that edges are exact.
var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

const (
	clientID = "ACMEGW0001"
	otherID  = "OTHERGW002"
	kid      = "key-1"
)

var unlimited = overload.Rate{}

// partnerKey signs the client's assertions, strangerKey is registered nowhere.
var (
	partnerKey  = newKey(jose.ES256)
	secondKey   = newKey(jose.ES256)
	strangerKey = newKey(jose.ES256)
	sparePublic = publicOf(newKey(jose.ES256))
	tokenSigner = signerOf(newKey(jose.ES256), jose.ES256, "signing-1")
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newKey(alg jose.Alg) crypto.Signer { return must(jose.GenerateKey(alg)) }

func signerOf(key crypto.Signer, alg jose.Alg, kid string) *jose.Signer {
	return must(jose.NewSigner(key, alg, kid, "at+jwt"))
}

func publicOf(key crypto.Signer) *jose.PublicKey {
	return must(jose.NewPublicKey(key.Public(), must(jose.KeyAlg(key.Public()))))
}

// fixture is an authority with all its neighbours in memory.
type fixture struct {
	*authority.Authority
	registry *memoryRegistry
	ledger   *memoryLedger
	issuer   *registry.Issuer
	now      time.Time
	db       *store.DB // the ledger, where it is in SQLite
	// secrets are what nobody may be told.
	secrets []string
}

var builtins sync.Map // by name, parsed once: there are thousands of fixtures

// builtin returns a copy of a built-in profile. What its slices and maps hold is shared.
func builtin(t testing.TB, name string) *platform.Profile {
	t.Helper()
	if found, ok := builtins.Load(name); ok {
		p := *found.(*platform.Profile)
		return &p
	}
	found, err := profile.Builtin(name)
	if err != nil {
		t.Fatal(err)
	}
	builtins.Store(name, found.Definition())
	p := *found.Definition()
	return &p
}

// newFixture has one issuer of the profile and two clients, with a key each.
func newFixture(t testing.TB, profileName string) *fixture {
	t.Helper()
	p := builtin(t, profileName)
	p.Policy.Assertion.MaxLifetime = maxLifetime // one bound, so that one table of edges does for all
	h := &fixture{registry: &memoryRegistry{clients: map[string]*registry.Client{}}, ledger: &memoryLedger{}, now: noon}
	h.issuer = &registry.Issuer{
		Name: "d1", URL: "https://auth.example/d1", Profile: p, Environment: "stg", AudienceNames: []string{"stg", "prd"},
		ResourceAudience: "https://api.example", TokenLifetime: p.Policy.Token.Lifetime,
		Replay: p.Policy.Assertion.Replay, Alg: p.Policy.Token.Alg,
	}
	for id, key := range map[string]crypto.Signer{clientID: partnerKey, otherID: secondKey} {
		h.registry.add(&registry.Client{Issuer: "d1", ID: id, Scope: oauth.Scope{"pay", "read"}, Created: noon,
			Keys: []registry.Key{{Kid: kid, Public: publicOf(key)}, {Kid: "spare-" + id, Public: sparePublic}}})
	}
	h.registry.clients[otherID].Keys[0].Kid = "key-2"
	h.Authority = &authority.Authority{
		Registry: h.registry, Ledger: h.ledger, Keyring: keyring{tokenSigner.As(p.Policy.Token.Typ)}, Pepper: registry.Pepper("pepper"),
		ClientRate: overload.NewLimiter[authority.ClientName](unlimited, 64), Refusals: authority.NewRefusals(h.ledger, unlimited),
		Revocations: authority.NewRevocations(h.ledger), Now: func() time.Time { return h.now },
	}
	return h
}

func (h *fixture) client() *registry.Client { return h.registry.clients[clientID] }

func (h *fixture) exchange(req *authority.Request) (*authority.AccessToken, error) {
	return h.Exchange(context.Background(), h.issuer, req)
}

// flush writes the refusals that wait.
func (h *fixture) flush(t testing.TB) {
	t.Helper()
	if err := h.Refusals.Flush(t.Context(), h.now); err != nil {
		t.Fatal(err)
	}
}

// keepSecret notes texts that may be told nowhere: whole, and the parts of a JWT.
func (h *fixture) keepSecret(texts ...string) {
	for _, text := range texts {
		h.secrets = append(h.secrets, text)
		h.secrets = append(h.secrets, strings.Split(text, ".")...)
	}
}

// newSecret registers a secret or an API key of the client.
func (h *fixture) newSecret(t testing.TB, kind registry.SecretKind) string {
	t.Helper()
	_, text, err := h.client().NewSecret(h.issuer, h.Pepper, kind, time.Time{}, h.now)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// addAccount registers the client's account with two items.
func (h *fixture) addAccount() *registry.Account {
	a := &registry.Account{Issuer: "d1", ID: "shop-1", Client: clientID,
		Attributes: map[string]registry.Attribute{"trId": {Text: "40012345678"}}}
	h.registry.accounts = map[string]*registry.Account{"shop-1": a}
	h.registry.items = []registry.Item{
		{Issuer: "d1", ID: "card-1", Account: "shop-1", Kind: "visa"},
		{Issuer: "d1", ID: "card-2", Account: "shop-1", Kind: "mastercard"},
	}
	h.client().Scope = oauth.Scope{"PAYMENT_PASSKEY"}
	return a
}

func secretRequest(secret string) *authority.Request {
	return &authority.Request{GrantType: oauth.ClientCredentials, ClientID: clientID, Credentials: []authority.Credential{{Method: oauth.AuthPost, ID: clientID, Secret: secret}}, Correlation: "corr-1"}
}

func apiKeyRequest(key string) *authority.Request {
	return &authority.Request{GrantType: oauth.ClientCredentials, Credentials: []authority.Credential{{Method: oauth.AuthAPIKey, APIKey: key}}, Scope: "PAYMENT_PASSKEY", Correlation: "corr-1",
		Params: []authority.Param{
			{Name: "merchantId", Value: registry.Attribute{Text: "shop-1"}},
			{Name: "tokens", Value: registry.Attribute{List: []string{"card-1", "card-2"}, IsList: true}},
		}}
}

// memoryRegistry is a Registry in memory. Tests change what it holds before they ask.
type memoryRegistry struct {
	clients  map[string]*registry.Client
	accounts map[string]*registry.Account
	items    []registry.Item
	err      error

	mu      sync.Mutex
	touched []string
}

func (r *memoryRegistry) add(c *registry.Client) { r.clients[c.ID] = c }

func (r *memoryRegistry) FindClient(_ context.Context, issuer, id string) (*registry.Client, bool, error) {
	c := r.clients[id]
	if r.err != nil {
		return nil, true, r.err
	}
	if c == nil || c.Issuer != issuer {
		return nil, true, registry.ErrNotFound
	}
	return c, false, nil
}

func (r *memoryRegistry) FindClientByDigest(_ context.Context, issuer string, key registry.Digest) (*registry.Client, bool, error) {
	for _, c := range r.clients {
		if c.Issuer == issuer && (slices.ContainsFunc(c.Secrets, func(s registry.Secret) bool { return s.Digest == key }) ||
			slices.ContainsFunc(c.Identities, func(i registry.Identity) bool { return i.Digest == key })) {
			return c, false, r.err
		}
	}
	return nil, true, errors.Join(r.err, registry.ErrNotFound)
}

func (r *memoryRegistry) Account(_ context.Context, issuer, id string) (*registry.Account, error) {
	a := r.accounts[id]
	if r.err != nil {
		return nil, r.err
	}
	if a == nil || a.Issuer != issuer {
		return nil, registry.ErrNotFound
	}
	return a, nil
}

func (r *memoryRegistry) Items(_ context.Context, issuer string, ids []string) ([]registry.Item, error) {
	var found []registry.Item
	for _, item := range r.items {
		if item.Issuer == issuer && slices.Contains(ids, item.ID) {
			found = append(found, item)
		}
	}
	return found, r.err
}

func (r *memoryRegistry) Touch(issuer, client, credential string, _ time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.touched = append(r.touched, issuer+" "+client+" "+credential)
}

// memoryLedger is a Ledger in memory.
type memoryLedger struct {
	mu      sync.Mutex
	entries []ledger.Entry
	used    map[[32]byte]ledger.Consumed
	// revocations that were put.
	revocations []revocation.Revocation
	err         error // what every Append answers, when set
	// listed is called after each reading of revocations, and puts before each is put.
	listed, puts func()
	ahead        time.Duration // of another replica's clock
	// expected entries now, when one was appended last, and the most at any time.
	expected, expectedAtAppend, mostExpected int
}

func (l *memoryLedger) Expect(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expected += n
	l.mostExpected = max(l.mostExpected, l.expected)
}

// ClocksAhead implements authority.RevocationStore.
func (l *memoryLedger) ClocksAhead() time.Duration { return l.ahead }

func (l *memoryLedger) Append(_ context.Context, e *ledger.Entry, consumed ...ledger.Consumed) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expectedAtAppend = l.expected
	if l.err != nil {
		return l.err
	}
	for i, c := range consumed {
		if first, ok := l.used[c.Value]; ok {
			return &ledger.ReplayedError{Index: i, Sealed: first.Sealed}
		}
	}
	if l.used == nil {
		l.used = map[[32]byte]ledger.Consumed{}
	}
	for _, c := range consumed {
		l.used[c.Value] = c
	}
	l.entries = append(l.entries, *e)
	return nil
}

// Revocations implements authority.RevocationStore.
func (l *memoryLedger) Revocations(_ context.Context, issuer string) ([]revocation.Revocation, error) {
	if l.listed != nil {
		defer l.listed()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.revocations), func(r revocation.Revocation) bool { return r.Issuer != issuer }), l.err
}

// Revocation implements authority.RevocationStore.
func (l *memoryLedger) Revocation(_ context.Context, issuer, id string) (*revocation.Revocation, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.revocations {
		if r := l.revocations[i]; r.Issuer == issuer && r.ID == id {
			return &r, l.err
		}
	}
	return nil, registry.ErrNotFound
}

func (l *memoryLedger) PutRevocation(ctx context.Context, r *revocation.Revocation, e *ledger.Entry) error {
	if l.puts != nil {
		l.puts()
	}
	if err := l.Append(ctx, e); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.revocations = append(l.revocations, *r)
	return nil
}

func (l *memoryLedger) Entries(_ context.Context, q ledger.Query, visit func(*ledger.Record) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.entries {
		if !q.Matches(&l.entries[i]) {
			continue
		}
		line, err := l.entries[i].AppendJSON(nil)
		if err != nil {
			return err
		}
		if err := visit(&ledger.Record{Seq: int64(i + 1), Line: line}); err != nil {
			return err
		}
	}
	return l.err
}

// of lists the entries of a kind.
func (l *memoryLedger) of(kind ledger.Kind) []ledger.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.entries), func(e ledger.Entry) bool { return e.Kind != kind })
}

// keyring always signs with one key.
type keyring struct{ signer *jose.Signer }

func (k keyring) Public(_, kid string, _ time.Time) (*jose.PublicKey, error) {
	if k.signer == nil || kid != k.signer.Kid() {
		return nil, registry.ErrNotFound
	}
	return k.signer.Public(), nil
}

func (k keyring) Signer(string, time.Time) (*jose.Signer, error) {
	if k.signer == nil {
		return nil, errors.New("no signing key is active")
	}
	return k.signer, nil
}

// spec is an assertion in the making. A test edits it; edits of the fixture that
// go with it are made at once.
type spec struct {
	*fixture
	header, claims map[string]any
	key            crypto.Signer
	// rawHeader and rawClaims replace header and claims.
	rawHeader, rawClaims string
	// clientID goes into the request beside the assertion.
	clientID string
	// resign changes a finished signature.
	resign func(sig []byte) []byte
	// rewrite changes the finished token.
	rewrite func(string) string
}

// spec begins with an assertion that every profile accepts, in either use.
func (h *fixture) spec() *spec {
	return &spec{
		fixture: h, key: partnerKey,
		header: map[string]any{"alg": "ES256", "kid": kid},
		claims: map[string]any{"iss": clientID, "sub": clientID, "aud": h.issuer.URL, "exp": h.at(5 * time.Minute)},
	}
}

// at is a NumericDate that far from the clock of the fixture.
func (h *fixture) at(d time.Duration) int64 { return h.now.Add(d).Unix() }

func (s *spec) String() string {
	header, claims := s.rawHeader, s.rawClaims
	if header == "" {
		header = string(must(json.Marshal(s.header)))
	}
	if claims == "" {
		claims = string(must(json.Marshal(s.claims)))
	}
	input := encode(header) + "." + encode(claims)
	sig := rawSignature(s.key, input)
	if s.resign != nil {
		sig = s.resign(sig)
	}
	compact := input + "." + encode(string(sig))
	if s.rewrite != nil {
		compact = s.rewrite(compact)
	}
	return compact
}

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func decode(text string) string { return string(must(base64.RawURLEncoding.DecodeString(text))) }

// rawSignature signs as the key can, whatever the header says.
func rawSignature(key crypto.Signer, input string) []byte {
	if pair, ok := key.(*ecdsa.PrivateKey); ok {
		hash, size := crypto.SHA256, 32
		if pair.Curve == elliptic.P384() {
			hash, size = crypto.SHA384, 48
		}
		digest := hash.New()
		digest.Write([]byte(input))
		r, s, err := ecdsa.Sign(rand.Reader, pair, digest.Sum(nil))
		if err != nil {
			panic(err)
		}
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	}
	if pair, ok := key.(*rsa.PrivateKey); ok {
		digest := sha256.Sum256([]byte(input))
		return must(pair.Sign(rand.Reader, digest[:], crypto.SHA256))
	}
	return must(key.Sign(rand.Reader, []byte(input), crypto.Hash(0))) // Ed25519
}

// assertion makes one with its own jti.
func (h *fixture) assertion() string {
	s := h.spec()
	s.claims["jti"] = rand.Text()
	return s.String()
}

func grantRequest(assertion string) *authority.Request {
	return &authority.Request{GrantType: oauth.JWTBearer, Assertion: assertion, Correlation: "corr-1"}
}

func clientAuthRequest(assertion string) *authority.Request {
	return &authority.Request{GrantType: oauth.ClientCredentials, Credentials: []authority.Credential{{Method: oauth.AuthPrivateKeyJWT, Assertion: assertion}}, Correlation: "corr-1"}
}

// refusalOf takes a refusal apart, which it must be.
func refusalOf(t testing.TB, token *authority.AccessToken, err error) (*oauth.Error, *evidence.Refusal) {
	t.Helper()
	if token != nil {
		t.Fatalf("a token beside error %v", err)
	}
	var e *oauth.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v is no *oauth.Error", err)
	}
	refusal := &evidence.Refusal{}
	errors.As(err, &refusal)
	return e, refusal
}

// claimsOf verifies a token of the fixture and gives its claims.
func claimsOf(t testing.TB, token *authority.AccessToken) map[string]any {
	t.Helper()
	jws, err := jose.Parse(token.Token)
	if err != nil {
		t.Fatal(err)
	}
	if err := jws.Verify(tokenSigner.Public()); err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{}
	if err := json.Unmarshal(jws.Payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// shown is the credential of a request; empty where the grant proves who asks.
func shown(req *authority.Request) *authority.Credential {
	if len(req.Credentials) == 0 {
		return &authority.Credential{}
	}
	return &req.Credentials[0]
}

// secretOf is the secret or API key of a request.
func secretOf(req *authority.Request) string { return shown(req).Secret + shown(req).APIKey }

// as makes another client ask.
func as(req *authority.Request, id string) *authority.Request {
	req.ClientID, shown(req).ID = id, id
	return req
}

// copyOf shares no credential with req.
func copyOf(req *authority.Request) *authority.Request {
	other := *req
	other.Credentials = slices.Clone(req.Credentials)
	return &other
}
