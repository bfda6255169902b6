package subject

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// A Work is what a reference server does for each request. Each adds something to the previous one,
// except RS256, which has another signature. Go makes the signature, unless [Work.By] says otherwise.
type Work string

// The works.
const (
	Empty      Work = "empty net/http handler"
	Form       Work = "form"
	Sign       Work = "form + sign ES256"
	VerifySign Work = "form + verify + sign ES256"
	SignRSA    Work = "form + sign RS256"
)

// byOpenSSL ends the names of works whose signature OpenSSL makes.
const byOpenSSL = " (OpenSSL)"

// Works returns all whose signature a library makes. Those that make none are among Go's.
func Works(library Library) []Work {
	if library == OpenSSL {
		return []Work{Sign.By(OpenSSL), VerifySign.By(OpenSSL), SignRSA.By(OpenSSL)}
	}
	return []Work{Empty, Form, Sign, VerifySign, SignRSA}
}

// By returns the same work with the signature by a library.
func (w Work) By(library Library) Work {
	if w == "" || library != OpenSSL {
		return w
	}
	return w + byOpenSSL
}

// atMost begins the end of the names of works with a limit.
const atMost = ", at most "

// AtMost returns the same work, which is done at most so often a second. All other requests are
// answered with an empty 503 at once.
func (w Work) AtMost(perSecond int) Work {
	return w + Work(fmt.Sprintf("%s%d/s", atMost, perSecond))
}

// limit returns the work without its limit, and that; -1 stands for none.
func (w Work) limit() (Work, int) {
	plain, rest, found := strings.Cut(string(w), atMost)
	perSecond, err := strconv.Atoi(strings.TrimSuffix(rest, "/s"))
	if !found || err != nil {
		return w, -1
	}
	return Work(plain), perSecond
}

// split returns the work without its library and limit, and the library.
func (w Work) split() (Work, Library) {
	w, _ = w.limit()
	if plain, found := strings.CutSuffix(string(w), byOpenSSL); found {
		return Work(plain), OpenSSL
	}
	return w, Go
}

// WorkOf returns the work that is the upper bound for a kind of exchange with the signature by a
// library, or "".
func WorkOf(kind Kind, library Library) Work {
	switch kind {
	case JWTBearerES256, PrivateKeyJWTES256:
		return VerifySign.By(library)
	case ClientCredentialsES256:
		return Sign.By(library)
	case ClientCredentialsRS256:
		return SignRSA.By(library)
	}
	return ""
}

// answerBegin and answerEnd surround the token, as long as in a real response.
const (
	answerBegin = `{"access_token":"`
	answerEnd   = `","token_type":"Bearer","expires_in":900,"scope":"d1-s2s:api:merchant-gtw"}`
)

// reference is a reference server.
type reference struct {
	work   Work
	minter *minter
	// the client's key, for VerifySign.
	client *ecdsa.PublicKey
	fixed  []byte  // the response if nothing is signed
	bucket *bucket // of a limit, or nil
}

// ServeReference runs a reference server on address until ctx ends. client is the public key (PKIX,
// base64url) that verifies assertions. With the files of a certificate, of its key and, if the server
// demands a certificate of the client, of an authority, it serves TLS with Go's defaults; "" stands for
// no file.
func ServeReference(ctx context.Context, work Work, address, client string, files ...string) error {
	_, perSecond := work.limit()
	work, library := work.split()
	m, err := newMinter(work == SignRSA, library)
	if err != nil {
		return err
	}
	token, err := m.mint()
	if err != nil {
		return err
	}
	r := &reference{work: work, minter: m, fixed: []byte(answerBegin + string(token) + answerEnd)}
	if work == VerifySign {
		if r.client, err = parseClient(client); err != nil {
			return err
		}
	}
	if perSecond >= 0 {
		r.bucket = &bucket{perSecond: perSecond}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", r.token)
	mux.HandleFunc("GET /jwks.json", r.minter.jwks)
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := serve(server, l, files); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// serve serves plain HTTP, or TLS with files.
func serve(server *http.Server, l net.Listener, files []string) error {
	if len(files) < 2 {
		return server.Serve(l)
	}
	if len(files) > 2 && files[2] != "" {
		text, err := os.ReadFile(files[2])
		if err != nil {
			return err
		}
		server.TLSConfig = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool()} //nolint:gosec // the defaults are measured
		if !server.TLSConfig.ClientCAs.AppendCertsFromPEM(text) {
			return fmt.Errorf("%s holds no certificate", files[2])
		}
	}
	return server.ServeTLS(l, files[0], files[1])
}

func parseClient(text string) (*ecdsa.PublicKey, error) {
	der, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	client, ok := public.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("a client's key is of type %T", public)
	}
	return client, nil
}

func (r *reference) token(w http.ResponseWriter, request *http.Request) {
	if r.bucket != nil && !r.bucket.take(time.Now()) {
		_, _ = io.Copy(io.Discard, request.Body)
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	answer, err := r.answer(request)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	header := w.Header()
	header["Content-Type"] = []string{"application/json"}
	header["Cache-Control"] = []string{"no-store"}
	_, _ = w.Write(answer)
}

func (r *reference) answer(request *http.Request) ([]byte, error) {
	if r.work == Empty {
		_, err := io.Copy(io.Discard, request.Body)
		return r.fixed, err
	}
	if err := request.ParseForm(); err != nil {
		return nil, err
	}
	if request.PostForm.Get("grant_type") == "" {
		return nil, errors.New("no grant_type")
	}
	if r.work == Form {
		return r.fixed, nil
	}
	if r.work == VerifySign {
		if err := r.verify(request.PostForm.Get("assertion")); err != nil {
			return nil, err
		}
	}
	token, err := r.minter.mint()
	if err != nil {
		return nil, err
	}
	answer := make([]byte, 0, len(answerBegin)+len(token)+len(answerEnd))
	answer = append(answer, answerBegin...)
	answer = append(answer, token...)
	return append(answer, answerEnd...), nil
}

// verify verifies the signature of an assertion and nothing else.
func (r *reference) verify(assertion string) error {
	dot := strings.LastIndexByte(assertion, '.')
	if dot < 0 {
		return errors.New("no assertion")
	}
	signature, err := base64.RawURLEncoding.DecodeString(assertion[dot+1:])
	if err != nil {
		return err
	}
	der, err := toDER(signature)
	if err != nil {
		return err
	}
	digest := sha256.Sum256([]byte(assertion[:dot]))
	if !ecdsa.VerifyASN1(r.client, digest[:], der) {
		return errors.New("the signature is wrong")
	}
	return nil
}
