package jose_test

import (
	"bytes"
	"crypto"
	"errors"
	"io"
	"strings"
	"testing"

	"moneyer/internal/jose"
)

// hardware is a crypto.Signer of a type outside the standard library, with configurable results.
type hardware struct {
	crypto.Signer
	answer []byte
	err    error
}

func (h hardware) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if h.answer != nil || h.err != nil {
		return h.answer, h.err
	}
	return h.Signer.Sign(random, digest, opts)
}

func testKey(t testing.TB, alg jose.Alg) crypto.Signer {
	t.Helper()
	key, err := jose.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestSignerInHardware(t *testing.T) {
	for _, alg := range algs {
		signer, err := jose.NewSigner(hardware{Signer: testKey(t, alg)}, alg, "k", "")
		if err != nil {
			t.Fatal(err)
		}
		j, err := jose.Parse(sign(t, signer, `{}`))
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Verify(signer.Public()); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		if signer.Alg() != alg || signer.Kid() != "k" {
			t.Errorf("%s %q", signer.Alg(), signer.Kid())
		}
	}
}

// TestSignerPads tests r and s shorter than 32 bytes, which occur once in 128 signatures.
func TestSignerPads(t *testing.T) {
	signer, err := jose.NewSigner(hardware{Signer: testKey(t, jose.ES256), answer: []byte{0x30, 7, 2, 1, 1, 2, 2, 0, 0x80}}, jose.ES256, "", "")
	if err != nil {
		t.Fatal(err)
	}
	j, err := jose.Parse(sign(t, signer, `{}`))
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 64)
	want[31], want[63] = 1, 0x80
	if !bytes.Equal(j.Signature, want) {
		t.Errorf("%x, want %x", j.Signature, want)
	}
}

// TestSignerRefusesWhatHardwareReturns: an ES256 signature must be DER of P-256.
func TestSignerRefusesWhatHardwareReturns(t *testing.T) {
	integer := func(n ...byte) string { return "\x02" + string(rune(len(n))) + string(n) }
	sequence := func(inner string) []byte { return []byte("\x30" + string(rune(len(inner))) + inner) }
	for name, h := range map[string]hardware{
		"raw":           {answer: bytes.Repeat([]byte{1}, 64)},
		"empty":         {answer: []byte{}},
		"wrong tag":     {answer: append([]byte{0x31}, sequence(integer(1) + integer(1))[1:]...)},
		"one integer":   {answer: sequence(integer(1))},
		"three":         {answer: sequence(integer(1) + integer(1) + integer(1))},
		"negative":      {answer: sequence(integer(0x80) + integer(1))},
		"zero":          {answer: sequence(integer(0) + integer(1))},
		"not minimal":   {answer: sequence(integer(0, 1) + integer(1))},
		"33 bytes":      {answer: sequence(integer(append([]byte{1}, make([]byte, 32)...)...) + integer(1))},
		"cut":           {answer: []byte{0x30, 3, 2, 2, 1}},
		"tail":          {answer: append(sequence(integer(1)+integer(1)), 0)},
		"empty integer": {answer: []byte{0x30, 5, 2, 0, 2, 1, 1}},
		"its error":     {err: io.ErrClosedPipe},
	} {
		h.Signer = testKey(t, jose.ES256)
		signer, err := jose.NewSigner(h, jose.ES256, "", "")
		if err != nil {
			t.Fatal(err)
		}
		token, err := signer.Sign([]byte("before"), []byte(`{}`))
		if err == nil || token != nil {
			t.Errorf("%s: %v, %s", name, err, token)
		}
		if h.err != nil && !errors.Is(err, h.err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ed, err := jose.NewSigner(hardware{Signer: testKey(t, jose.EdDSA), answer: []byte{}}, jose.EdDSA, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ed.Sign(nil, nil); err == nil {
		t.Error("an empty signature was accepted")
	}
}

func TestNewSignerRefuses(t *testing.T) {
	key := testKey(t, jose.ES256)
	if _, err := jose.NewSigner(nil, jose.ES256, "", ""); !errors.Is(err, jose.ErrKey) {
		t.Error(err)
	}
	if _, err := jose.NewSigner(key, jose.RS256, "", ""); !errors.Is(err, jose.ErrWrongKeyType) {
		t.Error(err)
	}
	for _, bad := range []string{"\xff", strings.Repeat("k", 257)} {
		if _, err := jose.NewSigner(key, jose.ES256, bad, ""); !errors.Is(err, jose.ErrHeader) {
			t.Error(err)
		}
		if _, err := jose.NewSigner(key, jose.ES256, "", bad); !errors.Is(err, jose.ErrHeader) {
			t.Error(err)
		}
	}
	signer, err := jose.NewSigner(key, jose.ES256, "k", "JWT")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signer.Sign(nil, make([]byte, jose.MaxLength)); !errors.Is(err, jose.ErrMalformed) {
		t.Error(err)
	}
	header, _, _ := strings.Cut(sign(t, signer, ``), ".")
	if want := b64(`{"alg":"ES256","typ":"JWT","kid":"k"}`); header != want {
		t.Errorf("header %s, want %s", header, want)
	}
}
