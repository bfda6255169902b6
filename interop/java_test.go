package interop

import (
	"strings"
	"testing"
)

// TestSlowDefaultAudience: what Spring Security and Nimbus put into aud by themselves, the token
// endpoint, is refused (RFC 10070), except from a client that is let in while it migrates.
func TestSlowDefaultAudience(t *testing.T) {
	needJava(t)
	key := newKey(t, "ES256")
	strict, migrating := oauth2AS.newClient(t, newID()), oauth2AS.newClient(t, newID(), "--client-assertion-audience", "issuer-or-endpoint")
	key.register(t, oauth2AS, strict)
	own := newKey(t, "ES256")
	own.register(t, oauth2AS, migrating)
	work := []fetching{
		{Issuer: oauth2AS.url(t), ClientID: strict, Auth: privateKeyJWT, PEM: key.pem(t), Alg: key.alg, Kid: key.kid},
		{Issuer: oauth2AS.url(t), ClientID: migrating, Auth: privateKeyJWT, PEM: own.pem(t), Alg: own.alg, Kid: own.kid},
	}
	for _, class := range []string{"SpringClient", "NimbusClient"} {
		var got []fetched
		askJava(t, class, work, &got)
		if len(got) != 2 || got[0].Error != "invalid_client" || got[0].AccessToken != "" || got[1].AccessToken == "" {
			t.Errorf("%s: %+v", class, got)
		}
	}
}

// TestSlowSpringIssuerURI: a resource server that is given issuer-uri alone finds the keys. By default
// it refuses typ at+jwt, so it takes the tokens of the platforms that have another.
func TestSlowSpringIssuerURI(t *testing.T) {
	needJava(t)
	var work []judging
	issuers := []issuer{d1, oauth2AS, etp, boltpay}
	for _, i := range issuers {
		compact := i.minted(t)
		work = append(work, judging{Token: compact, Issuer: i.url(t)}, judging{Token: tamperSignature(compact), Issuer: i.url(t)})
	}
	var verdicts []string
	askJava(t, "SpringResourceServer", work, &verdicts)
	for n, verdict := range verdicts {
		i, want := issuers[n/2], ""
		switch {
		case n%2 == 1:
			want = "Invalid signature"
		case i == d1 || i == oauth2AS:
			want = "typ"
		}
		if (verdict == "") != (want == "") || !strings.Contains(verdict, want) {
			t.Errorf("%s: %q, want %q", i, verdict, want)
		}
	}
}
