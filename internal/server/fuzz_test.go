package server_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

// FuzzToken sends whatever it likes to every platform. CREDENTIAL stands for one
// that the setup knows: nobody who does not show it gets a token, and no answer
// gives it back. Every status is one of the table's.
func FuzzToken(f *testing.F) {
	type target struct {
		*testServer
		path, credential string
	}
	var targets []target
	for _, dir := range transcriptDirs(f) {
		s := readSetup(f, dir, "")
		issuer := s.issuers[0]
		issuer.Replay = "until-exp" // one assertion serves all along
		t := target{testServer: s.open(f), path: strings.TrimPrefix(issuer.Endpoints()[0], "https://"+hostOf(issuer.URL))}
		switch sdk := s.sdk[0].named; {
		case sdk["apikey"] != "":
			t.credential = sdk["apikey"]
		case sdk["secret"] != "":
			t.credential = "mns_new-secret-of-the-overlap"
		default:
			r := &run{TB: f, server: t.testServer, kept: map[string]string{}}
			t.credential = r.expand("{assert " + sdk["key"] + "}")
		}
		targets = append(targets, t)
	}
	const form, asJSON = "application/x-www-form-urlencoded", "application/json"
	const jwt = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion="
	for i := range targets {
		for _, credential := range []string{"CREDENTIAL", "something-else", ""} {
			f.Add(i, form, "Basic c2hvcC0xOm5ldw", "", "", jwt+credential)
			f.Add(i, form, "", "", "c-1", "grant_type=client_credentials&client_id=shop-1&client_secret="+credential)
			f.Add(i, form, "", "", "c-1", "grant_type=client_credentials&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion="+credential)
			f.Add(i, asJSON, "", "", "", `{"grant_type":"urn:ietf:params:oauth:grant-type:jwt-bearer","assertion":"`+credential+`"}`)
			f.Add(i, asJSON, "APIKEY "+credential, "", "c-1", `{"merchantId":"shop-1","tokens":["vts-1"],"scope":"PAYMENT_PASSKEY"}`)
			f.Add(i, asJSON, "", credential, "c-1", `{"grantType":"client_credentials","lanes":"1"}`)
			f.Add(i, asJSON, credential, credential, credential, `{"scope":"`+credential+`","`+credential+`":1,"grant_type":"`+credential+`"}`)
		}
	}
	statuses := map[int]bool{200: true, 400: true, 401: true, 403: true, 404: true, 413: true, 415: true, 422: true}
	f.Fuzz(func(t *testing.T, which int, contentType, authorization, apiKey, correlation, body string) {
		if which < 0 || which >= len(targets) {
			return
		}
		at := targets[which]
		shown := strings.Contains(authorization+"\n"+apiKey+"\n"+body, "CREDENTIAL")
		fill := func(s string) string { return strings.ReplaceAll(s, "CREDENTIAL", at.credential) }
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, at.path, strings.NewReader(fill(body)))
		req.Host = hostOf(at.setup.issuers[0].URL)
		for name, value := range map[string]string{"Content-Type": contentType, "Authorization": fill(authorization), "X-Api-Key": fill(apiKey),
			"X-Correlation-Id": correlation, "Bridge-Request": correlation} {
			if value != "" {
				req.Header.Set(name, value)
			}
		}
		w := httptest.NewRecorder()
		at.handler.ServeHTTP(w, req)
		answer := w.Body.String()
		for name, values := range w.Header() {
			answer += name + strings.Join(values, "\n")
		}
		switch {
		case !statuses[w.Code]:
			t.Errorf("status %d: %s", w.Code, answer)
		case w.Code == 200 && !shown:
			t.Errorf("a token for nothing: %s", answer)
		case w.Code != 200 && compactJWS.MatchString(w.Body.String()):
			t.Errorf("status %d with a token: %s", w.Code, answer)
		}
		if strings.Contains(answer, at.credential) {
			t.Errorf("the answer gives the credential back: %s", answer)
		}
		if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Length") != strconv.Itoa(w.Body.Len()) {
			t.Errorf("header %v of %d bytes", w.Header(), w.Body.Len())
		}
		if strings.Contains(at.log.String(), at.credential) {
			t.Error("the log holds the credential")
		}
		at.log.Reset()
	})
}

func hostOf(url string) string {
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "https://"), "/")
	return host
}
