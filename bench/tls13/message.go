package tls13

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// The types of handshake messages (RFC 8446 section 4), extensions (4.2) and records (5.1).
const (
	msgClientHello         = 1
	msgServerHello         = 2
	msgNewSessionTicket    = 4
	msgEncryptedExtensions = 8
	msgCertificate         = 11
	msgCertificateRequest  = 13
	msgCertificateVerify   = 15
	msgFinished            = 20

	extSupportedGroups     = 10
	extSignatureAlgorithms = 13
	extALPN                = 16
	extPreSharedKey        = 41
	extSupportedVersions   = 43
	extPSKModes            = 45
	extKeyShare            = 51

	recordChangeCipherSpec = 20
	recordAlert            = 21
	recordHandshake        = 22
	recordData             = 23

	// headerBytes is the length of a record's header.
	headerBytes = 5
)

// vector appends what fill appends, after its length in that many bytes.
func vector(b []byte, lengthBytes int, fill func([]byte) []byte) []byte {
	begin := len(b)
	for range lengthBytes {
		b = append(b, 0)
	}
	b = fill(b)
	length := len(b) - begin - lengthBytes
	for i := range lengthBytes {
		b[begin+i] = byte(length >> (8 * (lengthBytes - 1 - i)))
	}
	return b
}

func uint16s(b []byte, numbers ...uint16) []byte {
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint16(b, n)
	}
	return b
}

func extension(b []byte, id uint16, fill func([]byte) []byte) []byte {
	return vector(uint16s(b, id), 2, fill)
}

// message appends a handshake message.
func message(b []byte, kind byte, fill func([]byte) []byte) []byte {
	return vector(append(b, kind), 3, fill)
}

// hello returns the ClientHello (RFC 8446 section 4.1.2), with a ticket if there is one.
func (c *Client) hello(ticket *Ticket, early []byte) ([]byte, error) {
	var random [64]byte
	rand.Read(random[:]) // never fails
	b := message(make([]byte, 0, 2048), msgClientHello, func(b []byte) []byte {
		b = append(append(b, 3, 3), random[:32]...)
		b = vector(b, 1, func(b []byte) []byte { return append(b, random[32:]...) }) // session id, for middleboxes
		b = uint16s(b, 2, tls.TLS_AES_128_GCM_SHA256)
		b = append(b, 1, 0) // no compression
		return vector(b, 2, func(b []byte) []byte { return c.extensions(b, ticket) })
	})
	if ticket == nil {
		return b, nil
	}
	// The binder is a MAC over the message up to itself (RFC 8446 section 4.2.11.2).
	const bindersBytes = 2 + 1 + secretBytes
	empty, cut := sha256.Sum256(nil), sha256.Sum256(b[:len(b)-bindersBytes])
	binder, err := expand(early, "res binder", empty[:], secretBytes)
	if err != nil {
		return nil, err
	}
	mac, err := finishedMAC(binder, cut[:])
	copy(b[len(b)-secretBytes:], mac)
	return b, err
}

func (c *Client) extensions(b []byte, ticket *Ticket) []byte {
	b = extension(b, extSupportedGroups, func(b []byte) []byte {
		return vector(b, 2, func(b []byte) []byte {
			if !c.config.Classic {
				b = uint16s(b, uint16(tls.X25519MLKEM768))
			}
			return uint16s(b, uint16(tls.X25519), uint16(tls.CurveP256), uint16(tls.CurveP384), uint16(tls.CurveP521))
		})
	})
	b = extension(b, extSignatureAlgorithms, func(b []byte) []byte {
		return vector(b, 2, func(b []byte) []byte {
			return uint16s(b, uint16(tls.PSSWithSHA256), uint16(tls.ECDSAWithP256AndSHA256), uint16(tls.Ed25519), uint16(tls.PSSWithSHA384),
				uint16(tls.PSSWithSHA512), uint16(tls.ECDSAWithP384AndSHA384), uint16(tls.ECDSAWithP521AndSHA512))
		})
	})
	b = extension(b, extALPN, func(b []byte) []byte {
		return vector(b, 2, func(b []byte) []byte {
			return vector(b, 1, func(b []byte) []byte { return append(b, "http/1.1"...) })
		})
	})
	b = extension(b, extSupportedVersions, func(b []byte) []byte { return append(b, 2, 3, 4) })
	b = extension(b, extPSKModes, func(b []byte) []byte { return append(b, 1, 1) }) // psk_dhe_ke
	b = append(b, c.shares...)
	if ticket == nil {
		return b
	}
	return extension(b, extPreSharedKey, func(b []byte) []byte {
		b = vector(b, 2, func(b []byte) []byte {
			b = vector(b, 2, func(b []byte) []byte { return append(b, ticket.label...) })
			return binary.BigEndian.AppendUint32(b, uint32(time.Since(ticket.received).Milliseconds())+ticket.ageAdd)
		})
		return vector(b, 2, func(b []byte) []byte {
			return vector(b, 1, func(b []byte) []byte { return append(b, make([]byte, secretBytes)...) })
		})
	})
}

