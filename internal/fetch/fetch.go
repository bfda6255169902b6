// Package fetch sends one HTTP request to a URL that a configuration, an issuer
// or a client names, and reads the answer. It decides in one place what holds for
// all of them: the URL is https, or http on a loopback host; no redirect is
// followed; the answer has a bounded size and the exchange a bounded time.
//
// It does not try again, does not cache, and does not decide which addresses a
// host name may resolve to: that is for the Transport of the client, as in
// package jwksuri.
//
// RFC 6749 §3.2, RFC 9110 §15.4.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// ErrTooLarge says that an answer has more bytes than the limit.
var ErrTooLarge = errors.New("the answer is too large")

// Limits bounds one exchange. Both fields must be positive.
type Limits struct {
	Bytes int64         // of the body of the answer
	Time  time.Duration // until the body is read
}

// Answer is what a server answered, with all of its body.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Secure reports whether what is sent to u, and what comes from there, is
// protected: u is https, or http on a loopback host. It has no user: a password in a
// URL stands in logs and command lines, and what looks like the host may be a user.
func Secure(u *url.URL) bool {
	return u.Host != "" && u.User == nil && (u.Scheme == "https" || u.Scheme == "http" && Loopback(u.Hostname()))
}

// Loopback reports whether a host without port is localhost or a loopback
// address. It resolves no names.
func Loopback(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback()
	}
	return strings.EqualFold(host, "localhost")
}

// Do sends req with client, which may be nil, and reads the answer, whatever its
// status. It does not follow a redirect, even where client would.
func Do(client *http.Client, req *http.Request, limits Limits) (*Answer, error) {
	if !Secure(req.URL) {
		return nil, fmt.Errorf("%q must be an https URL without user; http is for loopback hosts only", req.URL.Redacted())
	}
	ctx, cancel := context.WithTimeout(req.Context(), limits.Time)
	defer cancel()
	resp, err := withoutRedirects(client).Do(req.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // read in full, or given up
	body, err := io.ReadAll(io.LimitReader(resp.Body, limits.Bytes+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limits.Bytes {
		return nil, fmt.Errorf("%s answered with more than %d KiB: %w", req.URL.Redacted(), limits.Bytes>>10, ErrTooLarge)
	}
	return &Answer{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
}

// Get fetches the document at a URL. The header may be nil. The status of the
// answer is 200, or 304 when the header has If-None-Match; any other is an error.
func Get(ctx context.Context, client *http.Client, location string, header http.Header, limits Limits) (*Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, location, nil)
	if err != nil {
		return nil, err
	}
	if header != nil {
		req.Header = header
	}
	return Document(client, req, limits)
}

// Document is Do for a request for a document: the status of the answer is 200, or 304
// when the request has If-None-Match; any other is an error.
func Document(client *http.Client, req *http.Request, limits Limits) (*Answer, error) {
	answer, err := Do(client, req, limits)
	switch {
	case err != nil:
		return nil, err
	case answer.Status == http.StatusOK, answer.Status == http.StatusNotModified && req.Header.Get("If-None-Match") != "":
		return answer, nil
	case answer.Status >= 300 && answer.Status < 400:
		return nil, fmt.Errorf("%s answered %d, a redirect, which is not followed", req.URL.Redacted(), answer.Status)
	default:
		return nil, fmt.Errorf("%s answered %d", req.URL.Redacted(), answer.Status)
	}
}

// withoutRedirects is a copy of client that returns a redirect as its answer.
func withoutRedirects(client *http.Client) *http.Client {
	var c http.Client
	if client != nil {
		c = *client
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}
