package server_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const etpContract = "testdata/openapi/thales-etp.json"

// contract is the OpenAPI document of one operation, and the JSON Schemas in it.
type contract struct {
	*jsonschema.Compiler
	operation struct {
		Parameters []struct {
			Name     string
			Required bool
		}
		Responses map[string]struct {
			Content   map[string]any
			Retryable bool `json:"x-retryable"`
		}
	}
}

const operation = "/paths/~1auth~1accessToken/post"

func readContract(t *testing.T) *contract {
	t.Helper()
	text, err := os.ReadFile(etpContract)
	must(t, err)
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	must(t, json.Unmarshal(text, &doc))
	c := &contract{Compiler: jsonschema.NewCompiler()}
	must(t, json.Unmarshal(doc.Paths["/auth/accessToken"]["post"], &c.operation))
	whole, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	must(t, err)
	must(t, c.AddResource("etp.json", whole))
	return c
}

// check holds a value to the schema at a JSON pointer into the document.
func (c *contract) check(t *testing.T, pointer string, value any) error {
	t.Helper()
	schema, err := c.Compile("etp.json#" + pointer)
	must(t, err)
	return schema.Validate(value)
}

// broken returns the parts of a request that break the contract: names of headers, or "body".
func (c *contract) broken(t *testing.T, header http.Header, body []byte) (parts []string) {
	t.Helper()
	for i, p := range c.operation.Parameters {
		// The scheme is compared without case, and any number of spaces may follow it (RFC 9110 §11.1, §11.4).
		value := header.Get(p.Name)
		if scheme, rest, ok := strings.Cut(value, " "); ok && p.Name == "authorization" {
			value = strings.ToUpper(scheme) + " " + strings.TrimLeft(rest, " ")
		}
		if len(header.Values(p.Name)) != 1 || c.check(t, operation+"/parameters/"+strconv.Itoa(i)+"/schema", value) != nil {
			parts = append(parts, p.Name)
		}
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	mediaType, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	if err != nil || !strings.EqualFold(mediaType, "application/json") || c.check(t, operation+"/requestBody/content/application~1json/schema", value) != nil {
		parts = append(parts, "body")
	}
	return parts
}

// answer holds an answer of the operation to the contract.
func (c *contract) answer(t *testing.T, resp *http.Response, body []byte) {
	t.Helper()
	status := strings.Fields(resp.Status)[0]
	known, ok := c.operation.Responses[status]
	if !ok {
		t.Errorf("status %s is none of the contract", status)
		return
	}
	if retryable := resp.Header.Get("Retry-After") != ""; retryable != known.Retryable {
		t.Errorf("status %s with Retry-After: %v", status, retryable)
	}
	if known.Content == nil {
		if len(body) != 0 || resp.Header.Get("Content-Type") != "" {
			t.Errorf("status %s has a body of %q: %q", status, resp.Header.Get("Content-Type"), body)
		}
		return
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	must(t, err)
	if resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("a token as %s", resp.Header.Get("Content-Type"))
	}
	if err := c.check(t, operation+"/responses/"+status+"/content/application~1json/schema", value); err != nil {
		t.Error(err)
		return
	}
	payload := strings.Split(value.(map[string]any)["accessToken"].(string), ".")[1]
	claims, err := base64.RawURLEncoding.DecodeString(payload)
	must(t, err)
	value, err = jsonschema.UnmarshalJSON(bytes.NewReader(claims))
	must(t, err)
	if err := c.check(t, "/components/schemas/claims", value); err != nil {
		t.Error(err)
	}
}

// contractTransport holds each exchange at the token endpoint to the contract.
type contractTransport struct {
	t        *testing.T
	base     http.RoundTripper
	contract *contract
	seen     map[int]int // answers by status
}

// RoundTrip implements http.RoundTripper.
func (c *contractTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	var sent []byte
	if req.Body != nil {
		var err error
		if sent, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		req.Body = io.NopCloser(bytes.NewReader(sent))
	}
	header := req.Header.Clone()
	resp, err := c.base.RoundTrip(req)
	if err != nil || req.URL.Path != "/tsh-cof/auth/accessToken" || req.Method != http.MethodPost {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	must(c.t, err)
	must(c.t, resp.Body.Close())
	resp.Body = io.NopCloser(bytes.NewReader(body))
	c.seen[resp.StatusCode]++
	c.contract.answer(c.t, resp, body)
	// A request that breaks the contract is refused: for want of the key alone with 401, else with 400.
	parts := c.contract.broken(c.t, canonical(header), sent)
	retryable := resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= http.StatusInternalServerError
	switch status := resp.StatusCode; {
	case retryable:
	case len(parts) == 1 && parts[0] == "authorization":
		if status != http.StatusUnauthorized && status != http.StatusBadRequest {
			c.t.Errorf("status %d of a request without a key", status)
		}
	case len(parts) > 0 && status != http.StatusBadRequest:
		c.t.Errorf("status %d of a request with a wrong %v: %q", status, parts, sent)
	}
	if sentID := canonical(header).Get("X-Correlation-Id"); resp.StatusCode == http.StatusOK && resp.Header.Get("X-Correlation-Id") != sentID {
		c.t.Errorf("x-correlation-id %q was answered by %q", sentID, resp.Header.Get("X-Correlation-Id"))
	}
	return resp, nil
}

// canonical is the header with canonical names: the transcripts write them as the platform does.
func canonical(h http.Header) http.Header {
	out := http.Header{}
	for name, values := range h {
		for _, value := range values {
			out.Add(name, value)
		}
	}
	return out
}

// TestETPContract plays the transcripts of thales-etp, and requests at the limits of each rule, against the
// schemas of the platform's operation createAccessToken.
func TestETPContract(t *testing.T) {
	c := readContract(t)
	seen := map[int]int{}
	files, err := filepath.Glob("testdata/transcripts/thales-etp/*.http")
	must(t, err)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".http"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			must(t, err)
			preamble, exchanges := parseTranscript(t, string(text))
			s := readSetup(t, filepath.Dir(file), preamble)
			r := &run{TB: t, server: s.open(t), kept: map[string]string{}}
			r.server.client.Transport = &contractTransport{t: t, base: r.server.client.Transport, contract: c, seen: seen}
			for _, x := range exchanges {
				r.play(x)
			}
		})
	}
	t.Run("limits", func(t *testing.T) { testContractLimits(t, c, seen) })
	for status := range c.operation.Responses {
		n, err := strconv.Atoi(status)
		must(t, err)
		if seen[n] == 0 && n != http.StatusInternalServerError { // which is a fault of the server alone
			t.Errorf("no exchange was answered by %d", n)
		}
	}
}

