package admin_test

import (
	"strings"
	"testing"
	"time"

	"moneyer/internal/adminapi"
	"moneyer/internal/authority"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

const secretsPath = "/issuers/plain/clients/c/secrets"

func TestSecretLife(t *testing.T) {
	w := withClient(t)
	var made adminapi.Secret
	text := w.do("POST", secretsPath, `{"kind":"secret","not_after":"2026-12-01T00:00:00Z"}`, 201)
	decode(t, text, &made)
	if len(made.Text) < 43 || !strings.HasPrefix(made.Text, "mns_") || made.ID == "" || made.Kind != registry.ClientSecret {
		t.Fatalf("the new secret is %+v", made)
	}
	works := func(want bool, after string) {
		t.Helper()
		err := w.exchange("plain", &authority.Request{GrantType: oauth.ClientCredentials, Credentials: []authority.Credential{{Method: oauth.AuthBasic, ID: "c", Secret: made.Text}}})
		if (err == nil) != want {
			t.Errorf("after %s: %v", after, err)
		}
	}
	works(true, "add")
	path := secretsPath + "/" + made.ID
	w.do("PATCH", path, `{"disabled":true}`, 200)
	works(false, "disable")
	w.do("PATCH", path, `{"disabled":false}`, 200)
	works(true, "enable")
	w.wait(30 * 24 * time.Hour)
	w.token = w.mint("operator", both, time.Hour)
	works(false, "its end")
	var set adminapi.Secret
	decode(t, w.do("PATCH", path, `{"not_after":null}`, 200), &set)
	works(true, "no not-after")
	if set.Text != "" || !set.NotAfter.IsZero() || !set.LastUsed.Equal(start) {
		t.Errorf("the changed secret is %+v", set)
	}
	for _, shown := range []string{w.do("GET", secretsPath, "", 200), w.do("GET", "/issuers/plain/clients/c", "", 200)} {
		if !strings.Contains(shown, made.ID) || strings.Contains(shown, made.Text) || strings.Contains(shown, "digest") {
			t.Errorf("the secret is shown as %s", shown)
		}
	}
	w.do("DELETE", path, "", 204)
	works(false, "remove")
	w.refused("DELETE", path, "", 404, "secret")
	w.refused("PATCH", path, `{}`, 404)
	checkEntries(t, w, "client.add", "secret.add", "secret.disable", "secret.enable", "secret.set", "secret.remove")
	for _, place := range []string{w.log.String(), w.do("GET", "/ledger", "", 200)} {
		if strings.Contains(place, made.Text) || strings.Contains(place, w.token) {
			t.Error("the secret or the token is in the log or the ledger")
		}
	}
}

func TestAPIKeyLife(t *testing.T) {
	w := newTestAPI(t)
	w.do("POST", "/issuers/etp/clients", `{"id":"gateway","scope":"PAYMENT_PASSKEY"}`, 201)
	w.do("PUT", "/issuers/etp/accounts/m1", `{"client":"gateway","attributes":{"trId":"40000000001"}}`, 200)
	w.do("PUT", "/issuers/etp/items/t1", `{"account":"m1","kind":"visa"}`, 200)
	var made adminapi.Secret
	decode(t, w.do("POST", "/issuers/etp/clients/gateway/secrets", `{"kind":"api_key"}`, 201), &made)
	req := &authority.Request{GrantType: oauth.ClientCredentials, Credentials: []authority.Credential{{Method: oauth.AuthAPIKey, APIKey: made.Text}}, Scope: "PAYMENT_PASSKEY",
		Params: []authority.Param{{Name: "merchantId", Value: registry.Attribute{Text: "m1"}}, {Name: "tokens", Value: registry.Attribute{List: []string{"t1"}, IsList: true}}}}
	must(t, w.exchange("etp", req))
	w.do("PUT", "/issuers/etp/accounts/m1", `{"client":"gateway","disabled":true,"attributes":{"trId":"40000000001"}}`, 200)
	if w.exchange("etp", req) == nil {
		t.Error("a disabled account got a token")
	}
	w.do("PUT", "/issuers/etp/accounts/m1", `{"client":"gateway","attributes":{"trId":"40000000001"}}`, 200)
	must(t, w.exchange("etp", req))
	w.do("PATCH", "/issuers/etp/clients/gateway/secrets/"+made.ID, `{"disabled":true}`, 200)
	if w.exchange("etp", req) == nil {
		t.Error("a disabled API key got a token")
	}
	w.do("DELETE", "/issuers/etp/clients/gateway/secrets/"+made.ID, "", 204)
	checkEntries(t, w, "client.add", "account.put", "item.put", "api-key.add", "account.put", "account.put", "api-key.disable", "api-key.remove")
}

func TestSecretRefusals(t *testing.T) {
	w := withClient(t)
	w.refused("POST", secretsPath, `{}`, 400, "kind is secret or api_key")
	w.refused("POST", secretsPath, `{"kind":"password"}`, 400)
	w.refused("POST", secretsPath, `{"kind":"api_key"}`, 422, "uses no API keys")
	w.refused("POST", secretsPath, `{"kind":"secret","not_after":"2020-01-01T00:00:00Z"}`, 422, "in the future")
	w.refused("POST", secretsPath, `{"kind":"secret","text":"hunter2"}`, 400, "unknown member 'text'")
	w.refused("POST", "/issuers/plain/clients/nobody/secrets", `{"kind":"secret"}`, 404)
	w.do("POST", "/issuers/d1/clients", `{"id":"merchant01"}`, 201)
	w.refused("POST", "/issuers/d1/clients/merchant01/secrets", `{"kind":"secret"}`, 422, "uses no client secrets")
	for range 32 {
		w.do("POST", secretsPath, `{"kind":"secret"}`, 201)
	}
	w.refused("POST", secretsPath, `{"kind":"secret"}`, 422, "at most 32")
}
