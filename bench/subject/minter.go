package subject

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"sync/atomic"
	"time"

	"moneyer/internal/openssl"
)

// minter signs tokens that differ only in their jti.
type minter struct {
	key    crypto.Signer
	der    bool   // whether a signature of the key is in DER: ES256
	header string // encoded, with the dot after it
	before string // the claims before the jti
	count  atomic.Int64
}

// newMinter returns a minter that signs with a library. It fails if this program is not built with
// that one, so that no figure gets a wrong name.
func newMinter(useRSA bool, library Library) (*minter, error) {
	var key crypto.Signer
	var err error
	alg := "ES256"
	if useRSA {
		alg = "RS256"
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return nil, err
	}
	if library == OpenSSL {
		signer := openssl.Signer(key, crypto.SHA256)
		if signer == key {
			return nil, errors.New("this program does not sign with OpenSSL: it is built without the tag openssl, or Go is in FIPS 140 mode")
		}
		key = signer
	}
	now := time.Now().Unix()
	return &minter{
		key:    key,
		der:    !useRSA,
		header: base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"alg":"%s","typ":"at+jwt","kid":"wg5cKDaY0DeGBGbWcmWAJhgXwRtBpDQNDv5gcFJkXiE"}`, alg)) + ".",
		before: fmt.Sprintf(`{"iss":"http://127.0.0.1:8080/d1/authz/v1","sub":"gw00000000","aud":"https://api.example.com/d1","client_id":"gw00000000",`+
			`"scope":"d1-s2s:api:merchant-gtw","iat":%d,"exp":%d,"jti":"`, now, now+900),
	}, nil
}

// mint returns a compact JWS (RFC 7515 section 3.1).
func (m *minter) mint() ([]byte, error) {
	var claims [512]byte
	payload := append(claims[:0], m.before...)
	payload = fmt.Appendf(payload, `%021d"}`, m.count.Add(1))
	token := make([]byte, 0, 1024)
	token = append(token, m.header...)
	token = base64.RawURLEncoding.AppendEncode(token, payload)
	digest := sha256.Sum256(token)
	signature, err := m.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	if m.der {
		if signature, err = fromDER(signature); err != nil {
			return nil, err
		}
	}
	token = append(token, '.')
	return base64.RawURLEncoding.AppendEncode(token, signature), nil
}

// jwks serves the public key (RFC 7517 section 5).
func (m *minter) jwks(w http.ResponseWriter, _ *http.Request) {
	key := map[string]string{}
	encode := base64.RawURLEncoding.EncodeToString
	switch public := m.key.Public().(type) {
	case *ecdsa.PublicKey:
		point, err := public.Bytes()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		key = map[string]string{"kty": "EC", "crv": "P-256", "x": encode(point[1:33]), "y": encode(point[33:])}
	case *rsa.PublicKey:
		key = map[string]string{"kty": "RSA", "n": encode(public.N.Bytes()), "e": encode(big.NewInt(int64(public.E)).Bytes())}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{key}})
}

// half is the length of r and of s in an ES256 signature (RFC 7518 section 3.4).
const half = 32

var errSignature = errors.New("not a signature of ES256")

// fromDER converts SEQUENCE { INTEGER r, INTEGER s } to r || s.
func fromDER(der []byte) ([]byte, error) {
	if len(der) < 2 || der[0] != 0x30 || int(der[1]) != len(der)-2 {
		return nil, errSignature
	}
	raw, rest := make([]byte, 2*half), der[2:]
	for i := range 2 {
		if len(rest) < 2 || rest[0] != 0x02 || int(rest[1]) > len(rest)-2 {
			return nil, errSignature
		}
		number := rest[2 : 2+rest[1]]
		rest = rest[2+rest[1]:]
		for len(number) > half && number[0] == 0 {
			number = number[1:]
		}
		if len(number) > half {
			return nil, errSignature
		}
		copy(raw[(i+1)*half-len(number):], number)
	}
	return raw, nil
}

// toDER converts r || s to SEQUENCE { INTEGER r, INTEGER s }.
func toDER(raw []byte) ([]byte, error) {
	if len(raw) != 2*half {
		return nil, errSignature
	}
	der := make([]byte, 2, 2*half+8)
	der[0] = 0x30
	for _, number := range [][]byte{raw[:half], raw[half:]} {
		for len(number) > 1 && number[0] == 0 {
			number = number[1:]
		}
		pad := 0
		if number[0] >= 0x80 {
			pad = 1
		}
		der = append(der, 0x02, byte(len(number)+pad))
		if pad == 1 {
			der = append(der, 0)
		}
		der = append(der, number...)
	}
	der[1] = byte(len(der) - 2)
	return der, nil
}
