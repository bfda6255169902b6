package tokensource

import (
	"context"
	"crypto"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"moneyer/assertion"
)

const (
	maxCredentialFile = 64 << 10    // bytes
	minReread         = time.Second // between two readings of CredentialFiles
)

// CredentialFiles are files that hold what a Credential is made of, for those who replace it in the
// files while the program runs. It must not be copied.
//
//	files := &tokensource.CredentialFiles{Secret: "/etc/shop/secret"}
//	credential, err := files.Read(tokensource.Credential{ClientID: "shop"})
//	source := &tokensource.Source{Credential: credential, Rotated: files.Rotated}
//
// A certificate and the assertion of somebody else have CertificateFiles and AssertionFile.
type CredentialFiles struct {
	// Secret and APIKey hold text that ParseSecret reads, Key a private key, PEM or JWK. Empty
	// means that the Credential has none from a file.
	Secret, APIKey, Key string
	// Logger logs that files were replaced, or cannot be used; nil means no log.
	Logger *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	mu   sync.Mutex // guards what follows
	read time.Time  // when Rotated last read the files
	last Credential // what was in them; only Secret, APIKey and Key are set
	err  error      // why they could not be used
}

// Read returns a copy of c with the secret, API key and key that the files hold now. An error does
// not quote them.
func (f *CredentialFiles) Read(c Credential) (Credential, error) {
	var err error
	for _, file := range []struct {
		name string
		set  func([]byte) error
	}{
		{f.Secret, func(data []byte) (err error) { c.Secret, err = ParseSecret(data); return err }},
		{f.APIKey, func(data []byte) (err error) { c.APIKey, err = ParseSecret(data); return err }},
		{f.Key, func(data []byte) (err error) { c.Key, err = assertion.ParseKey(data); return err }},
	} {
		if file.name == "" || err != nil {
			continue
		}
		var data []byte
		if data, err = readBounded(file.name, maxCredentialFile); err == nil {
			if err = file.set(data); err != nil {
				err = fmt.Errorf("%s: %w", file.name, err)
			}
		}
	}
	return c, err
}

// Rotated is for Source.Rotated: it reports whether the files hold another secret, API key or key
// than the refused credential has. They are read at most once a second. Files that cannot be used
// change nothing; the log says why.
func (f *CredentialFiles) Rotated(_ context.Context, refused Credential) (Credential, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if since := now.Sub(f.read); since < 0 || since >= minReread { // a clock that was set back does not keep it from reading
		before := f.err
		f.last, f.err = f.Read(Credential{})
		f.read = now
		if f.err != nil && f.Logger != nil && (before == nil || before.Error() != f.err.Error()) {
			f.Logger.Warn("the platform refused the credential, and the files that it is from cannot be used now; the old one stays", "error", f.err)
		}
	}
	if f.err != nil {
		return refused, false
	}
	current := refused
	if f.Secret != "" {
		current.Secret = f.last.Secret
	}
	if f.APIKey != "" {
		current.APIKey = f.last.APIKey
	}
	if f.Key != "" {
		current.Key = f.last.Key
	}
	if current.Secret == refused.Secret && current.APIKey == refused.APIKey && sameKey(current.Key, refused.Key) {
		return refused, false
	}
	return current, true
}

func (f *CredentialFiles) now() time.Time {
	if f.Now == nil {
		return time.Now() //nolint:forbidigo // what a nil Now stands for
	}
	return f.Now()
}

// sameKey reports whether two private keys have the same public key.
func sameKey(a, b crypto.Signer) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	public, ok := a.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(b.Public())
}

// readBounded reads a file of at most limit bytes.
func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is longer than %d bytes", name, limit)
	}
	return data, err
}
