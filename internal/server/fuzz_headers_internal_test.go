package server

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"moneyer/internal/platform"
	"moneyer/oauth"
)

// FuzzBodyKind: whatever stands in the headers of a body, parameters make no difference, an encoding is never
// passed over, and a refusal can stand in an error_description (RFC 6749 §5.2).
func FuzzBodyKind(f *testing.F) {
	for _, add := range [][2]string{
		{"application/x-www-form-urlencoded", ""}, {"Application/X-WWW-Form-Urlencoded ; charset=ISO-8859-1", ""}, {"application/json;;", "gzip"},
		{"text/\"\\\xe9\t4111111111111111", "\xff"}, {"", " "}, {"application/jsonx", "identity"},
	} {
		f.Add(add[0], add[1])
	}
	w := &wire{Wire: &platform.Wire{Bodies: []platform.Body{platform.BodyForm, platform.BodyJSON}}}
	f.Fuzz(func(t *testing.T, contentType, encoding string) {
		kind, err := w.bodyKind(http.Header{"Content-Type": {contentType}, "Content-Encoding": {encoding}})
		media, _, _ := strings.Cut(contentType, ";")
		_, listed := map[string]bool{formType: true, "application/json": true}[strings.ToLower(strings.TrimSpace(media))]
		if (err == nil) != (listed && encoding == "") || (err == nil) != (kind != "") {
			t.Errorf("%q, encoding %q: %q, %v", contentType, encoding, kind, err)
		}
		if err == nil {
			return
		}
		said := oauth.AsError(err).Description
		if len(said) > 400 || strings.ContainsFunc(said, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
			t.Errorf("an error_description cannot be %q", said)
		}
	})
}

// FuzzBasicPair: id and secret are both decoded, or both as they are, and what a client form-encodes is read
// back.
func FuzzBasicPair(f *testing.F) {
	for _, add := range [][2]string{{"id", "secret"}, {"a+b", "100%"}, {"a%26", "b"}, {"%", ":"}, {"\xe9", "\x00"}, {"", ""}} {
		f.Add(add[0], add[1])
	}
	f.Fuzz(func(t *testing.T, id, secret string) {
		read := func(encoding platform.BasicEncoding, pair string) (string, string, error) {
			return basicPair(base64.StdEncoding.EncodeToString([]byte(pair)), encoding)
		}
		if len(id)+len(secret) > 900 {
			return
		}
		if gotID, got, err := read(platform.BasicForm, url.QueryEscape(id)+":"+url.QueryEscape(secret)); err != nil || gotID != id || got != secret {
			t.Errorf("form-encoded: %q %q, %v", gotID, got, err)
		}
		if strings.Contains(id, ":") {
			return
		}
		if gotID, got, err := read(platform.BasicPlain, id+":"+secret); err != nil || gotID != id || got != secret {
			t.Errorf("plain: %q %q, %v", gotID, got, err)
		}
		wantID, errID := url.QueryUnescape(id)
		want, errSecret := url.QueryUnescape(secret)
		if errID != nil || errSecret != nil {
			wantID, want = id, secret
		}
		if gotID, got, err := read(platform.BasicForm, id+":"+secret); err != nil || gotID != wantID || got != want {
			t.Errorf("as it is: %q %q, %v, want %q %q", gotID, got, err, wantID, want)
		}
	})
}
