package tokensource_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"moneyer/profile"
	"moneyer/tokensource"
)

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }

func textLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func TestNothingShowsASecret(t *testing.T) {
	token := tokensource.Token{AccessToken: "SECRET", Extra: map[string]json.RawMessage{"id_token": json.RawMessage(`"SECRET"`)}}
	credential := tokensource.Credential{ClientID: "shop", Secret: "SECRET", APIKey: "SECRET", Key: newKey(t, "")}
	source := &tokensource.Source{Credential: credential}
	var shown strings.Builder
	for _, v := range []any{token, &token, credential, &credential, source, []any{token}, struct{ T tokensource.Token }{token}, map[string]any{"c": credential}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
			fmt.Fprintf(&shown, verb+"\n", v)
		}
		textLogger(&shown).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&shown, nil)).Info("x", "v", v)
		if text, err := json.Marshal(v); err == nil {
			shown.Write(text)
		}
	}
	for _, secret := range []string{"SECRET", fmt.Sprintf("%x", "SECRET"), fmt.Sprintf("%X", "SECRET"), "83 69 67"} {
		if strings.Contains(shown.String(), secret) {
			t.Errorf("%q is shown", secret)
		}
	}
}

// A server that quotes the request in its refusal does not bring the secret into
// our errors and logs.
func TestNothingLogsASecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged strings.Builder
		for _, name := range profile.BuiltinNames() {
			s := sourceFor(t, name)
			s.Logger = textLogger(&logged)
			sent := ""
			e := &endpoint{answer: func(n int, req *http.Request) (*http.Response, error) {
				switch n {
				case 1:
					secret := s.Credential.Secret + s.Credential.APIKey
					return reply(400, fmt.Sprintf(`{"error":"invalid_client","error_description":"wrong secret %s"}`, secret), "Date", "Sat, 01 Jan 2000 01:00:00 GMT"), nil
				case 2:
					return nil, errors.New("connection reset")
				}
				return reply(200, `{"access_token":"TOKEN","accessToken":"TOKEN"}`), nil
			}}
			s.HTTPClient = e.client()
			if _, err := s.Token(t.Context()); err == nil {
				t.Fatal("a token")
			} else {
				fmt.Fprintln(&logged, err)
			}
			time.Sleep(2 * time.Second)
			mustToken(t, s)
			for _, body := range e.bodies {
				if _, assertion, ok := strings.Cut(body, "&assertion="); ok {
					sent = assertion
				}
			}
			for _, secret := range []string{s.Credential.Secret, s.Credential.APIKey, "TOKEN", sent} {
				if secret != "" && strings.Contains(logged.String(), secret) {
					t.Errorf("%s: %q is logged", name, secret)
				}
			}
		}
		if !strings.Contains(logged.String(), "[withheld]") || !strings.Contains(logged.String(), "got an access token") {
			t.Error("nothing was logged")
		}
	})
}

// A secret of a few bytes may be part of a word by chance: a refusal stays readable.
func TestTinySecretsGarbleNothing(t *testing.T) {
	for secret, want := range map[string]string{
		"s":        "wrong secret of s",
		"secret":   "wrong secret of secret",
		"1234567":  "wrong secret of 1234567",
		"12345678": "wrong secret of [withheld]",
	} {
		s := sourceFor(t, "boltpay")
		s.Credential.Secret = secret
		e := &endpoint{answer: func(int, *http.Request) (*http.Response, error) {
			return reply(401, fmt.Sprintf(`{"error":"invalid_client","error_description":"wrong secret of %s"}`, secret)), nil
		}}
		s.HTTPClient = e.client()
		if _, err := s.Token(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", secret, err, want)
		}
	}
}
