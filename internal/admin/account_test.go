package admin_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"moneyer/internal/adminapi"
	"moneyer/internal/registry"
)

// withGateway starts an API with client gateway and account m of the etp issuer.
func withGateway(t *testing.T) *testAPI {
	t.Helper()
	w := newTestAPI(t)
	w.do("POST", "/issuers/etp/clients", `{"id":"gateway","scope":"PAYMENT_PASSKEY"}`, 201)
	w.do("PUT", "/issuers/etp/accounts/m", `{"client":"gateway","attributes":{"trId":"40000000001"}}`, 200)
	return w
}

func TestAccountLife(t *testing.T) {
	w := withGateway(t)
	m := get[registry.Account](w, "/issuers/etp/accounts/m")
	if m.ID != "m" || m.Client != "gateway" || m.Attributes["trId"].Text != "40000000001" {
		t.Errorf("the account is %+v", m)
	}
	w.do("PUT", "/issuers/etp/items/t2", `{"account":"m","kind":"visa"}`, 200)
	w.do("PUT", "/issuers/etp/items/t1", `{"account":"m","kind":"mastercard"}`, 200)
	if item := get[registry.Item](w, "/issuers/etp/items/t1"); item.Kind != "mastercard" || item.Account != "m" {
		t.Errorf("the item is %+v", item)
	}
	page := get[adminapi.Page[registry.Item]](w, "/issuers/etp/accounts/m/items?limit=1")
	if len(page.Items) != 1 || page.Items[0].ID != "t1" || page.Next != "t1" {
		t.Errorf("the first page is %+v", page)
	}
	accounts := get[adminapi.Page[registry.Account]](w, "/issuers/etp/accounts")
	if len(accounts.Items) != 1 || accounts.Next != "" {
		t.Errorf("the accounts are %+v", accounts)
	}
	w.refused("DELETE", "/issuers/etp/accounts/m", "", 409, "still has items")
	w.refused("DELETE", "/issuers/etp/clients/gateway", "", 409, "still owns accounts")
	w.do("DELETE", "/issuers/etp/items/t1", "", 204)
	w.do("DELETE", "/issuers/etp/items/t2", "", 204)
	w.refused("DELETE", "/issuers/etp/items/t2", "", 404)
	w.refused("GET", "/issuers/etp/items/t2", "", 404, "item 't2'")
	w.do("DELETE", "/issuers/etp/accounts/m", "", 204)
	w.refused("DELETE", "/issuers/etp/accounts/m", "", 404)
	w.refused("GET", "/issuers/etp/accounts/m", "", 404)
	w.refused("GET", "/issuers/etp/accounts/m/items", "", 404)
	checkEntries(t, w, "client.add", "account.put", "item.put", "item.put", "item.remove", "item.remove", "account.remove")
}

func TestAccountRefusals(t *testing.T) {
	w := withGateway(t)
	const attributes = `"attributes":{"trId":"40000000001"}`
	w.refused("PUT", "/issuers/etp/accounts/x", `{"client":"gateway"}`, 422, "trId is required")
	w.refused("PUT", "/issuers/etp/accounts/x", `{`+attributes+`}`, 422, "client must name")
	w.refused("PUT", "/issuers/etp/accounts/x", `{"client":"nobody",`+attributes+`}`, 422, "client 'nobody'")
	w.refused("PUT", "/issuers/etp/accounts/x", `{"id":"y","client":"gateway",`+attributes+`}`, 400, "unknown member 'id'")
	w.refused("PUT", "/issuers/bolt/accounts/x", `{"client":"gateway"}`, 422, "knows no accounts")
	w.refused("GET", "/issuers/etp/accounts?limit=x", "", 400)
	w.refused("GET", "/issuers/etp/accounts/m/items?limit=x", "", 400)
	w.refused("PUT", "/issuers/etp/items/t", `{"account":"nobody","kind":"visa"}`, 422, "account 'nobody'")
	w.refused("PUT", "/issuers/etp/items/t", `{"account":"m","kind":"VISA"}`, 422, "lower-case")
	w.refused("PUT", "/issuers/etp/items/t", `{"account":"m","colour":"red"}`, 400)
	w.do("PUT", "/issuers/etp/items/t", `{"account":"m","kind":"visa"}`, 200)
	w.do("PUT", "/issuers/etp/accounts/n", `{"client":"gateway",`+attributes+`}`, 200)
	w.refused("PUT", "/issuers/etp/items/t", `{"account":"n","kind":"visa"}`, 409, "another account")
}

