package admin_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"moneyer/internal/admin"
	"moneyer/internal/registry"
)

// withGateway starts a world with client gateway and merchant m of the etp issuer.
func withGateway(t *testing.T) *testAPI {
	t.Helper()
	w := newTestAPI(t)
	w.do("POST", "/issuers/etp/clients", `{"id":"gateway","scope":"PAYMENT_PASSKEY"}`, 201)
	w.do("PUT", "/issuers/etp/merchants/m", `{"client":"gateway","attributes":{"trId":"40000000001"}}`, 200)
	return w
}

func TestMerchantLife(t *testing.T) {
	w := withGateway(t)
	m := get[registry.Merchant](w, "/issuers/etp/merchants/m")
	if m.ID != "m" || m.Client != "gateway" || m.Attributes["trId"].Text != "40000000001" {
		t.Errorf("the merchant is %+v", m)
	}
	w.do("PUT", "/issuers/etp/card-tokens/t2", `{"merchant":"m","scheme":"visa"}`, 200)
	w.do("PUT", "/issuers/etp/card-tokens/t1", `{"merchant":"m","scheme":"mastercard"}`, 200)
	if token := get[registry.CardToken](w, "/issuers/etp/card-tokens/t1"); token.Scheme != "mastercard" || token.Merchant != "m" {
		t.Errorf("the card token is %+v", token)
	}
	page := get[admin.Page[registry.CardToken]](w, "/issuers/etp/merchants/m/card-tokens?limit=1")
	if len(page.Items) != 1 || page.Items[0].ID != "t1" || page.Next != "t1" {
		t.Errorf("the first page is %+v", page)
	}
	merchants := get[admin.Page[registry.Merchant]](w, "/issuers/etp/merchants")
	if len(merchants.Items) != 1 || merchants.Next != "" {
		t.Errorf("the merchants are %+v", merchants)
	}
	w.refused("DELETE", "/issuers/etp/merchants/m", "", 409, "still has card tokens")
	w.refused("DELETE", "/issuers/etp/clients/gateway", "", 409, "still owns merchants")
	w.do("DELETE", "/issuers/etp/card-tokens/t1", "", 204)
	w.do("DELETE", "/issuers/etp/card-tokens/t2", "", 204)
	w.refused("DELETE", "/issuers/etp/card-tokens/t2", "", 404)
	w.refused("GET", "/issuers/etp/card-tokens/t2", "", 404, "card token 't2'")
	w.do("DELETE", "/issuers/etp/merchants/m", "", 204)
	w.refused("DELETE", "/issuers/etp/merchants/m", "", 404)
	w.refused("GET", "/issuers/etp/merchants/m", "", 404)
	w.refused("GET", "/issuers/etp/merchants/m/card-tokens", "", 404)
	wantEntries(t, w, "client.add", "merchant.put", "card-token.put", "card-token.put", "card-token.remove", "card-token.remove", "merchant.remove")
}

func TestMerchantRefusals(t *testing.T) {
	w := withGateway(t)
	const attributes = `"attributes":{"trId":"40000000001"}`
	w.refused("PUT", "/issuers/etp/merchants/x", `{"client":"gateway"}`, 422, "trId is required")
	w.refused("PUT", "/issuers/etp/merchants/x", `{`+attributes+`}`, 422, "client must name")
	w.refused("PUT", "/issuers/etp/merchants/x", `{"client":"nobody",`+attributes+`}`, 422, "client 'nobody'")
	w.refused("PUT", "/issuers/etp/merchants/x", `{"id":"y","client":"gateway",`+attributes+`}`, 400, "unknown member 'id'")
	w.refused("PUT", "/issuers/bolt/merchants/x", `{"client":"gateway"}`, 422, "knows no merchants")
	w.refused("GET", "/issuers/etp/merchants?limit=x", "", 400)
	w.refused("GET", "/issuers/etp/merchants/m/card-tokens?limit=x", "", 400)
	w.refused("PUT", "/issuers/etp/card-tokens/t", `{"merchant":"nobody","scheme":"visa"}`, 422, "merchant 'nobody'")
	w.refused("PUT", "/issuers/etp/card-tokens/t", `{"merchant":"m","scheme":"VISA"}`, 422, "lower-case")
	w.refused("PUT", "/issuers/etp/card-tokens/t", `{"merchant":"m","colour":"red"}`, 400)
	w.do("PUT", "/issuers/etp/card-tokens/t", `{"merchant":"m","scheme":"visa"}`, 200)
	w.do("PUT", "/issuers/etp/merchants/n", `{"client":"gateway",`+attributes+`}`, 200)
	w.refused("PUT", "/issuers/etp/card-tokens/t", `{"merchant":"n","scheme":"visa"}`, 409, "another merchant")
}

