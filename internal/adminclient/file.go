package adminclient

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"moneyer/assertion"
	"moneyer/internal/jose"
	"moneyer/internal/secrettext"
)

// DefaultFile is the default name of an admin file.
const DefaultFile = "moneyer-admin.json"

// File is an admin file: the address of an admin API and the key of an administrator.
// `moneyer init` writes the first one.
type File struct {
	// URL of the admin listener.
	URL string `json:"url"`
	// Issuer of the access tokens that the admin API accepts.
	Issuer   string `json:"issuer"`
	ClientID string `json:"client_id"`
	Kid      string `json:"kid"`
	// PrivateKey as PEM.
	PrivateKey string `json:"private_key"`
	// TLSCA is a file with the authorities to trust instead of the system's, for a
	// listener whose certificate is by a private one. TLSCert and TLSKey are the
	// client certificate, for a listener with a client_ca. All are PEM files, with
	// paths relative to the folder of the admin file.
	TLSCA   string `json:"tls_ca,omitempty"`
	TLSCert string `json:"tls_cert,omitempty"`
	TLSKey  string `json:"tls_key,omitempty"`
}

// NewKey sets a new private key and returns the public key.
func (f *File) NewKey() (*jose.PublicKey, error) {
	signer, err := assertion.GenerateKey("")
	if err != nil {
		return nil, err
	}
	pem, err := assertion.MarshalKey(signer)
	if err != nil {
		return nil, err
	}
	public, err := jose.NewPublicKey(signer.Public(), jose.ES256)
	if err != nil {
		return nil, err
	}
	f.Kid, f.PrivateKey = public.Thumbprint(), string(pem)
	return public, nil
}

// maxFile bounds an admin file, in bytes.
const maxFile = 64 << 10

// ReadFile reads an admin file. Only its owner may write it, and only its owner and its group may
// read it.
func ReadFile(path string) (File, error) {
	var file File
	f, err := os.Open(path)
	if err != nil {
		return file, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return file, err
	}
	if mode := info.Mode().Perm(); mode&0o037 != 0 {
		return file, fmt.Errorf("%s holds a private key and is open to others than its owner (mode %04o); run: chmod 600 %[1]s", path, mode)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err == nil {
		err = secrettext.CheckEncoding(data)
	}
	if err != nil {
		return file, fmt.Errorf("%s is no admin file: %w", path, err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		return file, fmt.Errorf("%s is no admin file: %w", path, err)
	}
	if file.URL == "" || file.Issuer == "" || file.ClientID == "" || file.PrivateKey == "" {
		return file, fmt.Errorf("%s is not an admin file: it needs url, issuer, client_id, kid and private_key", path)
	}
	return file, nil
}

// Write creates a new file that only its owner can read.
func (f File) Write(path string) error {
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(append(text, '\n'))
	return errors.Join(err, out.Close())
}

// beside is the path of a file that the admin file at path names.
func beside(path, name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(path), name)
}

// Successor returns the content of an admin file at path for another administrator,
// with a new key, and its public key.
func (c *Client) Successor(clientID, path string) (File, *jose.PublicKey, error) {
	file := File{URL: c.File.URL, Issuer: c.File.Issuer, ClientID: clientID}
	public, err := file.NewKey()
	if err != nil {
		return file, nil, err
	}
	if file.TLSCA = c.File.TLSCA; file.TLSCA != "" && filepath.Dir(path) != filepath.Dir(c.path) {
		file.TLSCA, err = filepath.Abs(beside(c.path, c.File.TLSCA))
	}
	return file, public, err
}
