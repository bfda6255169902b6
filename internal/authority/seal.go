package authority

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"moneyer/oauth"
)

// tokenSeal encrypts a token under the assertion that it was given for: with the
// assertion the token can be read again, with the store alone it cannot. The key is
// a hash of the assertion's canonical signature, which is stored nowhere, and of what the
// token is bound to: who shows another certificate does not get it.
type tokenSeal struct{ aead cipher.AEAD }

func newTokenSeal(canonicalSignature []byte, confirmation string) *tokenSeal {
	key := sha256.Sum256(slices.Concat([]byte("moneyer same-token v1\x00"+confirmation+"\x00"), canonicalSignature))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // only for a wrong key size
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // only for a cipher that is not AES
	}
	return &tokenSeal{aead}
}

type sealedToken struct {
	Token   string      `json:"token"`
	JTI     string      `json:"jti"`
	Expires time.Time   `json:"expires"`
	Scope   oauth.Scope `json:"scope"`
}

func (s *tokenSeal) hide(t *AccessToken) []byte {
	plain, err := json.Marshal(sealedToken{Token: t.Token, JTI: t.JTI, Expires: t.Expires, Scope: t.Scope})
	if err != nil {
		panic(err) // strings and a time of this century always marshal
	}
	return s.aead.Seal(nil, nil, plain, nil)
}

var errOtherAssertion = errors.New("the token was sealed under another assertion")

func (s *tokenSeal) find(sealed []byte) (*AccessToken, error) {
	plain, err := s.aead.Open(nil, nil, sealed, nil)
	if err != nil {
		return nil, errOtherAssertion
	}
	var t sealedToken
	if err := json.Unmarshal(plain, &t); err != nil {
		return nil, err
	}
	return &AccessToken{Token: t.Token, Type: oauth.TokenTypeBearer, JTI: t.JTI, Expires: t.Expires, Scope: t.Scope}, nil
}
