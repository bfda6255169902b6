package subject

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// The question is about a token that the server issued for it, and an answer that it is not active,
// which has status 200, is an error.
func TestIntrospect(t *testing.T) {
	issued := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.FormValue("client_id") {
		case "good":
			issued++
			fmt.Fprintf(w, `{"access_token":"t%d"}`, issued)
		case "empty":
			fmt.Fprint(w, `{}`)
		default:
			http.Error(w, "who are you", http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	from := func(client string) *Exchange {
		return &Exchange{URL: server.URL, Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
			Body: func(int) ([]byte, error) { return []byte("client_id=" + client), nil }}
	}
	e := from("good").Introspect(server.URL+"/introspect", url.Values{"client_id": {"x"}})
	for n, want := range []string{"client_id=x&token=t1", "client_id=x&token=t2"} {
		if err := e.Before(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if body, err := e.Body(n); err != nil || string(body) != want {
				t.Errorf("%s, %v, want %s", body, err, want)
			}
		}
	}
	for client, want := range map[string]string{"empty": "no access_token", "other": "401 Unauthorized: who are you"} {
		bad := from(client).Introspect(server.URL, url.Values{})
		if err := bad.Before(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("client %s: %v", client, err)
		}
	}
	if err := e.Check([]byte(`{"active":true,"scope":"x"}`)); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{`{"active":false}`, `{}`, `x`} {
		if e.Check([]byte(bad)) == nil {
			t.Errorf("%s is taken for a live token", bad)
		}
	}
}
