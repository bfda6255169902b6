package ceiling

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"time"

	"crypto"

	"moneyer/bench/subject"
)

// A Model is what Moneyer is asked, so that the references are asked the same.
type Model struct {
	// Client is the key that assertions verify with.
	Client crypto.PublicKey
	// Grant makes the bodies of a jwt-bearer request, Credentials those of
	// client_credentials, RS256 those of that with RS256.
	Grant, Credentials, RS256 func(int) ([]byte, error)
}

// References describes the reference servers, which are this very program under
// the command "reference".
func References(m Model) ([]subject.Server, error) {
	der, err := x509.MarshalPKIXPublicKey(m.Client)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var servers []subject.Server
	for _, work := range Works() {
		servers = append(servers, subject.Server{
			Name:    string(work),
			Keeps:   "nothing",
			Install: func(context.Context, io.Writer) (string, error) { return runtime.Version(), nil },
			Configure: func(ctx context.Context, _, address string) (*subject.Setup, error) {
				return &subject.Setup{
					Server: subject.Program{
						Command: exec.CommandContext(context.WithoutCancel(ctx), self, "reference", string(work), address, base64.RawURLEncoding.EncodeToString(der)),
						Ready:   ready("http://" + address + "/jwks.json"),
					},
					Exchanges: []subject.Exchange{m.exchange(work, "http://"+address)},
				}, nil
			},
		})
	}
	return servers, nil
}

// exchange asks a reference what Moneyer is asked that it stands beside.
func (m *Model) exchange(work Work, base string) subject.Exchange {
	e := subject.Exchange{Kind: subject.Kind(work), URL: base + "/token", Keys: base + "/jwks.json",
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}}
	switch work {
	case VerifySign:
		e.Alg, e.Body = "ES256", m.Grant
	case Sign:
		e.Alg, e.Body = "ES256", m.Credentials
	case SignRSA:
		e.Alg, e.Body = "RS256", m.RS256
	default: // no token of their own: the answer is always the same
		e.Body = m.Credentials
	}
	return e
}

func ready(url string) func(context.Context) error {
	client := &http.Client{Timeout: time.Second}
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK {
			err = errors.New(response.Status)
		}
		return errors.Join(err, response.Body.Close())
	}
}

// Raw is the command of a server that reads requests of one size and answers each
// with the same octets: what the load generator can ask for at the most.
func Raw(ctx context.Context, address string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("this program's own file: %w", err)
	}
	return exec.CommandContext(context.WithoutCancel(ctx), self, "raw", address), nil
}
