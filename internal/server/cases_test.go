package server_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// caseFiles returns the files of a folder of testdata/cases by name. Each must be in rows.
func caseFiles[T any](t *testing.T, folder string, rows map[string]T) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata/cases", folder, "*"))
	must(t, err)
	files := map[string][]byte{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		must(t, err)
		files[filepath.Base(name)] = text
		if _, ok := rows[filepath.Base(name)]; !ok {
			t.Errorf("no row names %s", name)
		}
	}
	if len(files) != len(rows) {
		t.Errorf("%d files, %d rows", len(files), len(rows))
	}
	return files
}

// newSetup is a setup that is not in a file.
func newSetup(t *testing.T, text string) *setup {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "setup"), []byte(text), 0o600))
	return readSetup(t, dir, "")
}

// exact sends a request byte for byte.
func (h *testServer) exact(t *testing.T, request []byte) (status int, header http.Header, body []byte) {
	t.Helper()
	transport, ok := h.client.Transport.(*http.Transport)
	if !ok {
		t.Fatal("the client has a transport of its own")
	}
	plain, err := transport.DialContext(t.Context(), "tcp", "example.com:443")
	must(t, err)
	config := transport.TLSClientConfig.Clone()
	config.ServerName = "example.com"
	conn := tls.Client(plain, config)
	defer conn.Close()
	_, err = conn.Write(request)
	must(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, resp.Header, body
}

// described returns the error_description of a refusal.
func described(t *testing.T, body []byte) string {
	t.Helper()
	var refusal struct {
		Description string `json:"error_description"`
	}
	must(t, json.Unmarshal(body, &refusal))
	return refusal.Description
}

// TestFormCharset: RFC 6749 appendix B and the registration of the media type. A form has no parameters, values are
// UTF-8, and whoever sends something else is told what it was, in the answer and in the log.
func TestFormCharset(t *testing.T) {
	const token, notUTF8 = "", "a value of the form is not UTF-8"
	want := "the body must be application/x-www-form-urlencoded; this one has "
	rows := map[string]string{ // what the refusal says; token for none
		"request.http": token, "apache-httpclient5.http": token, "spring-resttemplate.http": token, "browser-fetch.http": token,
		"dotnet.http": token, "curl.http": token, "parameter-malformed.http": token, "parameter-of-another.http": token,
		"utf8-raw.http": token, "utf8-percent.http": token,
		"latin1-raw.http": notUTF8, "latin1-percent.http": notUTF8, "latin1-percent-secret.http": notUTF8,
		"text-plain.http":   want + "'text/plain;charset=ISO-8859-1'",
		"multipart.http":    want + "'multipart/form-data; boundary=x7'",
		"no-type.http":      want + "no Content-Type",
		"empty-type.http":   want + "no Content-Type",
		"two-types.http":    want + "'application/x-www-form-urlencoded' and another Content-Type",
		"gzip.http":         want + "'application/x-www-form-urlencoded' and Content-Encoding 'gzip', which is not read here",
		"gzip-second.http":  want + "'application/x-www-form-urlencoded' and Content-Encoding ', gzip', which is not read here",
		"long-type.http":    want + "'application/" + strings.Repeat("x", 52) + "...'",
		"hostile-type.http": want + "'text/????<b>; ", // the card number is masked
	}
	h := newSetup(t, "profile boltpay\nissuer pay https://127.0.0.1/boltpay resource=r\nclient demo-gtw01 scope=openid\nsecret s1 S3cr-t_8\n").open(t)
	for name, request := range caseFiles(t, "02-form-charset", rows) {
		h.log.Reset()
		status, _, body := h.exact(t, bytes.Replace(request, []byte("SECRET"), []byte("S3cr-t_8"), 1))
		if rows[name] == token {
			if status != http.StatusOK || !bytes.Contains(body, []byte(`"access_token"`)) {
				t.Errorf("%s: %d %s, want a token", name, status, body)
			}
			continue
		}
		found := described(t, body)
		if status != http.StatusBadRequest || !strings.HasPrefix(found, rows[name]) || strings.Contains(found, "4111111111111111") {
			t.Errorf("%s: %d %q, want 400 %q", name, status, found, rows[name])
		}
		if len(found) > 250 || strings.ContainsFunc(found, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
			t.Errorf("%s: an error_description cannot be %q", name, found)
		}
		logged, _, _ := strings.Cut(h.log.String(), "\n")
		if !strings.Contains(logged, found) {
			t.Errorf("%s: the log has %s, want %q in it", name, logged, found)
		}
	}
}

// TestRefusalNamesTypeInLog: where a refusal has no body, the log says what was sent.
func TestRefusalNamesTypeInLog(t *testing.T) {
	h := readSetup(t, "testdata/transcripts/thales-etp", "").open(t)
	issuer := h.setup.issuers[0]
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, issuer.Endpoints()[0], strings.NewReader("scope=PAYMENT_PASSKEY"))
	must(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=ISO-8859-1")
	req.Header.Set("Content-Encoding", "br")
	req.Header.Set("X-Correlation-Id", "c-1")
	resp, err := h.client.Do(req)
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	const found = "the body must be application/json; this one has 'application/x-www-form-urlencoded; charset=ISO-8859-1' and Content-Encoding 'br'"
	if len(body) > 0 || !strings.Contains(h.log.String(), found) {
		t.Errorf("body %q, log %s", body, h.log.String())
	}
}

// TestSpacesAfterScheme: RFC 9110 §11.4, any number of spaces may stand behind the scheme, in every header that has one.
func TestSpacesAfterScheme(t *testing.T) {
	basic := base64.StdEncoding.EncodeToString([]byte("keeper:secret-of-keeper"))
	rows := map[string][]string{"headers.txt": {"Authorization: Basic  BASE64", "Authorization: Bearer  TOKEN", "authorization: APIKEY  KEY"}}
	var lines []string
	for _, text := range caseFiles(t, "11-two-spaces", rows) {
		lines = strings.Split(strings.TrimSpace(string(text)), "\n")
	}
	if !slices.Equal(lines, rows["headers.txt"]) {
		t.Fatalf("the file has %q", lines)
	}
	plain := newSetup(t, "profile oauth2\nissuer plain https://127.0.0.1/plain resource=r\nclient keeper scope=read\nsecret s1 secret-of-keeper\n").open(t)
	etp := readSetup(t, "testdata/transcripts/thales-etp", "").open(t)
	key := etp.setup.sdk[0].named["apikey"]
	call := func(h *testServer, method, path, header, contentType, body string) (int, []byte) {
		status, _, answer := h.exact(t, []byte(method+" "+path+" HTTP/1.1\r\nHost: "+hostOf(h.setup.issuers[0].URL)+"\r\n"+header+"\r\nX-Correlation-Id: c-1\r\nContent-Type: "+contentType+
			"\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body))
		return status, answer
	}
	for _, spaces := range []string{" ", "  ", "    "} {
		header := func(line, mark, value string) string {
			return strings.TrimSuffix(line, "  "+mark) + spaces + value
		}
		status, answer := call(plain, "POST", "/plain/oauth2/token", header(lines[0], "BASE64", basic), "application/x-www-form-urlencoded", "grant_type=client_credentials")
		var given struct {
			AccessToken string `json:"access_token"`
		}
		if must(t, json.Unmarshal(answer, &given)); status != http.StatusOK || given.AccessToken == "" {
			t.Fatalf("Basic with %q: %d %s", spaces, status, answer)
		}
		if status, _ := call(plain, "GET", "/plain/check", header(lines[1], "TOKEN", given.AccessToken), "", ""); status != http.StatusOK {
			t.Errorf("Bearer with %q: %d", spaces, status)
		}
		body := `{"merchantId":"` + etp.setup.sdk[0].named["merchantId"] + `","tokens":["` + strings.ReplaceAll(etp.setup.sdk[0].named["tokens"], ",", `","`) + `"],"scope":"PAYMENT_PASSKEY"}`
		path := strings.TrimPrefix(etp.setup.issuers[0].Endpoints()[0], "https://"+hostOf(etp.setup.issuers[0].URL))
		if status, answer := call(etp, "POST", path, header(lines[2], "KEY", key), "application/json", body); status != http.StatusOK {
			t.Errorf("an API key with %q: %d %s", spaces, status, answer)
		}
	}
}
