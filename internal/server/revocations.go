package server

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"sync"
	"time"
)

// revocationsPath is where package bearer's RevocationList polls.
const revocationsPath = "/revocations"

// revocationsType is the typ of a signed revocation list. No RFC has it.
const revocationsType = "revocations+jwt"

const (
	// A list is signed anew at most this often, however much is revoked.
	minListAge = time.Second
	// and at least this often, so that its iat and exp move on.
	maxListAge = time.Hour
)

// signedList is an issuer's revocation list as it was last signed.
type signedList struct {
	mu      sync.Mutex
	version int64
	kid     string
	made    time.Time
	body    []byte
	etag    string
}

// revocations publishes what the issuer withdrew.
func (e *endpoint) revocations(list *signedList) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		now := e.Now()
		body, etag, err := list.current(e, now)
		if err != nil {
			e.fail(w, r, newCorrelation(e.wire.Correlation.MaxLength), tryAgain(err), now)
			return
		}
		publish(w, r, "application/"+revocationsType, body, etag, 0)
	}
}

// current returns the list, signed anew where that is due.
func (l *signedList) current(e *endpoint, now time.Time) ([]byte, string, error) {
	signer, err := e.Keyring.Signer(e.issuer.Name, now)
	if err != nil {
		return nil, "", err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	version := e.Authority.Revocations.Version(e.issuer.Name)
	age := now.Sub(l.made)
	changed := l.version != version && age >= minListAge
	if l.body != nil && l.kid == signer.Kid() && !changed && age < maxListAge {
		return l.body, l.etag, nil
	}
	body, err := signer.As(revocationsType).SignDocument(e.Authority.Revocations.AppendJSON(nil, e.issuer, now))
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(body)
	l.body, l.version, l.kid, l.made = body, version, signer.Kid(), now
	l.etag = `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	return l.body, l.etag, nil
}
