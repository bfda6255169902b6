package admin_test

import (
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"moneyer/internal/adminapi"
	"moneyer/internal/authority"
	"moneyer/internal/clientcert"
	"moneyer/internal/clientcert/certtest"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

const certificatesPath = "/issuers/plain/clients/c/certificates"

// A certificate that is registered itself counts, and stops to count, at once.
func TestCertificateLife(t *testing.T) {
	w := withClient(t)
	pair := certtest.SelfSigned(t, start, "merchant", nil)
	resp := w.send("POST", certificatesPath, "application/json", strings.NewReader(`{"certificate":`+quoted(string(certtest.PEM(pair.Leaf)))+`}`))
	var made adminapi.Certificate
	must(t, json.NewDecoder(resp.Body).Decode(&made))
	if resp.StatusCode != http.StatusCreated || resp.Header.Get("Location") != adminapi.Prefix+certificatesPath+"/"+made.ID {
		t.Errorf("status %d, Location %q", resp.StatusCode, resp.Header.Get("Location"))
	}
	shown := &clientcert.Shown{Leaf: pair.Leaf, Digest: sha256.Sum256(pair.Leaf.Raw)}
	want := adminapi.Certificate{ID: made.ID, Match: registry.MatchCertificate, Value: shown.Thumbprint(), Environment: "test", CredentialState: adminapi.CredentialState{NotAfter: pair.Leaf.NotAfter.UTC(), Created: start}}
	if made != want {
		t.Errorf("the new certificate is %+v, want %+v", made, want)
	}
	works := func(want bool, after string) {
		t.Helper()
		err := w.exchange("plain", &authority.Request{GrantType: oauth.ClientCredentials, ClientID: "c", Certificate: shown})
		if (err == nil) != want {
			t.Errorf("after %s: %v", after, err)
		}
	}
	works(true, "add")
	path := certificatesPath + "/" + made.ID
	w.do("PATCH", path, `{"disabled":true}`, 200)
	works(false, "disable")
	w.do("PATCH", path, `{"disabled":false,"not_after":"2026-11-23T12:00:01Z"}`, 200)
	works(true, "enable")
	w.wait(time.Second)
	works(false, "its end")
	var set adminapi.Certificate
	decode(t, w.do("PATCH", path, `{"not_after":null}`, 200), &set)
	works(true, "no not-after")
	if !set.NotAfter.IsZero() || !set.LastUsed.Equal(start) {
		t.Errorf("the changed certificate is %+v", set)
	}
	for _, list := range [][]adminapi.Certificate{get[adminapi.Page[adminapi.Certificate]](w, certificatesPath).Items, get[adminapi.Client](w, "/issuers/plain/clients/c").Certificates} {
		if len(list) != 1 || list[0].ID != made.ID || list[0].LastUsed.IsZero() {
			t.Errorf("the certificates are shown as %+v", list)
		}
	}
	w.do("DELETE", path, "", 204)
	works(false, "remove")
	w.refused("DELETE", path, "", 404, "certificate")
	w.refused("PATCH", path, `{}`, 404)
	checkEntries(t, w, "client.add", "certificate.add", "certificate.disable", "certificate.enable", "certificate.set", "certificate.remove")
	if e := w.entries()[1]; e.Object != "clients/c/certificates/"+made.ID || e.Client != "c" {
		t.Errorf("the entry is %+v", e)
	}
}

func TestCertificateNames(t *testing.T) {
	w := withClient(t)
	for _, c := range []struct{ member, value string }{
		{"subject_dn", "CN=merchant,O=Acme"}, {"san_dns", "merchant.example"}, {"san_uri", "spiffe://acme.example/merchant"}, {"san_ip", "10.0.0.1"}, {"san_email", "gateway@acme.example"},
	} {
		var made adminapi.Certificate
		decode(t, w.do("POST", certificatesPath, `{"`+c.member+`":`+quoted(c.value)+`,"not_after":"2027-01-01T00:00:00Z"}`, 201), &made)
		if string(made.Match) != c.member || made.Value != c.value || made.NotAfter.Year() != 2027 {
			t.Errorf("%s: registered %+v", c.member, made)
		}
	}
	var revoked adminapi.Certificate
	pem := quoted(string(certtest.PEM(certtest.SelfSigned(t, start, "merchant", nil).Leaf)))
	if decode(t, w.do("POST", certificatesPath, `{"certificate":`+pem+`,"disabled":true}`, 201), &revoked); !revoked.Disabled {
		t.Errorf("registered %+v", revoked)
	}
	list := get[adminapi.Page[adminapi.Certificate]](w, certificatesPath+"?limit=2")
	rest := get[adminapi.Page[adminapi.Certificate]](w, certificatesPath+"?after="+url.QueryEscape(list.Next))
	if len(list.Items) != 2 || len(rest.Items) != 4 || rest.Items[0].Match != "san_uri" || rest.Next != "" {
		t.Errorf("the pages are %+v and %+v", list, rest)
	}
}

func TestCertificateRefusals(t *testing.T) {
	w := withClient(t)
	pem := quoted(string(certtest.PEM(certtest.SelfSigned(t, start, "merchant", nil).Leaf)))
	barred := certtest.SelfSigned(t, start, "merchant", nil)
	key := certtest.KeyPEM(t, barred)
	w.do("POST", certificatesPath, `{"certificate":`+pem+`}`, 201)
	for _, c := range []struct {
		body   string
		status int
		text   string
	}{
		{`{}`, 400, "give one of certificate, subject_dn, san_dns, san_uri, san_ip and san_email; here are 0"},
		{`{"san_dns":""}`, 400, "here are 0"},
		{`{"san_dns":"a.example","san_ip":"10.0.0.1"}`, 400, "here are 2"},
		{`{"san_dns":7}`, 400, "san_dns"},
		{`{"san_dns":{}}`, 400, "san_dns"},
		{`{"issuer_dn":"CN=ca"}`, 400, "unknown member"},
		{`{"san_ip":"10.0.0.0/8"}`, 422, "no IP address"},
		{`{"certificate":` + pem + `}`, 422, "this very certificate"},
		{`{"certificate":` + quoted(string(key)) + `}`, 422, "this is a private key"},
		{`{"certificate":{"kty":"EC"}}`, 422, "key"},
		{`{"san_dns":"a.example","not_after":"2020-01-01T00:00:00Z"}`, 422, "in the future"},
	} {
		w.refused("POST", certificatesPath, c.body, c.status, c.text)
	}
	w.refused("POST", "/issuers/plain/clients/nobody/certificates", `{"san_dns":"a.example"}`, 404)
	w.do("POST", "/issuers/plain/clients", `{"id":"d"}`, 201)
	w.refused("POST", "/issuers/plain/clients/d/certificates", `{"certificate":`+pem+`}`, 409, "the certificate is registered already: certificate", "client 'c' of issuer 'plain', environment 'test'")
	w.do("POST", "/issuers/bolt/clients", `{"id":"b"}`, 201)
	w.refused("POST", "/issuers/bolt/clients/b/certificates", `{"certificate":`+pem+`}`, 422, "does not use self_signed_tls_client_auth")
	w.refused("PATCH", certificatesPath+"/x", `{"value":"y"}`, 404)
	if strings.Contains(w.log.String(), "PRIVATE") {
		t.Error("a private key that was refused is in the log")
	}
}
