package clientcert

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

const pemBegin = "-----BEGIN"

// ReadHeader reads the certificate that a proxy forwards: values are those of its header, chain those
// of Client-Cert-Chain. The caller has checked that the peer is such a proxy. Nil means that the
// proxy's client showed no certificate: no value, an empty one, or an empty byte sequence "::".
//
// The forms are told apart by their first bytes:
//
//	:BASE64:        RFC 9440 §2.2 (HAProxy, Caddy, Cloudflare)
//	-----BEGIN      percent-encoded PEM (nginx, AWS ALB), perhaps with its chain; a plus sign is itself
//	Hash=...;...    x-forwarded-client-cert of Envoy: Cert=, or else Hash=
//
// More than one value, or element, is an error: one of them was sent by the client itself.
func ReadHeader(values, chain []string) (*Shown, error) {
	if len(values) > 1 {
		return nil, errors.New("the header of the client certificate occurs more than once")
	}
	value := ""
	if len(values) == 1 {
		value = strings.Trim(values[0], " \t")
	}
	if value == "" || value == "::" {
		if len(chain) > 0 {
			return nil, errors.New("a chain was forwarded without the client certificate") // RFC 9440 §2.3
		}
		return nil, nil
	}
	if len(value) > maxBytes {
		return nil, fmt.Errorf("the header of the client certificate is longer than %d bytes", maxBytes)
	}
	s, err := readLeaf(value)
	if err != nil {
		return nil, fmt.Errorf("the header of the client certificate: %w", err)
	}
	if len(chain) > 0 {
		if s.Chain, err = readChain(chain, s); err != nil {
			return nil, fmt.Errorf("the header of the certificate chain: %w", err)
		}
	}
	return s, nil
}

func readLeaf(value string) (*Shown, error) {
	switch {
	case value[0] == ':':
		cert, err := byteSequence(value)
		if err != nil {
			return nil, err
		}
		return shown(cert, nil), nil
	case strings.HasPrefix(value, pemBegin):
		return readEscapedPEM(value)
	default:
		return readXFCC(value)
	}
}

// byteSequence reads an item of RFC 8941 §3.3.5 that holds a certificate, without parameters.
func byteSequence(item string) (*x509.Certificate, error) {
	if len(item) < 3 || item[0] != ':' || item[len(item)-1] != ':' {
		return nil, errors.New("a certificate stands in base64 between colons (RFC 9440 §2.2)")
	}
	der, err := base64.StdEncoding.Strict().DecodeString(item[1 : len(item)-1])
	if err != nil {
		return nil, err
	}
	return ParseDER(der)
}

// readChain reads Client-Cert-Chain (RFC 9440 §2.3): a list, which may be split over several values.
func readChain(values []string, leaf *Shown) (chain []*x509.Certificate, err error) {
	list := strings.Join(values, ",")
	if len(list) > maxBytes {
		return nil, fmt.Errorf("it is longer than %d bytes", maxBytes)
	}
	items := strings.SplitN(list, ",", maxChain+2)
	if len(items) > maxChain {
		return nil, fmt.Errorf("it has more than %d certificates", maxChain)
	}
	for _, item := range items {
		cert, err := byteSequence(strings.Trim(item, " \t"))
		if err != nil {
			return nil, err
		}
		if sha256.Sum256(cert.Raw) == leaf.Digest {
			return nil, errors.New("it repeats the client certificate")
		}
		chain = append(chain, cert)
	}
	return chain, nil
}

// readEscapedPEM reads percent-encoded PEM: nginx's $ssl_client_escaped_cert, and X-Amzn-Mtls-Clientcert
// of AWS, which leaves the plus signs of base64 as they are.
func readEscapedPEM(value string) (*Shown, error) {
	text, err := percentDecode(value)
	if err != nil {
		return nil, err
	}
	return parsePEM(text, true)
}

func percentDecode(s string) ([]byte, error) {
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("a character that is not percent-encoded")
	}
	text, err := url.PathUnescape(s) // which leaves a plus sign as it is
	if err != nil {
		return nil, errors.New("a percent sign without two hex digits")
	}
	return []byte(text), nil
}

// readXFCC reads the one element of x-forwarded-client-cert. Members other than Cert and Hash are
// not needed: names are read from the certificate.
func readXFCC(value string) (*Shown, error) {
	var cert, hash string
	for rest := ";" + value; rest != ""; {
		key, text, after, err := xfccMember(rest[1:])
		if err == nil {
			err = keep(key, text, &cert, &hash)
		}
		if err != nil {
			return nil, err
		}
		rest = after
	}
	s := &Shown{}
	switch digest, err := hex.DecodeString(hash); {
	case cert == "" && hash == "":
		return nil, errors.New("neither Cert= nor Hash= is there, nor any other known form")
	case hash != "" && (err != nil || len(digest) != sha256.Size):
		return nil, errors.New("the value of Hash= is not a SHA-256 in hex")
	case hash != "":
		s.Digest = [sha256.Size]byte(digest)
	}
	if cert == "" {
		return s, nil
	}
	whole, err := readEscapedPEM(cert)
	if err == nil && hash != "" && whole.Digest != s.Digest {
		err = errors.New("the value of Hash= is not that of Cert=")
	}
	return whole, err
}

// keep stores the text of the members that count, whose names have no case.
func keep(key, text string, cert, hash *string) error {
	into := map[string]*string{"cert": cert, "hash": hash}[strings.ToLower(key)]
	if into == nil || text == "" {
		return nil
	}
	if *into != "" {
		return fmt.Errorf("%s= occurs twice", key)
	}
	*into = text
	return nil
}

// xfccMember reads key=value or key="value" from the start of s. after is empty at the end, or begins
// with the semicolon before the next member; a comma begins another element and is an error.
func xfccMember(s string) (key, text, after string, err error) {
	key, after, ok := strings.Cut(s, "=")
	if !ok || key == "" || strings.ContainsAny(key, `;,"\ `) {
		return "", "", "", errors.New("it is none of the known forms")
	}
	if strings.HasPrefix(after, `"`) {
		text, after, err = quoted(after[1:])
	} else {
		end := strings.IndexAny(after, `;,"\`)
		if end < 0 {
			end = len(after)
		}
		text, after = after[:end], after[end:]
	}
	switch {
	case err != nil:
		return "", "", "", err
	case after == "" || after[0] == ';' && len(after) > 1:
		return key, text, after, nil
	case after[0] == ',':
		return "", "", "", errors.New("it has several elements: the proxy must set it, not append to it")
	default:
		return "", "", "", errors.New("a quotation mark or a semicolon is out of place")
	}
}

// quoted reads to the closing quotation mark. A backslash escapes a quotation mark or a backslash.
func quoted(s string) (text, after string, err error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], nil
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
		}
		b.WriteByte(s[i])
	}
	return "", "", errors.New("a quotation mark is not closed")
}