// progress reads the lines of an import's answer.
func progress(t *testing.T, resp *http.Response) (lines []admin.Progress) {
	t.Helper()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("status %d, %s", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	dec := json.NewDecoder(resp.Body)
	for {
		var p admin.Progress
		err := dec.Decode(&p)
		if err == io.EOF {
			return lines
		}
		must(t, err)
		lines = append(lines, p)
	}
}

func (w *testAPI) imports(t *testing.T, what, body string) admin.Progress {
	t.Helper()
	lines := progress(t, w.send("POST", "/issuers/etp/"+what+":import", "application/x-ndjson", strings.NewReader(body)))
	return lines[len(lines)-1]
}

func TestImportOfManyRows(t *testing.T) {
	w := withGateway(t)
	const many = 50_000
	in, out := io.Pipe()
	go func() {
		buffered := bufio.NewWriter(out)
		for i := range many {
			fmt.Fprintf(buffered, `{"id":"t-%06d","merchant":"m","scheme":"visa"}`+"\n", i)
		}
		_ = out.CloseWithError(buffered.Flush())
	}()
	lines := progress(t, w.send("POST", "/issuers/etp/card-tokens:import", "application/x-ndjson; charset=utf-8", in))
	if len(lines) != many/500+1 {
		t.Errorf("%d lines of progress", len(lines))
	}
	for i, p := range lines[:len(lines)-1] {
		if p.Done != int64(i+1)*500 || p.Finished {
			t.Fatalf("line %d is %+v", i, p)
		}
	}
	if last := lines[len(lines)-1]; last != (admin.Progress{Done: many, Finished: true}) {
		t.Errorf("the last line is %+v", last)
	}
	if token := get[registry.CardToken](w, "/issuers/etp/card-tokens/t-049999"); token.Merchant != "m" {
		t.Errorf("the last card token is %+v", token)
	}
	entries := w.entries()
	if e := entries[len(entries)-1]; len(entries) != 2+many/500 || e.Action != "card-token.import" || e.Object != "card-tokens" || e.Count != 500 {
		t.Errorf("%d entries, the last is %+v", len(entries), e)
	}
}

// TestImportStreams wants the answer to run beside the request: who sends without
// end is told without end.
func TestImportStreams(t *testing.T) {
	w := withGateway(t)
	in, out := io.Pipe()
	send := func(from, to int) {
		for i := from; i < to; i++ {
			fmt.Fprintf(out, `{"id":"t%d","merchant":"m","scheme":"visa"}`+"\n", i)
		}
	}
	go send(0, 500)
	resp := w.send("POST", "/issuers/etp/card-tokens:import", "application/x-ndjson", in)
	dec := json.NewDecoder(resp.Body)
	for n := range 3 {
		var p admin.Progress
		must(t, dec.Decode(&p))
		if p.Done != int64(n+1)*500 {
			t.Fatalf("after %d rows: %+v", (n+1)*500, p)
		}
		w.do("GET", fmt.Sprintf("/issuers/etp/card-tokens/t%d", p.Done-1), "", 200)
		send((n+1)*500, (n+2)*500)
	}
	must(t, out.Close())
}

func TestImportFaults(t *testing.T) {
	w := withGateway(t)
	row := func(id, client string) string {
		return fmt.Sprintf(`{"id":%q,"client":%q,"attributes":{"trId":"40000000001"}}`+"\n", id, client)
	}
	var many strings.Builder
	for i := range 700 {
		many.WriteString(row(fmt.Sprintf("n%d", i), "gateway"))
	}
	for _, c := range []struct {
		name, body string
		line, done int64
		text       string
	}{
		{"nothing", "", 0, 0, ""},
		{"empty lines", "\n" + row("e1", "gateway") + "\r\n  \n" + strings.TrimSpace(row("e2", "gateway")), 0, 2, ""},
		{"an unknown member", row("u1", "gateway") + `{"id":"u2","colour":"red"}` + "\n" + row("u3", "gateway"), 2, 1, "unknown member 'colour'"},
		{"no JSON", "\nid,client\n", 2, 0, "want an object"},
		{"a row that does not fit", row("r1", "gateway") + `{"id":"r2","client":"gateway"}`, 2, 1, "trId is required"},
		{"a client that is not there", row("c1", "gateway") + row("c2", "gateway") + "\n" + row("c3", "nobody") + row("c4", "gateway"), 4, 2, "client 'nobody'"},
		{"a fault before a fault", row("f1", "nobody") + "nonsense", 1, 0, "client 'nobody'"},
		{"a fault in the second chunk", many.String() + row("m2", "nobody"), 701, 700, "client 'nobody'"},
		{"a line too long", row("l1", "gateway") + strings.Repeat("x", 70<<10), 2, 1, "longer than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			last := w.imports(t, "merchants", c.body)
			if last.Line != c.line || last.Done != c.done || last.Finished != (c.line == 0) || !strings.Contains(last.Error, c.text) {
				t.Errorf("the last line is %+v", last)
			}
			if c.line > 0 && !strings.Contains(last.Error, "every line before it is stored") {
				t.Errorf("the error is %q", last.Error)
			}
		})
	}
	for id, status := range map[string]int{"u1": 200, "u3": 404, "c2": 200, "c4": 404, "n699": 200, "l1": 200, "f1": 404} {
		w.do("GET", "/issuers/etp/merchants/"+id, "", status)
	}
	if last := w.imports(t, "card-tokens", `{"id":"t","merchant":"m","scheme":"visa","pan":"4111"}`); last.Line != 1 {
		t.Errorf("a card number: %+v", last)
	}
	w.refused("POST", "/issuers/etp/merchants:import", `{}`, 415, "x-ndjson")
}

func TestImportThatBreaksOff(t *testing.T) {
	w := withGateway(t)
	in, out := io.Pipe()
	go func() {
		for i := range 600 {
			fmt.Fprintf(out, `{"id":"t%d","merchant":"m","scheme":"visa"}`+"\n", i)
		}
	}()
	resp := w.send("POST", "/issuers/etp/card-tokens:import", "application/x-ndjson", in)
	var p admin.Progress
	must(t, json.NewDecoder(resp.Body).Decode(&p))
	_ = out.CloseWithError(io.ErrUnexpectedEOF)
	_, _ = io.Copy(io.Discard, resp.Body)
	if p.Done != 500 {
		t.Errorf("the first line is %+v", p)
	}
	w.do("GET", "/issuers/etp/card-tokens/t499", "", 200)
}
