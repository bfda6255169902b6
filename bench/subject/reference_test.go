package subject

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"moneyer/assertion"
	"moneyer/internal/openssl"
)

func TestReferencesMint(t *testing.T) {
	client, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := assertion.NewSigner(client, "ES256", "k", "")
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(assertion.Assertion{Issuer: "gw", ID: assertion.NewID()})
	if err != nil {
		t.Fatal(err)
	}
	works := Works(Go)
	if openssl.Enabled() {
		works = append(works, Works(OpenSSL)...)
	}
	for _, named := range works {
		t.Run(string(named), func(t *testing.T) {
			work, library := named.split()
			m, err := newMinter(work == SignRSA, library)
			if err != nil {
				t.Fatal(err)
			}
			r := &reference{work: work, minter: m, client: &client.PublicKey, fixed: []byte("fixed")}
			good := ask(r, "grant_type=x&assertion="+signed)
			if good.Code != http.StatusOK {
				t.Fatalf("status %d: %s", good.Code, good.Body)
			}
			bad := ask(r, "grant_type=x&assertion="+url.QueryEscape(signed[:len(signed)-4]+"AAAA"))
			if refused := bad.Code != http.StatusOK; refused != (work == VerifySign) {
				t.Errorf("a wrong signature gets status %d", bad.Code)
			}
			if work == Empty || work == Form {
				return
			}
			again := ask(r, "grant_type=x&assertion="+signed)
			if bytes.Equal(good.Body.Bytes(), again.Body.Bytes()) {
				t.Error("the same token twice")
			}
			verify(t, m, good.Body.Bytes())
		})
	}
}

func TestWorkOf(t *testing.T) {
	for kind, want := range map[Kind]Work{ClientCredentialsES256: Sign, ClientCredentialsRS256: SignRSA, JWTBearerES256: VerifySign, PrivateKeyJWTES256: VerifySign} {
		if got := WorkOf(kind, ""); got != want {
			t.Errorf("%s has the ceiling %q", kind, got)
		}
		got := WorkOf(kind, OpenSSL)
		if !slices.Contains(Works(OpenSSL), got) {
			t.Errorf("%s with OpenSSL's signature has the ceiling %q, which is no reference", kind, got)
		}
		if plain, library := got.split(); plain != want || library != OpenSSL {
			t.Errorf("%s is %s by %s", got, plain, library)
		}
	}
	if got := WorkOf("a kind without a signature", OpenSSL); got != "" {
		t.Errorf("the ceiling %q", got)
	}
}

// TestAtMost: a work with a limit is found by its name, and grants no more than that.
func TestAtMost(t *testing.T) {
	limited := VerifySign.By(OpenSSL).AtMost(40)
	plain, library := limited.split()
	if _, most := limited.limit(); plain != VerifySign || library != OpenSSL || most != 40 {
		t.Errorf("%s is %s by %s, at most %d", limited, plain, library, most)
	}
	if _, most := VerifySign.limit(); most != -1 {
		t.Errorf("no limit is %d", most)
	}
	for _, most := range []int{0, 1, 40, 4000} {
		b, now, granted := &bucket{perSecond: most}, time.Unix(1e9, 0), 0
		for range 50_000 { // five seconds
			now = now.Add(100 * time.Microsecond)
			if b.take(now) {
				granted++
			}
		}
		if granted < 5*most-1 || granted > 5*most+most/20+1 {
			t.Errorf("%d granted in five seconds of at most %d each", granted, most)
		}
	}
	m, err := newMinter(false, Go)
	if err != nil {
		t.Fatal(err)
	}
	if refused := ask(&reference{work: Sign, minter: m, bucket: &bucket{}}, "grant_type=x"); refused.Code != http.StatusServiceUnavailable || refused.Body.Len() > 0 {
		t.Errorf("beyond the limit: %d %s", refused.Code, refused.Body)
	}
}

// A reference that signs with another library than its name says would make a wrong ceiling.
func TestReferenceRefusesAnotherLibrary(t *testing.T) {
	if openssl.Enabled() {
		t.Skip("this build signs with OpenSSL")
	}
	if err := ServeReference(t.Context(), Sign.By(OpenSSL), "127.0.0.1:0", ""); err == nil || !strings.Contains(err.Error(), "does not sign with OpenSSL") {
		t.Errorf("got %v", err)
	}
}

func TestBuildOpenSSLSaysWhatIsMissing(t *testing.T) {
	root, err := Repository()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("CC", "no-such-compiler")
	if _, err := BuildOpenSSL(t.Context(), root, t.TempDir(), io.Discard); err == nil || !strings.Contains(err.Error(), "the C compiler no-such-compiler is missing") {
		t.Errorf("got %v", err)
	}
}

