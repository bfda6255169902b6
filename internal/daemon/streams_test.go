package daemon

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"moneyer/internal/config"
)

// frame is a frame of HTTP/2 (RFC 9113 §4.1).
func frame(kind, flags byte, stream uint32, payload ...byte) []byte {
	head := []byte{0, byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return append(binary.BigEndian.AppendUint32(head, stream), payload...)
}

// The types and flags that are used here (RFC 9113 §6).
const (
	headersFrame, settingsFrame = 1, 4
	endStreamAndHeaders, ack    = 5, 1
)

// askWithoutReading sends so many requests on a connection whose flow-control window for the
// answers is 0 (RFC 9113 §6.5.2), and returns how many were refused once each has a header.
func askWithoutReading(t *testing.T, from, to string, requests int) (refused int) {
	t.Helper()
	conn := tls.Client(dial(t, from, to), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	sent := append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(settingsFrame, 0, 0, 0, 4, 0, 0, 0, 0)...)
	sent = append(sent, frame(settingsFrame, ack, 0)...)
	header := append([]byte{0x82, 0x87, 0x84, 0x41, byte(len(to))}, to...) // GET https / :authority (RFC 7541 §6)
	for i := range requests {
		sent = append(sent, frame(headersFrame, endStreamAndHeaders, uint32(2*i+1), header...)...)
	}
	if _, err := conn.Write(sent); err != nil {
		t.Fatal(err)
	}
	for answered := 0; answered < requests; {
		var head [9]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			t.Fatal(err)
		}
		payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
		if _, err := io.ReadFull(conn, payload); err != nil {
			t.Fatal(err)
		}
		if head[3] == headersFrame {
			answered++
			if payload[0] != 0x88 { // :status 200
				refused++
			}
		}
	}
	return refused
}

// TestAnswersThatNobodyReads: who sends requests over HTTP/2 and does not take the answers has the
// server keep no more of them than the share of an address.
func TestAnswersThatNobodyReads(t *testing.T) {
	l, served := listenTLS(t, config.Limits{Connections: 256, AddressConnections: 256, InFlight: 16}, "127.0.0.9/32")
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("a", 512))
	})
	l.handler.Store(&h)
	before, refused := runtime.NumGoroutine(), 0
	const connections, each, share = 4, 50, 16
	for range connections {
		refused += askWithoutReading(t, "127.0.0.7", l.Addr().String(), each)
	}
	if kept := runtime.NumGoroutine() - before; kept > share+8*connections || refused < connections*each-share {
		t.Errorf("%d requests at work and %d refused, of %d whose answers nobody reads", kept, refused, connections*each)
	}
	if refused := askWithoutReading(t, "127.0.0.9", l.Addr().String(), each); refused != 0 {
		t.Errorf("%d requests of a trusted proxy were refused", refused)
	}
	client := clientFrom("127.0.0.8")
	transport := client.Transport.(*http.Transport)
	transport.ForceAttemptHTTP2, transport.TLSClientConfig = true, &tls.Config{InsecureSkipVerify: true}
	for range 100 { // each gives back its place
		resp, err := client.Get("https://" + l.Addr().String())
		if err != nil || resp.ProtoMajor != 2 || resp.StatusCode != http.StatusOK {
			t.Fatalf("another address: %v, %v", resp, err)
		}
		_ = resp.Body.Close()
	}
	if err := l.server.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
