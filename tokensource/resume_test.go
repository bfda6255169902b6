package tokensource_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"moneyer/oauth"
	"moneyer/tokensource"
)

// TestSessionsAreResumed: a Source resumes its TLS session when its connection was closed, with
// http.DefaultTransport and with a client certificate.
func TestSessionsAreResumed(t *testing.T) {
	var resumed, full atomic.Int64
	m := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS.DidResume {
			resumed.Add(1)
		} else {
			full.Add(1)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":"of-%d","token_type":"Bearer","expires_in":600}`, len(r.TLS.PeerCertificates))
	}))
	m.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	m.Config.SetKeepAlivesEnabled(false)
	m.StartTLS()
	t.Cleanup(m.Close)
	trusting := http.DefaultTransport.(*http.Transport).Clone()
	trusting.TLSClientConfig = m.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	was := http.DefaultTransport
	http.DefaultTransport = trusting
	t.Cleanup(func() { http.DefaultTransport = was })
	for _, tc := range []struct {
		client     *http.Client
		credential tokensource.Credential
		want       string
	}{
		{nil, tokensource.Credential{ClientID: "shop", Secret: "s"}, "of-0"},
		{&http.Client{}, tokensource.Credential{ClientID: "shop", Secret: "s"}, "of-0"},
		{nil, tokensource.Credential{ClientID: "shop", Auth: oauth.AuthTLS, Certificate: (&switchable{pair: newCertificate(t, 1)}).get}, "of-1"},
		{&http.Client{Transport: trusting}, tokensource.Credential{ClientID: "shop", Auth: oauth.AuthTLS, Certificate: (&switchable{pair: newCertificate(t, 1)}).get}, "of-1"},
	} {
		resumed.Store(0)
		full.Store(0)
		s := &tokensource.Source{Issuer: m.URL, HTTPClient: tc.client, Credential: tc.credential}
		for range 3 {
			if token, err := s.Fetch(t.Context()); err != nil || token.AccessToken != tc.want {
				t.Fatalf("%v, %v", token, err)
			}
		}
		if full.Load() != 1 || resumed.Load() != 2 {
			t.Errorf("%+v: %d full handshakes, %d resumed", tc.client, full.Load(), resumed.Load())
		}
	}
	if trusting.TLSClientConfig.ClientSessionCache != nil {
		t.Error("http.DefaultTransport was changed")
	}
}
