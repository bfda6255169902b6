// Package discovery fetches the metadata of an authorization server (RFC 8414): where its
// endpoints are.
//
// The document is believed only if it names the very issuer that was asked for (RFC 8414 §3.3):
// otherwise somebody else's endpoints would get the client's credentials. It does not cache, does
// not fetch the keys, and reads no other member than those of type Metadata.
//
// RFC 8414 (§2, §3, §5), RFC 8705 §5.
package discovery

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"moneyer/internal/fetch"
	"moneyer/internal/strictjson"
)

const (
	maxBytes   = 256 << 10
	maxMembers = 256
	timeLimit  = 10 * time.Second // of each request

	metadataPath = "/.well-known/oauth-authorization-server" // RFC 8414 §3
	openIDPath   = "/.well-known/openid-configuration"       // RFC 8414 §5
)

// Metadata is what a document says, verbatim: an absent member is empty.
type Metadata struct {
	Issuer        string
	TokenEndpoint string
	// TokenEndpointMTLS is the token_endpoint of mtls_endpoint_aliases (RFC 8705 §5).
	TokenEndpointMTLS string
	JWKSURI           string
}

// Get fetches the metadata of an issuer with client, which may be nil: from the well-known path
// between host and path of the issuer URL (RFC 8414 §3.1), or else from behind the path, as older
// servers and those of OpenID have it (§5). The next place is asked only where the last answered
// with a status of 4xx other than 429.
func Get(ctx context.Context, client *http.Client, issuer string) (*Metadata, error) {
	places, err := places(issuer)
	if err != nil {
		return nil, err
	}
	for _, place := range places {
		var answer *fetch.Answer
		if answer, err = get(ctx, client, place); err != nil {
			return nil, fmt.Errorf("metadata of %s: %w", issuer, err)
		}
		switch status := answer.Status; {
		case status == http.StatusOK:
			return read(answer, issuer)
		case status < 400 || status >= 500 || status == http.StatusTooManyRequests:
			return nil, fmt.Errorf("metadata of %s: %s answered %d", issuer, place, status)
		}
		err = fmt.Errorf("metadata of %s: %s answered %d", issuer, place, answer.Status)
	}
	return nil, err
}

// places lists the URLs at which the metadata of an issuer may be.
func places(issuer string) ([]string, error) {
	u, err := url.Parse(issuer)
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	if u.Host == "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil, fmt.Errorf("issuer %q must be a URL without query and fragment", u.Redacted())
	}
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	u.Path, u.RawPath = "", ""
	var urls []string
	for _, p := range []string{metadataPath + path, path + metadataPath, path + openIDPath} {
		urls = append(urls, u.String()+p)
	}
	return slices.Compact(urls), nil // the first two are the same without a path
}

func get(ctx context.Context, client *http.Client, place string) (*fetch.Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, place, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	return fetch.Do(client, req, fetch.Limits{Bytes: maxBytes, Time: timeLimit})
}

// read reads a document and compares the issuer, character for character.
func read(answer *fetch.Answer, issuer string) (*Metadata, error) {
	m := new(Metadata)
	err := strictjson.Object(answer.Body, strictjson.Limits{Members: maxMembers}, func(name string, v strictjson.Value) (err error) {
		switch name {
		case "issuer":
			m.Issuer, err = v.Text()
		case "token_endpoint":
			m.TokenEndpoint, err = v.Text()
		case "jwks_uri":
			m.JWKSURI, err = v.Text()
		case "mtls_endpoint_aliases":
			err = v.Members(func(name string, v strictjson.Value) (err error) {
				if name == "token_endpoint" {
					m.TokenEndpointMTLS, err = v.Text()
				}
				return err
			})
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("metadata of %s: %w", issuer, err)
	}
	if m.Issuer != issuer {
		return nil, fmt.Errorf("the metadata of %s name the issuer %.200q", issuer, m.Issuer)
	}
	return m, nil
}
