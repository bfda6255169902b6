package bearer

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// document is what an issuer publishes at a URL.
type document struct {
	body   []byte
	header http.Header
	// unchanged tells that the issuer answered 304 to the ETag.
	unchanged bool
}

// fetch gets a document of at most limit octets, over https or from a loopback
// host, without following a redirect: it comes from where it was said to be.
// client may be nil; etag may be empty.
func fetch(ctx context.Context, client *http.Client, location, accept, etag string, limit int64) (*document, error) {
	u, err := url.Parse(location)
	if err != nil {
		return nil, fmt.Errorf("bearer: %w", err)
	}
	if u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return nil, fmt.Errorf("bearer: %q must be an https URL; http is for loopback hosts only", u.Redacted())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, location, nil)
	if err != nil {
		return nil, fmt.Errorf("bearer: %w", err)
	}
	req.Header.Set("Accept", accept)
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	resp, err := withoutRedirects(client).Do(req)
	if err != nil {
		return nil, fmt.Errorf("bearer: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // read in full, or given up
	if resp.StatusCode == http.StatusNotModified && etag != "" {
		return &document{header: resp.Header, unchanged: true}, nil
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("bearer: %s answered %d", u.Redacted(), resp.StatusCode)
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind == "text/html" {
		return nil, fmt.Errorf("bearer: %s answered with a web page", u.Redacted())
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("bearer: %w", err)
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("bearer: %s answered with more than %d KiB", u.Redacted(), limit>>10)
	}
	return &document{body: body, header: resp.Header}, nil
}

func withoutRedirects(from *http.Client) *http.Client {
	var client http.Client
	if from != nil {
		client = *from
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client
}

func loopback(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback()
	}
	return strings.EqualFold(host, "localhost")
}
