package jose_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"moneyer/internal/jose"
)

func TestDocument(t *testing.T) {
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := jose.NewSigner(key, jose.ES256, "k", "at+jwt")
	if err != nil {
		t.Fatal(err)
	}
	documents := tokens.As("list+jwt")
	payload := bytes.Repeat([]byte("x"), 2*jose.MaxLength)
	signed, err := documents.SignDocument(payload)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jose.Parse(string(signed)); !errors.Is(err, jose.ErrMalformed) {
		t.Errorf("a document was accepted as a token: %v", err)
	}
	parsed, err := jose.ParseDocument(string(signed))
	if err != nil {
		t.Fatal(err)
	}
	if err := parsed.Verify(tokens.Public()); err != nil {
		t.Error(err)
	}
	if parsed.Header.Typ != "list+jwt" || parsed.Header.Kid != "k" || !bytes.Equal(parsed.Payload, payload) {
		t.Errorf("header %+v, %d bytes", parsed.Header, len(parsed.Payload))
	}
	if _, err := documents.SignDocument(make([]byte, jose.MaxDocument)); !errors.Is(err, jose.ErrMalformed) {
		t.Errorf("a document over the limit was signed: %v", err)
	}
	if _, err := jose.ParseDocument(strings.Repeat("x", jose.MaxDocument+1)); !errors.Is(err, jose.ErrMalformed) {
		t.Errorf("a document over the limit was parsed: %v", err)
	}
}
