// Package tls13 is the client's side of TLS 1.3 (RFC 8446) for a load generator: a new connection
// costs it half of what crypto/tls takes, so that one core can keep a server's core busy with handshakes.
//
// To the server its connections look like those of Go's own client with TLS 1.3: the same key shares
// (X25519MLKEM768 first, then X25519) and signature algorithms, a full or a resumed handshake, a
// certificate where the server asks for one. It offers one suite, TLS_AES_128_GCM_SHA256, which Go's
// server prefers, so that all servers have the same work. It saves work where the server cannot see it:
//
//   - The key shares of a [Client] are made once and sent in every handshake. crypto/tls makes new ones.
//   - The server's certificate is compared with the one that is expected, byte by byte. The signature of
//     the handshake is verified in one of [Sample] handshakes; the MAC that ends a handshake always is.
//   - The end of a handshake is sent together with the first request.
//
// It is therefore not for anything but measuring. It knows P-256 certificates only, and has no HelloRetryRequest (RFC 8446 section 4.1.4), no key updates (4.6.3), no early
// data (2.3) and no other version: a server that wants one of them is an error.
package tls13

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
)

// Sample is how many handshakes there are for each whose signature is verified.
const Sample = 32

// A Config says how a [Client] connects.
type Config struct {
	// Server is the certificate that the server must show.
	Server *x509.Certificate
	// Identity is the client's certificate with its P-256 key, or nil. A server that asks for none
	// is then an error.
	Identity *tls.Certificate
	// Classic leaves X25519MLKEM768 out.
	Classic bool
}

// A Client opens connections. It is safe for concurrent use.
type Client struct {
	config Config
	public *ecdsa.PublicKey  // the server's
	key    *ecdsa.PrivateKey // the client's, or nil

	x25519 *ecdh.PrivateKey
	kem    *mlkem.DecapsulationKey768 // nil with Classic
	shares []byte                     // the extension key_share
	count  atomic.Int64
}

// NewClient returns a client with new key shares.
func NewClient(config Config) (*Client, error) {
	c := &Client{config: config}
	if config.Server == nil {
		return nil, errors.New("the server's certificate is missing")
	}
	var ok bool
	if c.public, ok = config.Server.PublicKey.(*ecdsa.PublicKey); !ok {
		return nil, fmt.Errorf("the server's key is of type %T, and only P-256 is supported", config.Server.PublicKey)
	}
	if config.Identity != nil {
		if c.key, ok = config.Identity.PrivateKey.(*ecdsa.PrivateKey); !ok {
			return nil, fmt.Errorf("the client's key is of type %T, and only P-256 is supported", config.Identity.PrivateKey)
		}
	}
	var err error
	if c.x25519, err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
		return nil, err
	}
	if !config.Classic {
		if c.kem, err = mlkem.GenerateKey768(); err != nil {
			return nil, err
		}
	}
	c.shares = c.keyShares()
	return c, nil
}

// keyShares returns the extension key_share (RFC 8446 section 4.2.8). The share of the hybrid is the
// ML-KEM key and then the one of X25519, which is the same as in the share without ML-KEM, as Go's
// client does it.
func (c *Client) keyShares() []byte {
	public := c.x25519.PublicKey().Bytes()
	return extension(nil, extKeyShare, func(b []byte) []byte {
		return vector(b, 2, func(b []byte) []byte {
			if c.kem != nil {
				b = uint16s(b, uint16(tls.X25519MLKEM768))
				b = vector(b, 2, func(b []byte) []byte { return append(append(b, c.kem.EncapsulationKey().Bytes()...), public...) })
			}
			b = uint16s(b, uint16(tls.X25519))
			return vector(b, 2, func(b []byte) []byte { return append(b, public...) })
		})
	})
}

// secret returns the secret that both sides share, from the server's share.
func (c *Client) secret(group tls.CurveID, share []byte) ([]byte, error) {
	const ciphertext = mlkem.CiphertextSize768
	var shared []byte
	switch {
	case group == tls.X25519:
	case group == tls.X25519MLKEM768 && c.kem != nil && len(share) > ciphertext:
		var err error
		if shared, err = c.kem.Decapsulate(share[:ciphertext]); err != nil {
			return nil, err
		}
		share = share[ciphertext:]
	default:
		return nil, fmt.Errorf("the server chose the group %v, for which it got no share", group)
	}
	public, err := ecdh.X25519().NewPublicKey(share)
	if err != nil {
		return nil, err
	}
	classic, err := c.x25519.ECDH(public)
	return append(shared, classic...), err
}