// testContractLimits sends one request for each side of each limit of the contract.
func testContractLimits(t *testing.T, c *contract, seen map[int]int) {
	s := readSetup(t, "testdata/transcripts/thales-etp", "")
	h := s.open(t)
	client := &http.Client{Transport: &contractTransport{t: t, base: h.client.Transport, contract: c, seen: seen}}
	list := func(n, length int) string {
		var items []string
		for i := range n {
			items = append(items, `"`+strings.Repeat(string(rune('a'+i)), length)+`"`)
		}
		return "[" + strings.Join(items, ",") + "]"
	}
	const key = "APIKEY mnk_key-of-gateway-1"
	body := func(merchant, tokens, scope string) string {
		return `{"merchantId":` + merchant + `,"tokens":` + tokens + `,"scope":` + scope + `}`
	}
	const shop, scope = `"shop-1"`, `"PAYMENT_PASSKEY"`
	for name, r := range map[string]struct {
		key, correlation, body string
		status                 int
	}{
		"all in order":              {key, "c", body(shop, `["vts-1"]`, scope), 200},
		"unknown member":            {key, "c", `{"x":{"y":[1]},` + body(shop, `["vts-1"]`, scope)[1:], 200},
		"correlation of 36":         {key, strings.Repeat("c", 36), body(shop, `["vts-1"]`, scope), 200},
		"correlation of 37":         {key, strings.Repeat("c", 37), body(shop, `["vts-1"]`, scope), 400},
		"key of 512":                {"APIKEY " + strings.Repeat("k", 512), "c", body(shop, `["vts-1"]`, scope), 401},
		"key of 513":                {"APIKEY " + strings.Repeat("k", 513), "c", body(shop, `["vts-1"]`, scope), 400},
		"another scheme":            {"Bearer k", "c", body(shop, `["vts-1"]`, scope), 401},
		"no merchant":               {key, "c", `{"tokens":["vts-1"],"scope":"PAYMENT_PASSKEY"}`, 400},
		"empty merchant":            {key, "c", body(`""`, `["vts-1"]`, scope), 400},
		"merchant of 128":           {key, "c", body(`"`+strings.Repeat("m", 128)+`"`, `["vts-1"]`, scope), 404},
		"merchant of 129":           {key, "c", body(`"`+strings.Repeat("m", 129)+`"`, `["vts-1"]`, scope), 400},
		"merchant of 128 non-ASCII": {key, "c", body(`"`+strings.Repeat("é", 128)+`"`, `["vts-1"]`, scope), 404},
		"merchant as a number":      {key, "c", body(`1`, `["vts-1"]`, scope), 400},
		"null tokens":               {key, "c", body(shop, `null`, scope), 400},
		"no item":                   {key, "c", body(shop, `[]`, scope), 400},
		"10 unknown items":          {key, "c", body(shop, list(10, 128), scope), 404},
		"11 items":                  {key, "c", body(shop, list(11, 1), scope), 400},
		"item of 129":               {key, "c", body(shop, list(1, 129), scope), 400},
		"twice the same item":       {key, "c", body(shop, `["vts-1","vts-1"]`, scope), 400},
		"item with a dot":           {key, "c", body(shop, `["a.b"]`, scope), 400},
		"item as a number":          {key, "c", body(shop, `[1]`, scope), 400},
		"items as a string":         {key, "c", body(shop, `"vts-1"`, scope), 400},
		"another scope":             {key, "c", body(shop, `["vts-1"]`, `"PAYMENT"`), 400},
		"empty scope":               {key, "c", body(shop, `["vts-1"]`, `""`), 400},
		"long scope":                {key, "c", body(shop, `["vts-1"]`, `"`+strings.Repeat("P", 33)+`"`), 400},
		"scope as a list":           {key, "c", body(shop, `["vts-1"]`, `["PAYMENT_PASSKEY"]`), 400},
		"array as the body":         {key, "c", `[]`, 400},
		"no body":                   {key, "c", ``, 400},
		"broken JSON":               {key, "c", `{"merchantId":`, 400},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://etp.example.com/tsh-cof/auth/accessToken", strings.NewReader(r.body))
			must(t, err)
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization", r.key)
			req.Header.Set("X-Correlation-Id", r.correlation)
			resp, err := client.Do(req)
			must(t, err)
			must(t, resp.Body.Close())
			if resp.StatusCode != r.status {
				t.Errorf("status %d, want %d", resp.StatusCode, r.status)
			}
		})
	}
}
