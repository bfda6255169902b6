package load

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// An Endpoint is the target of requests.
type Endpoint struct {
	// Address to connect to, host:port.
	Address string
	head    []byte
}

// NewEndpoint prepares POST requests to an http URL with a header.
func NewEndpoint(endpoint string, header http.Header) (*Endpoint, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("%s: only plain http is supported", endpoint)
	}
	address := u.Host
	if u.Port() == "" {
		address += ":80"
	}
	var head bytes.Buffer
	fmt.Fprintf(&head, "POST %s HTTP/1.1\r\nHost: %s\r\n", u.RequestURI(), u.Host)
	if err := header.Write(&head); err != nil {
		return nil, err
	}
	head.WriteString("Content-Length: ")
	return &Endpoint{Address: address, head: head.Bytes()}, nil
}

// Request returns the complete request with that body.
func (e *Endpoint) Request(body []byte) []byte {
	request := make([]byte, 0, len(e.head)+len(body)+16)
	request = append(request, e.head...)
	request = strconv.AppendInt(request, int64(len(body)), 10)
	request = append(request, "\r\n\r\n"...)
	return append(request, body...)
}
