package load

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"moneyer/bench/subject"
	"moneyer/bench/tls13"
)

// An Endpoint is the target of requests.
type Endpoint struct {
	// Address to connect to, host:port.
	Address string
	head    []byte
	// tls makes the handshakes, nil for plain HTTP on connections that are kept.
	tls     *tls13.Client
	resumed bool // by a ticket
}

// NewEndpoint prepares POST requests with a header to a URL, of http if connect is nil and else of
// https.
func NewEndpoint(endpoint string, header http.Header, connect *subject.TLS) (*Endpoint, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	scheme, port := "http", ":80"
	if connect != nil {
		scheme, port = "https", ":443"
	}
	if u.Scheme != scheme || u.Host == "" {
		return nil, fmt.Errorf("%s: not a URL of %s", endpoint, scheme)
	}
	address := u.Host
	if u.Port() == "" {
		address += port
	}
	var head bytes.Buffer
	fmt.Fprintf(&head, "POST %s HTTP/1.1\r\nHost: %s\r\n", u.RequestURI(), u.Host)
	if err := header.Write(&head); err != nil {
		return nil, err
	}
	head.WriteString("Content-Length: ")
	e := &Endpoint{Address: address, head: head.Bytes()}
	if connect == nil {
		return e, nil
	}
	e.resumed = connect.Connection == subject.TLSResumed
	e.tls, err = tls13.NewClient(tls13.Config{Server: connect.Server, Identity: connect.Identity, Classic: connect.Connection == subject.TLSClassic})
	return e, err
}

// Request returns the complete request with that body.
func (e *Endpoint) Request(body []byte) []byte {
	request := make([]byte, 0, len(e.head)+len(body)+16)
	request = append(request, e.head...)
	request = strconv.AppendInt(request, int64(len(body)), 10)
	request = append(request, "\r\n\r\n"...)
	return append(request, body...)
}
