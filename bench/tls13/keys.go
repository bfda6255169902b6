package tls13

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// The lengths of a secret and of a key of TLS_AES_128_GCM_SHA256.
const (
	secretBytes = sha256.Size
	keyBytes    = 16
	ivBytes     = 12
)

// expand is HKDF-Expand-Label (RFC 8446 section 7.1).
func expand(secret []byte, label string, context []byte, length int) ([]byte, error) {
	info := make([]byte, 0, 4+6+len(label)+len(context))
	info = binary.BigEndian.AppendUint16(info, uint16(length))
	info = vector(info, 1, func(b []byte) []byte { return append(append(b, "tls13 "...), label...) })
	info = vector(info, 1, func(b []byte) []byte { return append(b, context...) })
	return hkdf.Expand(sha256.New, secret, string(info), length)
}

// nextSecret is the step from one Extract to the next in the key schedule (RFC 8446 section 7.1).
func nextSecret(before, input []byte) ([]byte, error) {
	empty := sha256.Sum256(nil)
	salt, err := expand(before, "derived", empty[:], secretBytes)
	if err != nil {
		return nil, err
	}
	return hkdf.Extract(sha256.New, input, salt)
}

// earlySecret begins the key schedule, with the secret of a ticket or nil.
func earlySecret(psk []byte) ([]byte, error) {
	if psk == nil {
		psk = make([]byte, secretBytes)
	}
	return hkdf.Extract(sha256.New, psk, nil)
}

// finishedMAC returns the verify_data of Finished (RFC 8446 section 4.4.4).
func finishedMAC(traffic, transcript []byte) ([]byte, error) {
	key, err := expand(traffic, "finished", nil, secretBytes)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(transcript)
	return mac.Sum(nil), nil
}

// direction protects the records of one direction (RFC 8446 section 5.2). The zero direction protects
// nothing.
type direction struct {
	aead  cipher.AEAD
	iv    [ivBytes]byte
	count uint64
}

// newDirection derives the keys of a direction (RFC 8446 section 7.3).
func newDirection(traffic []byte) (d direction, err error) {
	key, err := expand(traffic, "key", nil, keyBytes)
	if err != nil {
		return d, err
	}
	iv, err := expand(traffic, "iv", nil, ivBytes)
	if err != nil {
		return d, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return d, err
	}
	copy(d.iv[:], iv)
	d.aead, err = cipher.NewGCM(block)
	return d, err
}

func (d *direction) nonce() [ivBytes]byte {
	nonce := d.iv
	var count [8]byte
	binary.BigEndian.PutUint64(count[:], d.count)
	for i, b := range count {
		nonce[ivBytes-8+i] ^= b
	}
	d.count++
	return nonce
}

// seal appends a protected record to b.
func (d *direction) seal(b []byte, kind byte, content []byte) []byte {
	begin := len(b)
	size := len(content) + 1 + d.aead.Overhead()
	b = append(b, recordData, 3, 3, byte(size>>8), byte(size))
	b = append(append(b, content...), kind)
	plain := b[begin+headerBytes:]
	for range d.aead.Overhead() {
		b = append(b, 0)
	}
	nonce := d.nonce()
	plain = b[begin+headerBytes : begin+headerBytes+len(plain)]
	d.aead.Seal(plain[:0], nonce[:], plain, b[begin:begin+headerBytes])
	return b
}

// open returns the content of a protected record, in the memory of the record.
func (d *direction) open(record []byte) (kind byte, content []byte, err error) {
	nonce := d.nonce()
	body := record[headerBytes:]
	plain, err := d.aead.Open(body[:0], nonce[:], body, record[:headerBytes])
	if err != nil {
		return 0, nil, errors.New("a record of the server does not decrypt")
	}
	for len(plain) > 0 && plain[len(plain)-1] == 0 { // padding
		plain = plain[:len(plain)-1]
	}
	if len(plain) == 0 {
		return 0, nil, errors.New("a record of the server has no type")
	}
	return plain[len(plain)-1], plain[:len(plain)-1], nil
}
