package tls13

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
)

// handshake is the state of one handshake.
type handshake struct {
	*Client
	conn       *Conn
	ticket     *Ticket
	transcript hash.Hash

	secret         []byte // of the key schedule
	client, server []byte // the traffic secrets
	asked          []byte // the context of a CertificateRequest, nil without one
}

// Connect makes a handshake on a connection, resumed by the ticket if there is one and the server takes
// it. The end of the handshake is sent with the first data that are written. On an error the
// connection is the caller's to close; otherwise [Conn.Close] closes it.
func (c *Client) Connect(conn net.Conn, ticket *Ticket) (*Conn, error) {
	h := &handshake{Client: c, ticket: ticket, transcript: sha256.New(),
		conn: &Conn{conn: conn, buffer: newBuffer()}}
	err := h.run()
	if err == nil {
		return h.conn, nil
	}
	buffers.Put(h.conn.buffer)
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("the server ended the connection: %w", io.ErrUnexpectedEOF)
	}
	return nil, fmt.Errorf("TLS handshake: %w", err)
}

func (h *handshake) run() error {
	if err := h.begin(); err != nil {
		return err
	}
	if err := h.readExtensions(); err != nil {
		return err
	}
	if !h.conn.resumed {
		if err := h.authenticate(); err != nil {
			return err
		}
	}
	return h.finish()
}

// begin sends the ClientHello, and derives the keys of the handshake from the ServerHello.
func (h *handshake) begin() error {
	var psk []byte
	if h.ticket != nil {
		psk = h.ticket.psk
	}
	early, err := earlySecret(psk)
	if err != nil {
		return err
	}
	hello, err := h.hello(h.ticket, early)
	if err != nil {
		return err
	}
	h.transcript.Write(hello)
	record := append(make([]byte, 0, headerBytes+len(hello)), recordHandshake, 3, 1, byte(len(hello)>>8), byte(len(hello)))
	if _, err := h.conn.conn.Write(append(record, hello...)); err != nil {
		return err
	}
	body, err := h.expect(msgServerHello)
	if err != nil {
		return err
	}
	answer, err := parseServerHello(body)
	if err != nil {
		return err
	}
	h.conn.resumed = answer.resumed && h.ticket != nil
	if h.ticket != nil && !answer.resumed {
		if early, err = earlySecret(nil); err != nil {
			return err
		}
	}
	shared, err := h.Client.secret(answer.group, answer.share)
	if err != nil {
		return err
	}
	if h.secret, err = nextSecret(early, shared); err != nil {
		return err
	}
	return h.traffic("hs", &h.conn.in)
}

// traffic derives the secrets of both directions, and the keys of the server's.
func (h *handshake) traffic(name string, in *direction) (err error) {
	sum := h.transcript.Sum(nil)
	if h.client, err = expand(h.secret, "c "+name+" traffic", sum, secretBytes); err != nil {
		return err
	}
	if h.server, err = expand(h.secret, "s "+name+" traffic", sum, secretBytes); err != nil {
		return err
	}
	*in, err = newDirection(h.server)
	return err
}

// next reads a message and adds it to the transcript.
func (h *handshake) next() (kind byte, body []byte, err error) {
	kind, whole, err := h.conn.message()
	if err != nil {
		return 0, nil, err
	}
	h.transcript.Write(whole)
	return kind, whole[4:], nil
}

// expect reads a message of a type.
func (h *handshake) expect(kind byte) ([]byte, error) {
	got, body, err := h.next()
	if err == nil && got != kind {
		err = fmt.Errorf("the server sent a message of type %d, not %d", got, kind)
	}
	return body, err
}

func (h *handshake) readExtensions() error {
	_, err := h.expect(msgEncryptedExtensions)
	return err
}

