package keyring

import (
	"bytes"
	"crypto"
	"encoding/binary"
	"errors"
	"fmt"

	"moneyer/internal/jose"
)

// A sealed key is: version (1 octet) · which master key (4 octets of its check
// value) · nonce (12) · AES-256-GCM ciphertext and tag of the private key as PEM.
const (
	sealVersion = 1
	sealMaster  = 4
	sealHeader  = 1 + sealMaster
)

// What a sealed key can be refused for.
var (
	// ErrOtherMaster: the key was sealed under another master key than this one.
	ErrOtherMaster = errors.New("sealed under another master key")
	// ErrAltered: the sealed octets are not those that were made for this issuer
	// and kid.
	ErrAltered = errors.New("the sealed key was altered, or was sealed for another issuer or kid")
)

var errNoMaster = errors.New("a key in the store takes a master key, and none is given")

// seal encrypts a private key for the store, bound to its issuer and kid.
func (m *MasterKey) seal(issuer, kid string, key crypto.Signer) ([]byte, error) {
	if m == nil {
		return nil, errNoMaster
	}
	plain, err := jose.MarshalPrivatePEM(key)
	if err != nil {
		return nil, err
	}
	sealed := append([]byte{sealVersion}, m.check[:sealMaster]...)
	return m.sealer.Seal(sealed, nil, plain, sealContext(sealed, issuer, kid)), nil
}

// sealed makes sure that a sealed key says it was sealed under this master key.
func (m *MasterKey) sealed(sealed []byte) error {
	switch {
	case m == nil:
		return errNoMaster
	case len(sealed) < sealHeader:
		return ErrAltered
	case sealed[0] != sealVersion:
		return fmt.Errorf("sealed in version %d, which is unknown here", sealed[0])
	case !bytes.Equal(sealed[1:sealHeader], m.check[:sealMaster]):
		return ErrOtherMaster
	default:
		return nil
	}
}

// unseal decrypts what seal made for the same issuer and kid.
func (m *MasterKey) unseal(issuer, kid string, sealed []byte) (crypto.Signer, error) {
	if err := m.sealed(sealed); err != nil {
		return nil, err
	}
	plain, err := m.sealer.Open(nil, nil, sealed[sealHeader:], sealContext(sealed[:sealHeader], issuer, kid))
	if err != nil {
		return nil, ErrAltered
	}
	return jose.ParsePrivate(plain)
}

// sealContext is the additional data: header, length of the issuer, issuer, kid.
func sealContext(header []byte, issuer, kid string) []byte {
	context := binary.BigEndian.AppendUint32(bytes.Clone(header), uint32(len(issuer)))
	context = append(context, issuer...)
	return append(context, kid...)
}