// TestBuildOpenSSL builds the references of OpenSSL and gets a token from each.
func TestBuildOpenSSL(t *testing.T) {
	root, err := Repository()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), filepath.Join(root, "has-openssl.sh")).CombinedOutput(); err != nil {
		t.Skipf("%s", out)
	}
	if runtime.GOOS != "linux" {
		t.Skip("starts a program")
	}
	folder := t.TempDir()
	program, err := BuildOpenSSL(t.Context(), root, folder, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	body := func(int) ([]byte, error) { return []byte("grant_type=client_credentials"), nil }
	servers, err := References(Model{Client: key.Public(), Grant: body, Credentials: body, RS256: body}, OpenSSL, program)
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range servers {
		if strings.Contains(server.Name, "verify") {
			continue // needs an assertion
		}
		t.Run(server.Name, func(t *testing.T) {
			address, err := FreeAddress(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			setup, err := server.Configure(t.Context(), folder, address)
			if err != nil {
				t.Fatal(err)
			}
			p, _, _, err := Start(t.Context(), setup.Server, filepath.Join(folder, "log"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := p.Stop(); err != nil {
					t.Error(err)
				}
			}()
			answer, err := http.PostForm(setup.Exchanges[0].URL, url.Values{"grant_type": {"client_credentials"}})
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if text, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK || !bytes.Contains(text, []byte("access_token")) {
				t.Errorf("%s: %s, %v", answer.Status, text, err)
			}
		})
	}
}

func ask(r *reference, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(body))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.token(w, request)
	return w
}

// verify checks a token response with the published keys.
func verify(t *testing.T, m *minter, answer []byte) {
	t.Helper()
	var response struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(answer, &response); err != nil {
		t.Fatal(err)
	}
	if len(answer) < 550 || len(answer) > 900 {
		t.Errorf("an answer of %d bytes is not as long as a real one", len(answer))
	}
	w := httptest.NewRecorder()
	m.jwks(w, nil)
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal(w.Body.Bytes(), &keys); err != nil {
		t.Fatal(err)
	}
	token, err := jose.ParseSignedCompact(response.Token, []jose.SignatureAlgorithm{jose.ES256, jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := token.Verify(keys.Keys[0].Key); err != nil {
		t.Error(err)
	}
}

func TestDER(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 { // short numbers come up once in 256
		digest := sha256.Sum256([]byte{byte(i), byte(i >> 8)})
		der, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		raw, err := fromDER(der)
		if err != nil {
			t.Fatal(err)
		}
		back, err := toDER(raw)
		if err != nil || !bytes.Equal(back, der) {
			t.Fatalf("%x became %x and %x, %v", der, raw, back, err)
		}
	}
	for _, bad := range [][]byte{nil, {0x30}, {0x30, 1, 2}, {0x30, 2, 2, 9}, {0x31, 0}, append([]byte{0x30, 70, 2, 34}, make([]byte, 68)...)} {
		if raw, err := fromDER(bad); err == nil && len(bad) < 10 {
			t.Errorf("%x became %x", bad, raw)
		}
	}
	if _, err := toDER(make([]byte, 63)); err == nil {
		t.Error("a short signature was taken")
	}
}

func TestParseSpeed(t *testing.T) {
	var m Micro
	if err := m.parseSpeed("+F2:2:2048:3767.469880:75406.896552\n+F4:3:256:52960.655738:17342.622951\n"); err != nil {
		t.Fatal(err)
	}
	if want := (Micro{OpenSSLSignRS256: 3767.469880, OpenSSLSignES256: 52960.655738, OpenSSLVerifyES256: 17342.622951}); m != want {
		t.Errorf("got %+v", m)
	}
	// OpenSSL 1.1 tells seconds.
	if err := m.parseSpeed("+F2:2:2048:0.000500:0.000015\n+F4:3:256:0.000020:0.000062\n"); err != nil || m.OpenSSLSignRS256 != 2000 {
		t.Errorf("got %+v, %v", m, err)
	}
	for _, bad := range []string{"", "+F2:2:2048:x:y\n", "+F2:2:2048:1:1\n"} {
		if err := new(Micro).parseSpeed(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestMeasure(t *testing.T) {
	m, err := MeasureMicro(t.Context(), t.TempDir(), 1)
	if err != nil || m.VerifyES256 <= 0 || m.SignES256 <= 0 || m.SignRS256 <= 0 || m.Fsync <= 0 {
		t.Errorf("%+v, %v", m, err)
	}
}