// authenticate reads the server's certificate, and the request for the client's if there is one.
func (h *handshake) authenticate() error {
	kind, body, err := h.next()
	if err == nil && kind == msgCertificateRequest {
		p := parser{rest: body}
		if h.asked = append([]byte{}, p.vector(1)...); p.bad {
			return errors.New("the server's request for a certificate is cut short")
		}
		kind, body, err = h.next()
	}
	if err != nil {
		return err
	}
	if kind != msgCertificate {
		return fmt.Errorf("the server sent a message of type %d, not its certificate", kind)
	}
	shown, err := leaf(body)
	if err != nil {
		return err
	}
	if !bytes.Equal(shown, h.config.Server.Raw) {
		return errors.New("the server shows another certificate than was expected")
	}
	signed := h.transcript.Sum(nil)
	if body, err = h.expect(msgCertificateVerify); err != nil {
		return err
	}
	if h.count.Add(1)%Sample != 1 {
		return nil
	}
	p := parser{rest: body}
	scheme, signature := p.number(2), p.vector(2)
	digest := sha256.Sum256(toSign("server", signed))
	if scheme != int(tls.ECDSAWithP256AndSHA256) || !ecdsa.VerifyASN1(h.public, digest[:], signature) {
		return errors.New("the server's signature is wrong")
	}
	return nil
}

// toSign returns what a CertificateVerify signs (RFC 8446 section 4.4.3).
func toSign(side string, transcript []byte) []byte {
	text := append(bytes.Repeat([]byte{' '}, 64), "TLS 1.3, "+side+" CertificateVerify\x00"...)
	return append(text, transcript...)
}

// finish reads the server's Finished, prepares the client's last messages and derives the keys of the
// application data.
func (h *handshake) finish() error {
	want, err := finishedMAC(h.server, h.transcript.Sum(nil))
	if err != nil {
		return err
	}
	got, err := h.expect(msgFinished)
	if err != nil {
		return err
	}
	if !hmac.Equal(got, want) {
		return errors.New("the MAC of the server's Finished is wrong")
	}
	if h.key != nil && !h.conn.resumed && h.asked == nil {
		return errors.New("the server does not ask for the client's certificate")
	}
	out, err := newDirection(h.client)
	if err != nil {
		return err
	}
	handshakeClient := h.client
	if h.secret, err = nextSecret(h.secret, make([]byte, secretBytes)); err != nil {
		return err
	}
	if err := h.traffic("ap", &h.conn.in); err != nil {
		return err
	}
	last, err := h.last(handshakeClient)
	if err != nil {
		return err
	}
	h.conn.pending = append(make([]byte, 0, 4096), recordChangeCipherSpec, 3, 3, 0, 1, 1)
	h.conn.pending = out.seal(h.conn.pending, recordHandshake, last)
	if h.conn.out, err = newDirection(h.client); err != nil {
		return err
	}
	h.conn.resumption, err = expand(h.secret, "res master", h.transcript.Sum(nil), secretBytes)
	return err
}

// last returns the client's messages after the server's Finished.
func (h *handshake) last(traffic []byte) ([]byte, error) {
	var all []byte
	add := func(kind byte, fill func([]byte) []byte) {
		begin := len(all)
		all = message(all, kind, fill)
		h.transcript.Write(all[begin:])
	}
	if h.asked != nil {
		add(msgCertificate, h.certificate)
	}
	if h.asked != nil && h.key != nil {
		digest := sha256.Sum256(toSign("client", h.transcript.Sum(nil)))
		signature, err := ecdsa.SignASN1(rand.Reader, h.key, digest[:])
		if err != nil {
			return nil, err
		}
		add(msgCertificateVerify, func(b []byte) []byte {
			b = binary.BigEndian.AppendUint16(b, uint16(tls.ECDSAWithP256AndSHA256))
			return vector(b, 2, func(b []byte) []byte { return append(b, signature...) })
		})
	}
	mac, err := finishedMAC(traffic, h.transcript.Sum(nil))
	if err != nil {
		return nil, err
	}
	add(msgFinished, func(b []byte) []byte { return append(b, mac...) })
	return all, nil
}

// certificate appends the body of the client's Certificate, which is empty if it has none.
func (h *handshake) certificate(b []byte) []byte {
	b = vector(b, 1, func(b []byte) []byte { return append(b, h.asked...) })
	return vector(b, 3, func(b []byte) []byte {
		if h.key == nil {
			return b
		}
		for _, der := range h.config.Identity.Certificate {
			b = vector(b, 3, func(b []byte) []byte { return append(b, der...) })
			b = append(b, 0, 0) // no extensions
		}
		return b
	})
}