// parser reads the fields of a message; bad is set when one is cut short.
type parser struct {
	rest []byte
	bad  bool
}

func (p *parser) bytes(n int) []byte {
	if n > len(p.rest) {
		p.bad, p.rest = true, nil
		return nil
	}
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	return taken
}

func (p *parser) number(size int) (n int) {
	for _, b := range p.bytes(size) {
		n = n<<8 | int(b)
	}
	return n
}

func (p *parser) vector(lengthBytes int) []byte { return p.bytes(p.number(lengthBytes)) }

// serverHello is what matters of a ServerHello.
type serverHello struct {
	group tls.CurveID
	share []byte
	// resumed: the server chose the ticket.
	resumed bool
}

// retry is the random value of a HelloRetryRequest: the SHA-256 of its name.
var retry = sha256.Sum256([]byte("HelloRetryRequest"))

func parseServerHello(body []byte) (hello serverHello, err error) {
	p := parser{rest: body}
	p.number(2)
	if bytes.Equal(p.bytes(32), retry[:]) {
		return hello, errors.New("the server wants a key share of another group")
	}
	p.vector(1)
	suite := p.number(2)
	p.number(1)
	version := 0
	for extensions := (parser{rest: p.vector(2)}); len(extensions.rest) > 0 && !extensions.bad; {
		id := extensions.number(2)
		field := parser{rest: extensions.vector(2)}
		switch id {
		case extSupportedVersions:
			version = field.number(2)
		case extKeyShare:
			hello.group, hello.share = tls.CurveID(field.number(2)), field.vector(2)
		case extPreSharedKey:
			hello.resumed = field.number(2) == 0
		}
		p.bad = p.bad || field.bad || extensions.bad
	}
	switch {
	case p.bad:
		return hello, errors.New("the ServerHello is cut short")
	case version != tls.VersionTLS13:
		return hello, errors.New("the server does not choose TLS 1.3")
	case suite != int(tls.TLS_AES_128_GCM_SHA256):
		return hello, fmt.Errorf("the server chose %s, which was not offered", tls.CipherSuiteName(uint16(suite)))
	}
	return hello, nil
}

// leaf returns the first certificate of a Certificate message.
func leaf(body []byte) ([]byte, error) {
	p := parser{rest: body}
	p.vector(1)
	list := parser{rest: p.vector(3)}
	first := list.vector(3)
	if p.bad || list.bad || len(first) == 0 {
		return nil, errors.New("the server shows no certificate")
	}
	return first, nil
}

// A Ticket resumes a session (RFC 8446 section 4.6.1).
type Ticket struct {
	label    []byte
	psk      []byte
	ageAdd   uint32
	received time.Time
}

// parseTicket reads a NewSessionTicket. Its secret follows from that of the session.
func parseTicket(body, resumption []byte) (*Ticket, error) {
	p := parser{rest: body}
	p.number(4)
	t := &Ticket{ageAdd: uint32(p.number(4)), received: time.Now()}
	nonce := p.vector(1)
	t.label = bytes.Clone(p.vector(2))
	if p.bad || len(t.label) == 0 {
		return nil, errors.New("the ticket is cut short")
	}
	var err error
	t.psk, err = expand(resumption, "resumption", nonce, secretBytes)
	return t, err
}
