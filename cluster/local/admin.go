package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"moneyer/assertion"
	"moneyer/oauth"
	"moneyer/tokensource"
)

// An Admin calls the admin API. It is safe for concurrent use.
type Admin struct {
	base string
	http *http.Client
}

// Admin returns an Admin that calls the API through the proxy, or of one replica if that is not
// nil.
func (s *Cluster) Admin(through *Replica) (*Admin, error) {
	text, err := os.ReadFile(s.AdminFile())
	if err != nil {
		return nil, err
	}
	var file struct {
		Issuer     string `json:"issuer"`
		ClientID   string `json:"client_id"`
		Kid        string `json:"kid"`
		PrivateKey string `json:"private_key"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	key, err := assertion.ParseKey([]byte(file.PrivateKey))
	if err != nil {
		return nil, err
	}
	address := s.proxy.admin
	if through != nil {
		address = through.Admin
	}
	base := "http://" + address
	source := &tokensource.Source{Issuer: file.Issuer, TokenURL: base + "/oauth2/token",
		Credential: tokensource.Credential{ClientID: file.ClientID, Key: key, Kid: file.Kid, Grant: oauth.JWTBearer}}
	return &Admin{base: base + "/admin/v1", http: &http.Client{Transport: &tokensource.Transport{Source: source}}}, nil
}

// A Refusal is an error response of the admin API.
type Refusal struct {
	Status int
	Text   string
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("the admin API responded %d: %s", r.Status, r.Text)
}

// Call sends a request with in as JSON body, and decodes the response into out. Either may be nil.
func (a *Admin) Call(ctx context.Context, method, path string, in, out any) (err error) {
	var body []byte
	if in != nil {
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	return a.send(ctx, method, path, body, func(answer io.Reader) error {
		if out == nil {
			return nil
		}
		return json.NewDecoder(answer).Decode(out)
	})
}

func (a *Admin) send(ctx context.Context, method, path string, body []byte, read func(io.Reader) error) (err error) {
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // the status is enough
		return &Refusal{resp.StatusCode, string(text)}
	}
	return read(resp.Body)
}

// An Entry is the ledger entry of a token.
type Entry struct {
	JTI         string `json:"jti"`
	Correlation string `json:"correlation"`
	Client      string `json:"client"`
}

// Tokens visits the ledger entries of the issuer's tokens since then.
func (a *Admin) Tokens(ctx context.Context, since time.Time, visit func(Entry)) error {
	query := url.Values{"kind": {"token"}, "issuer": {Issuer}, "since": {since.UTC().Format(time.RFC3339)}}
	return a.send(ctx, http.MethodGet, "/ledger?"+query.Encode(), nil, func(answer io.Reader) error {
		lines := json.NewDecoder(answer)
		for {
			var line struct {
				Entry *Entry `json:"entry"`
				Error string `json:"error"`
			}
			err := lines.Decode(&line)
			switch {
			case errors.Is(err, io.EOF):
				return nil
			case err != nil:
				return err
			case line.Entry == nil:
				return fmt.Errorf("the ledger ends early: %s", line.Error)
			}
			visit(*line.Entry)
		}
	})
}
