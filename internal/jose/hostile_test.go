package jose_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
	"testing"

	"moneyer/internal/jose"
)

func b64(data string) string { return base64.RawURLEncoding.EncodeToString([]byte(data)) }

// withHeader returns a token that is well formed except for its header.
func withHeader(header string) string { return b64(header) + "." + b64(`{}`) + "." + b64("signature") }

func TestParseRefuses(t *testing.T) {
	good := withHeader(`{"alg":"ES256"}`)
	if _, err := jose.Parse(good); err != nil {
		t.Fatal(err)
	}
	h, p, s := b64(`{"alg":"ES256"}`), b64(`{}`), b64("signature!")
	for name, tc := range map[string]struct {
		token string
		want  error
	}{
		"empty":                 {"", jose.ErrMalformed},
		"no dot":                {h, jose.ErrMalformed},
		"one dot":               {h + "." + p, jose.ErrMalformed},
		"three dots":            {good + ".", jose.ErrMalformed},
		"JWE":                   {good + ".YQ.YQ", jose.ErrMalformed},
		"dots only":             {strings.Repeat(".", 5000), jose.ErrMalformed},
		"huge":                  {h + "." + strings.Repeat("A", jose.MaxLength) + "." + s, jose.ErrMalformed},
		"no header":             {"." + p + "." + s, jose.ErrHeader},
		"no signature":          {h + "." + p + ".", jose.ErrMalformed},
		"padding of payload":    {h + "." + p + "=." + s, jose.ErrMalformed},
		"padding of signature":  {good + "=", jose.ErrMalformed},
		"standard alphabet":     {h + ".+/+/." + s, jose.ErrMalformed},
		"CR":                    {h + "." + p + "\r." + s, jose.ErrMalformed},
		"LF inside":             {h[:4] + "\n" + h[4:] + "." + p + "." + s, jose.ErrMalformed},
		"LF at the end":         {good + "\n", jose.ErrMalformed},
		"blank before":          {" " + good, jose.ErrMalformed},
		"NUL":                   {good + "\x00", jose.ErrMalformed},
		"not ASCII":             {good + "é", jose.ErrMalformed},
		"length 1 mod 4":        {h + ".A." + s, jose.ErrMalformed},
		"JSON serialization":    {`{"protected":"` + h + `","payload":"` + p + `","signature":"` + s + `"}`, jose.ErrMalformed},
		"Bearer":                {"Bearer " + good, jose.ErrMalformed},
		"alg none":              {withHeader(`{"alg":"none"}`), jose.ErrHeader},
		"alg None":              {withHeader(`{"alg":"NoNe"}`), jose.ErrHeader},
		"alg empty":             {withHeader(`{"alg":""}`), jose.ErrHeader},
		"alg absent":            {withHeader(`{"kid":"a"}`), jose.ErrHeader},
		"alg null":              {withHeader(`{"alg":null}`), jose.ErrHeader},
		"alg array":             {withHeader(`{"alg":["ES256"]}`), jose.ErrHeader},
		"ALG":                   {withHeader(`{"ALG":"ES256"}`), jose.ErrHeader},
		"duplicate alg":         {withHeader(`{"alg":"ES256","alg":"ES256"}`), jose.ErrHeader},
		"duplicate escaped":     {withHeader(`{"alg":"ES256","\u0061lg":"none"}`), jose.ErrHeader},
		"kid number":            {withHeader(`{"alg":"ES256","kid":1}`), jose.ErrHeader},
		"kid long":              {withHeader(`{"alg":"ES256","kid":"` + strings.Repeat("k", 257) + `"}`), jose.ErrHeader},
		"typ array":             {withHeader(`{"alg":"ES256","typ":["JWT"]}`), jose.ErrHeader},
		"crit":                  {withHeader(`{"alg":"ES256","crit":["exp"],"exp":1}`), jose.ErrHeader},
		"crit empty":            {withHeader(`{"alg":"ES256","crit":[]}`), jose.ErrHeader},
		"b64":                   {withHeader(`{"alg":"ES256","b64":false}`), jose.ErrHeader},
		"zip":                   {withHeader(`{"alg":"ES256","zip":"DEF"}`), jose.ErrHeader},
		"enc":                   {withHeader(`{"alg":"ES256","enc":"A128GCM"}`), jose.ErrHeader},
		"jwk":                   {withHeader(`{"alg":"ES256","jwk":{"kty":"EC"}}`), jose.ErrHeader},
		"jku":                   {withHeader(`{"alg":"ES256","jku":"https://stranger.example"}`), jose.ErrHeader},
		"x5u":                   {withHeader(`{"alg":"ES256","x5u":"https://stranger.example"}`), jose.ErrHeader},
		"x5c":                   {withHeader(`{"alg":"ES256","x5c":[]}`), jose.ErrHeader},
		"header array":          {withHeader(`["ES256"]`), jose.ErrHeader},
		"header with a tail":    {withHeader(`{"alg":"ES256"}{}`), jose.ErrHeader},
		"header deep":           {withHeader(`{"alg":"ES256","a":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}`), jose.ErrHeader},
		"header not UTF-8":      {withHeader("{\"alg\":\"ES256\",\"kid\":\"\xff\"}"), jose.ErrHeader},
		"header lone surrogate": {withHeader(`{"alg":"ES256","kid":"\ud800"}`), jose.ErrHeader},
	} {
		t.Run(name, func(t *testing.T) {
			j, err := jose.Parse(tc.token)
			if !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
			if j != nil {
				t.Error("a token came with the error")
			}
		})
	}
}

