package keyring

import (
	"bytes"
	"crypto"
	"encoding/binary"
	"errors"
	"fmt"

	"moneyer/internal/jose"
)

// A sealed key is: version (1 byte), prefix of the master key's check value (4 bytes), nonce
// (12 bytes), AES-256-GCM ciphertext and tag of the private key in PEM.
const (
	sealVersion = 1
	sealMaster  = 4
	sealHeader  = 1 + sealMaster
)

// Errors of opening a sealed key.
var (
	// ErrOtherMaster: the key was sealed under a different master key.
	ErrOtherMaster = errors.New("sealed under another master key")
	// ErrAltered: the sealed bytes were modified, or were sealed for another issuer or kid.
	ErrAltered = errors.New("the sealed key was altered, or was sealed for another issuer or kid")
)

var errNoMaster = errors.New("a key in the store needs a master key, and none is configured")

// seal encrypts a private key for storage, bound to its issuer and kid.
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

// checkSealed checks that the header of a sealed key names this master key.
func (m *MasterKey) checkSealed(sealed []byte) error {
	switch {
	case m == nil:
		return errNoMaster
	case len(sealed) < sealHeader:
		return ErrAltered
	case sealed[0] != sealVersion:
		return fmt.Errorf("sealed with version %d, which this release does not know", sealed[0])
	case !bytes.Equal(sealed[1:sealHeader], m.check[:sealMaster]):
		return ErrOtherMaster
	default:
		return nil
	}
}

// unseal decrypts the output of seal for the same issuer and kid.
func (m *MasterKey) unseal(issuer, kid string, sealed []byte) (crypto.Signer, error) {
	if err := m.checkSealed(sealed); err != nil {
		return nil, err
	}
	plain, err := m.sealer.Open(nil, nil, sealed[sealHeader:], sealContext(sealed[:sealHeader], issuer, kid))
	if err != nil {
		return nil, ErrAltered
	}
	return jose.ParsePrivate(plain)
}

// sealContext returns the additional data: header, length of the issuer, issuer, kid.
func sealContext(header []byte, issuer, kid string) []byte {
	context := binary.BigEndian.AppendUint32(bytes.Clone(header), uint32(len(issuer)))
	context = append(context, issuer...)
	return append(context, kid...)
}
