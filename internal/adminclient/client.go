// Package adminclient calls the admin API of a running server, with the types of package
// adminapi. The commands and an administrator's programs use it.
//
//   - Open reads the File of an administrator and makes a Client.
//   - Client.At returns an issuer by its name; its methods are the operations there.
//
// It gets its access tokens with package tokensource and the administrator's key. It
// has no rules: a *RefusedError is the refusal of the server, and an
// *UnavailableError a failure of the server or the network.
package adminclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"moneyer/assertion"
	"moneyer/internal/adminapi"
	"moneyer/internal/tlsfiles"
	"moneyer/oauth"
	"moneyer/tokensource"
)

// Client calls the admin API. It is safe for concurrent use.
type Client struct {
	// File names the API and the administrator.
	File File

	path string // of the file
	http *http.Client
}

// Open returns a client for the admin file at path. A missing file is fs.ErrNotExist. The
// authorities in the file ca, if it is not "", replace those that the admin file names.
func Open(path, ca string, now func() time.Time) (*Client, error) {
	file, err := ReadFile(path)
	if err != nil {
		return nil, err
	}
	if ca != "" {
		if file.TLSCA, err = filepath.Abs(ca); err != nil { // others are relative to the admin file
			return nil, err
		}
	}
	key, err := assertion.ParseKey([]byte(file.PrivateKey))
	if err != nil {
		return nil, fmt.Errorf("%s: private_key: %s", path, plain(err))
	}
	base, err := tlsfiles.Transport(beside(path, file.TLSCA), beside(path, file.TLSCert), beside(path, file.TLSKey))
	if err != nil {
		return nil, errors.New(path + ": tls_ca, tls_cert, tls_key: " + err.Error()) // not fs.ErrNotExist, which is for the file itself
	}
	source := &tokensource.Source{Issuer: file.Issuer, Now: now, HTTPClient: &http.Client{Transport: base},
		Credential: tokensource.Credential{ClientID: file.ClientID, Key: key, Kid: file.Kid, Grant: oauth.JWTBearer}}
	return New(path, file, &http.Client{Transport: &tokensource.Transport{Source: source, Base: base}}), nil
}

// New returns a client that sends its requests with c, which adds the access tokens.
func New(path string, file File, c *http.Client) *Client {
	return &Client{File: file, path: path, http: c}
}

// url joins segments, each escaped, below the API's prefix.
func (c *Client) url(segments ...string) string {
	text := strings.TrimSuffix(c.File.URL, "/") + adminapi.Prefix
	for _, segment := range segments {
		escaped := url.PathEscape(segment)
		if strings.Trim(segment, ".") == "" { // the server would clean the path
			escaped = strings.ReplaceAll(segment, ".", "%2E")
		}
		text += "/" + escaped
	}
	return text
}

// send sends a request and returns the response if it is a success.
func (c *Client) send(ctx context.Context, method, url, mediaType string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", mediaType)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreached(err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		defer func() { _ = resp.Body.Close() }()
		return nil, c.refusal(resp)
	}
	return resp, nil
}

// call sends a request with the body in as JSON, unless that is nil, and returns the
// decoded response.
func call[T any](ctx context.Context, c *Client, method, url string, in any) (out T, err error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return out, err
		}
		body = bytes.NewReader(data)
	}
	resp, err := c.send(ctx, method, url, "application/json", body)
	if err != nil {
		return out, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusNoContent {
		return out, nil
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return out, &UnavailableError{fmt.Errorf("the answer of %s: %w", c.File.URL, err)}
	}
	return out, nil
}

func get[T any](ctx context.Context, c *Client, url string) (T, error) {
	return call[T](ctx, c, http.MethodGet, url, nil)
}

func remove(ctx context.Context, c *Client, url string) error {
	_, err := call[struct{}](ctx, c, http.MethodDelete, url, nil)
	return err
}

// pageSize is the longest page that the API gives.
const pageSize = "1000"

// list reads all pages of a list.
func list[T any](ctx context.Context, c *Client, path string) ([]T, error) {
	all := []T{}
	query := url.Values{"limit": {pageSize}}
	for {
		page, err := get[adminapi.Page[T]](ctx, c, path+"?"+query.Encode())
		if err != nil {
			return nil, err
		}
		if all = append(all, page.Items...); page.Next == "" {
			return all, nil
		}
		query.Set("after", page.Next)
	}
}

// ids reads the IDs of the first page of a list.
func ids(ctx context.Context, c *Client, path string) ([]string, error) {
	page, err := get[adminapi.Page[struct {
		ID string `json:"id"`
	}]](ctx, c, path+"?limit="+pageSize)
	var ids []string
	for _, item := range page.Items {
		ids = append(ids, item.ID)
	}
	return ids, err
}

// Issuers lists the issuers, the admin API's own among them.
func (c *Client) Issuers(ctx context.Context) ([]adminapi.Issuer, error) {
	return list[adminapi.Issuer](ctx, c, c.url("issuers"))
}

// Backup writes a copy of the whole store to w.
func (c *Client) Backup(ctx context.Context, w io.Writer) (size int64, err error) {
	resp, err := c.send(ctx, http.MethodGet, c.url("backup"), "", nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	size, err = io.Copy(w, resp.Body)
	if err == nil && size != resp.ContentLength {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return 0, &UnavailableError{fmt.Errorf("the copy ends early: %w", err)}
	}
	return size, nil
}