// progress reads the lines of an import's answer.
func progress(t *testing.T, resp *http.Response) (lines []adminapi.Progress) {
	t.Helper()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("status %d, %s", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	dec := json.NewDecoder(resp.Body)
	for {
		var p adminapi.Progress
		err := dec.Decode(&p)
		if err == io.EOF {
			return lines
		}
		must(t, err)
		lines = append(lines, p)
	}
}

func (w *testAPI) imports(t *testing.T, what, body string) adminapi.Progress {
	t.Helper()
	lines := progress(t, w.send("POST", "/issuers/etp/"+what+":import", "application/x-ndjson", strings.NewReader(body)))
	return lines[len(lines)-1]
}

func TestImportOfManyRows(t *testing.T) {
	w := withGateway(t)
	const many = 5_000
	in, out := io.Pipe()
	go func() {
		buffered := bufio.NewWriter(out)
		for i := range many {
			fmt.Fprintf(buffered, `{"id":"t-%06d","account":"m","kind":"visa"}`+"\n", i)
		}
		_ = out.CloseWithError(buffered.Flush())
	}()
	lines := progress(t, w.send("POST", "/issuers/etp/items:import", "application/x-ndjson; charset=utf-8", in))
	if len(lines) != many/500+1 {
		t.Errorf("%d lines of progress", len(lines))
	}
	for i, p := range lines[:len(lines)-1] {
		if p.Done != int64(i+1)*500 || p.Finished {
			t.Fatalf("line %d is %+v", i, p)
		}
	}
	if last := lines[len(lines)-1]; last != (adminapi.Progress{Done: many, Finished: true}) {
		t.Errorf("the last line is %+v", last)
	}
	if item := get[registry.Item](w, "/issuers/etp/items/t-004999"); item.Account != "m" {
		t.Errorf("the last item is %+v", item)
	}
	entries := w.entries()
	if e := entries[len(entries)-1]; len(entries) != 2+many/500 || e.Action != "item.import" || e.Object != "items" || e.Count != 500 {
		t.Errorf("%d entries, the last is %+v", len(entries), e)
	}
}

// TestImportStreams: progress arrives while the request is still being sent.
func TestImportStreams(t *testing.T) {
	w := withGateway(t)
	in, out := io.Pipe()
	send := func(from, to int) {
		for i := from; i < to; i++ {
			fmt.Fprintf(out, `{"id":"t%d","account":"m","kind":"visa"}`+"\n", i)
		}
	}
	go send(0, 500)
	resp := w.send("POST", "/issuers/etp/items:import", "application/x-ndjson", in)
	dec := json.NewDecoder(resp.Body)
	for n := range 3 {
		var p adminapi.Progress
		must(t, dec.Decode(&p))
		if p.Done != int64(n+1)*500 {
			t.Fatalf("after %d rows: %+v", (n+1)*500, p)
		}
		w.do("GET", fmt.Sprintf("/issuers/etp/items/t%d", p.Done-1), "", 200)
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
			last := w.imports(t, "accounts", c.body)
			if last.Line != c.line || last.Done != c.done || last.Finished != (c.line == 0) || !strings.Contains(last.Error, c.text) {
				t.Errorf("the last line is %+v", last)
			}
			if c.line > 0 && !strings.Contains(last.Error, "every line before it is stored") {
				t.Errorf("the error is %q", last.Error)
			}
		})
	}
	for id, status := range map[string]int{"u1": 200, "u3": 404, "c2": 200, "c4": 404, "n699": 200, "l1": 200, "f1": 404} {
		w.do("GET", "/issuers/etp/accounts/"+id, "", status)
	}
	if last := w.imports(t, "items", `{"id":"t","account":"m","kind":"visa","pan":"4111"}`); last.Line != 1 {
		t.Errorf("a card number: %+v", last)
	}
	w.refused("POST", "/issuers/etp/accounts:import", `{}`, 415, "x-ndjson")
}

func TestImportThatBreaksOff(t *testing.T) {
	w := withGateway(t)
	in, out := io.Pipe()
	go func() {
		for i := range 600 {
			fmt.Fprintf(out, `{"id":"t%d","account":"m","kind":"visa"}`+"\n", i)
		}
	}()
	resp := w.send("POST", "/issuers/etp/items:import", "application/x-ndjson", in)
	var p adminapi.Progress
	must(t, json.NewDecoder(resp.Body).Decode(&p))
	_ = out.CloseWithError(io.ErrUnexpectedEOF)
	_, _ = io.Copy(io.Discard, resp.Body)
	if p.Done != 500 {
		t.Errorf("the first line is %+v", p)
	}
	w.do("GET", "/issuers/etp/items/t499", "", 200)
}
