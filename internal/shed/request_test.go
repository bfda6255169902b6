package shed

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"testing"
)

func TestRequest(t *testing.T) {
	const plain = "POST /token HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
	for _, row := range []struct {
		text   string
		length int
		post   bool
	}{
		{plain, len(plain), true},
		{plain + "more", len(plain), true},
		{plain[:len(plain)-1], len(plain), true},
		{"GET /a?b=c HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n", 45, false},
		{"POST / HTTP/1.1\r\nhost:a\r\nconnection: Keep-Alive\r\n\r\n", 51, true},
		{"", 0, false},
		{"POST /token HTTP/1.1\r\nHost: a\r\n", 0, false},
		{"PUT /token HTTP/1.1\r\nHost: a\r\n\r\n", 0, false},
		{"POST token HTTP/1.1\r\nHost: a\r\n\r\n", 0, false},
		{"POST /to ken HTTP/1.1\r\nHost: a\r\n\r\n", 0, true},
		{"POST /token HTTP/1.0\r\nHost: a\r\n\r\n", 0, true},
		{"POST /token HTTP/1.1\r\n\r\n", 0, true},
		{"POST /token HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 0, true},
		{"POST /token HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", 0, true},
		{"POST /token HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc", 0, true},
		{"POST /token HTTP/1.1\r\nHost: a\r\nContent-Length: 3 \r\n\r\nabc", 0, true},
		{"POST /token HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n", 0, true},
		{"POST /token HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc", 0, true},
		{"POST /token HTTP/1.1\r\nHost: a\r\nX: a\r\n Content-Length: 3\r\n\r\nabc", 0, true},
		{"POST /token HTTP/1.1\r\nHost: a\r\nX: a\rContent-Length: 3\r\n\r\nabc", 0, true},
		{"POST /token HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 0, true},
		{"POST /token HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n", 0, true},
	} {
		if length, post := request([]byte(row.text)); length != row.length || length > 0 && post != row.post {
			t.Errorf("%q: %d, %v; want %d, %v", row.text, length, post, row.length, row.post)
		}
	}
}

// FuzzRequest: what is taken for one whole request is one to net/http, with the
// same end. The other way round nothing is claimed.
func FuzzRequest(f *testing.F) {
	for _, text := range []string{
		"POST /token HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
		"POST /token HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
		"GET /a HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /%zz HTTP/1.1\r\nHost: a b\r\nContent-Length: 00\r\nX_y: \x7e\r\n\r\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		length, post := request(b)
		if length == 0 || length > len(b) {
			return
		}
		rest := bytes.NewReader(b[:length])
		buffer := bufio.NewReader(rest)
		r, err := http.ReadRequest(buffer)
		if err != nil {
			return // net/http refuses it and closes the connection
		}
		if post != (r.Method == http.MethodPost) || len(r.TransferEncoding) > 0 || r.Close || !r.ProtoAtLeast(1, 1) {
			t.Fatalf("%s, %v, close: %v, %s", r.Method, r.TransferEncoding, r.Close, r.Proto)
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Fatalf("net/http wants more: %v", err)
		}
		if left := buffer.Buffered() + rest.Len(); left != 0 {
			t.Fatalf("net/http leaves %d octets of %d", left, length)
		}
	})
}