func TestParseIgnoresUnknownMembers(t *testing.T) {
	j, err := jose.Parse(withHeader(`{"cty":"x","alg":"ES256","x5t":"YQ","KID":"a","Typ":"b","x5t#S256":"YQ","nested":{"crit":[]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if want := (jose.Header{Alg: "ES256"}); j.Header != want {
		t.Errorf("%+v, want %+v", j.Header, want)
	}
}

// TestOneEncoding replaces the last character of each part of a good token by every other one: lax
// base64 decoders accept up to 16 of them.
func TestOneEncoding(t *testing.T) {
	signer := newSigner(t, jose.ES256, "k", "")
	token := sign(t, signer, `{"iss":"a"}`) // 11 bytes, so that two bits are unused
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for _, end := range []int{strings.IndexByte(token, '.'), strings.LastIndexByte(token, '.'), len(token)} {
		accepted := 0
		for _, c := range alphabet {
			j, err := jose.Parse(token[:end-1] + string(c) + token[end:])
			if err == nil && j.Verify(signer.Public()) == nil {
				accepted++
			}
		}
		if accepted != 1 {
			t.Errorf("%d values accepted for the character before %d", accepted, end)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	signer := newSigner(t, jose.ES256, "k", "")
	token := sign(t, signer, `{}`)
	j, err := jose.Parse(token)
	if err != nil {
		t.Fatal(err)
	}

	for _, alg := range algs {
		other := newSigner(t, alg, "k", "")
		want := jose.ErrAlgMismatch
		if alg == jose.ES256 {
			want = jose.ErrSignature
		}
		if err := j.Verify(other.Public()); !errors.Is(err, want) {
			t.Errorf("under another %s key: %v, want %v", alg, err, want)
		}
	}

	key, err := ecdsa.GenerateKey(signer.Public().CryptoKey().(*ecdsa.PublicKey).Curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(j.SigningInput)
	der, err := key.Sign(rand.Reader, digest[:], nil)
	if err != nil {
		t.Fatal(err)
	}
	public, err := jose.NewPublicKey(&key.PublicKey, jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	for name, sig := range map[string][]byte{
		"DER":       der,
		"empty":     nil,
		"zero":      make([]byte, 64),
		"short":     make([]byte, 63),
		"long":      make([]byte, 65),
		"order":     orderTwice(),
		"r is zero": append(make([]byte, 32), j.Signature[32:]...),
		"s is zero": append(append([]byte{}, j.Signature[:32]...), make([]byte, 32)...),
	} {
		if err := public.Verify(j.SigningInput, sig); !errors.Is(err, jose.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !jose.LooksLikeDER(der) || jose.LooksLikeDER(j.Signature) || jose.LooksLikeDER(nil) {
		t.Error("LooksLikeDER does not distinguish DER from r || s")
	}
}

// orderTwice returns r and s equal to the order of P-256.
func orderTwice() []byte {
	n := p256Order().Bytes()
	return append(n[:len(n):len(n)], n...)
}

func p256Order() *big.Int {
	n, _ := new(big.Int).SetString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)
	return n
}

// TestCanonicalSignature: both ECDSA signatures (r, s) and (r, n-s) have the same canonical form, r
// || min(s, n-s).
func TestCanonicalSignature(t *testing.T) {
	signer := newSigner(t, jose.ES256, "", "")
	for range 64 {
		j, err := jose.Parse(sign(t, signer, `{}`))
		if err != nil {
			t.Fatal(err)
		}
		s := new(big.Int).SetBytes(j.Signature[32:])
		twin := append([]byte{}, j.Signature[:32]...)
		twin = append(twin, new(big.Int).Sub(p256Order(), s).FillBytes(make([]byte, 32))...)
		if err := signer.Public().Verify(j.SigningInput, twin); err != nil {
			t.Fatal("(r, n-s) does not verify")
		}
		one, two := jose.CanonicalSignature(jose.ES256, j.Signature), jose.CanonicalSignature(jose.ES256, twin)
		if string(one) != string(two) || string(one) != string(j.Signature) && string(one) != string(twin) {
			t.Fatalf("%x and %x", one, two)
		}
		low := new(big.Int).SetBytes(one[32:])
		if low.Cmp(new(big.Int).Rsh(p256Order(), 1)) > 0 {
			t.Fatalf("not the lower s: %x", low)
		}
		if err := signer.Public().Verify(j.SigningInput, one); err != nil {
			t.Fatal(err)
		}
	}
	for _, sig := range [][]byte{nil, make([]byte, 63), []byte(strings.Repeat("\xff", 65))} {
		if got := jose.CanonicalSignature(jose.ES256, sig); string(got) != string(sig) {
			t.Errorf("%x became %x", sig, got)
		}
	}
	high := []byte(strings.Repeat("\xfe", 64))
	if got := jose.CanonicalSignature(jose.EdDSA, high); string(got) != string(high) {
		t.Errorf("an EdDSA signature became %x", got)
	}
}
