package jose

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// errRegisterPublic refuses a private key and says how to get the public one.
var errRegisterPublic = fmt.Errorf(
	"%w: register the public half only, made with: openssl ec -in private.pem -pubout (openssl pkey for RSA and Ed25519)",
	ErrPrivateKey)

// ParsePublic reads a public key in the encodings in which it is commonly sent: PEM "PUBLIC KEY" as
// written by `openssl ec -pubout`, "RSA PUBLIC KEY", "EC PUBLIC KEY", "CERTIFICATE", "TRUSTED
// CERTIFICATE", or a JWK. What a block holds counts, not its label. Text around a PEM block, an "EC
// PARAMETERS" block, a byte order mark, any line ends and blanks at the ends of lines are ignored, and
// so is that all line ends are written as \n, or are missing. The result includes the kid of a JWK.
// With an empty alg the key is bound to the default algorithm of its type, or to PS256 if it is a key
// for RSA-PSS alone.
//
// Input that contains a private key is refused with ErrPrivateKey, several different keys with
// ErrKey. Of a certificate only the key is used: names, dates, serial number and issuer are not
// checked.
func ParsePublic(data []byte, alg Alg) (key *PublicKey, kid string, err error) {
	if len(data) > maxKeyFile {
		return nil, "", fmt.Errorf("%w: longer than %d bytes", ErrKey, maxKeyFile)
	}
	data, alg = withoutBOM(data), alg.constant()
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return ParseJWK(data, alg)
	}
	// This precedes any decoding, so that a damaged private key is reported as one too.
	if bytes.Contains(data, []byte("PRIVATE KEY-----")) {
		if bytes.Contains(data, []byte("OPENSSH PRIVATE KEY-----")) {
			return nil, "", pemForms["OPENSSH PRIVATE KEY"].refuse(WantPublic)
		}
		return nil, "", errRegisterPublic
	}
	for _, block := range pemBlocks(data) {
		if block.Type == "EC PARAMETERS" {
			continue
		}
		next, err := publicBlock(block, alg)
		if err != nil {
			return nil, "", err
		}
		if key != nil && key.Thumbprint() != next.Thumbprint() {
			return nil, "", fmt.Errorf("%w: several different keys in one text: give one alone; of a chain of certificates the first is the client's: openssl x509 -in chain.pem -out client.pem", ErrKey)
		}
		key = next
	}
	if key == nil {
		return nil, "", NearMiss(data, WantPublic)
	}
	return key, "", nil
}

// withoutBOM returns data without the byte order mark that some editors write before UTF-8.
func withoutBOM(data []byte) []byte { return bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) }

// boundary matches the lines around a block, where they are not lines.
var boundary = regexp.MustCompile(`-----(BEGIN|END) [A-Z0-9 ]+-----`)

// PEMText returns data as the PEM that they mean: without byte order mark and blanks around lines, which
// RFC 7468 section 2 allows. In a text of one line a \n that is written out is a line end, as in a
// variable of the environment or in JSON, and the lines around a block end where they must. All that is
// no PEM stays what it is.
func PEMText(data []byte) []byte {
	data = withoutBOM(data)
	if one := bytes.TrimSpace(data); !bytes.ContainsAny(one, "\r\n") {
		one = bytes.Trim(one, `"'`)
		one = []byte(strings.NewReplacer(`\r\n`, "\n", `\n`, "\n").Replace(string(one)))
		data = boundary.ReplaceAll(one, []byte("\n$0\n"))
	}
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	data = bytes.ReplaceAll(data, []byte("\r"), []byte("\n"))
	var lines []byte
	for line := range bytes.Lines(data) {
		lines = append(lines, bytes.TrimSpace(line)...)
		lines = append(lines, '\n')
	}
	return lines
}

// pemBlocks returns the PEM blocks of data; nil when one of them is damaged, because then nobody can
// tell which key is meant.
func pemBlocks(data []byte) []*pem.Block {
	text := PEMText(data)
	var blocks []*pem.Block
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		blocks = append(blocks, block)
	}
	if len(blocks) != bytes.Count(text, []byte("-----BEGIN ")) {
		return nil
	}
	return blocks
}

// holdsPublic reports whether a PEM block of that type holds a public key.
func holdsPublic(kind string) bool {
	return kind == "PUBLIC KEY" || kind == "RSA PUBLIC KEY" || kind == "EC PUBLIC KEY"
}

// holdsCertificate reports whether a PEM block of that type holds a certificate. What follows the
// certificate of a TRUSTED one says for what OpenSSL trusts it.
func holdsCertificate(kind string) bool {
	return kind == "CERTIFICATE" || kind == "X509 CERTIFICATE" || kind == "TRUSTED CERTIFICATE"
}

// publicBlock parses the key of one PEM block.
func publicBlock(block *pem.Block, alg Alg) (*PublicKey, error) {
	der := block.Bytes
	switch {
	case holdsCertificate(block.Type):
		cert, rest, err := readCertificate(der)
		if err != nil || len(rest) > 0 && block.Type != "TRUSTED CERTIFICATE" {
			return nil, fmt.Errorf("PEM block %q: %w", block.Type, errNotCertificate)
		}
		der = cert.TBS.PublicKey.FullBytes
	case !holdsPublic(block.Type):
		if form, known := pemForms[block.Type]; known {
			return nil, form.refuse(WantPublic)
		}
		return nil, fmt.Errorf("%w: PEM block %.64q is not a public key", ErrKey, block.Type)
	}
	pub, only, err := parsePublicDER(der)
	if err != nil {
		return nil, inBlock(block, err)
	}
	switch {
	case only != "" && alg != "" && alg != only:
		return nil, fmt.Errorf("%w: an RSA-PSS key for %s", ErrWrongKeyType, alg)
	case only != "":
		alg = only
	case alg == "":
		if alg, err = KeyAlg(pub); err != nil {
			return nil, err
		}
	}
	return NewPublicKey(pub, alg)
}

// inBlock says in which PEM block a key cannot be read.
func inBlock(block *pem.Block, err error) error {
	if errors.Is(err, ErrKey) || errors.Is(err, ErrWrongKeyType) {
		return err
	}
	return fmt.Errorf("%w: PEM block %q: %w", ErrKey, block.Type, err)
}

// encrypted reports whether a PEM block holds a key encrypted with a passphrase, in PKCS #8 or RFC
// 1423 form.
func encrypted(block *pem.Block) bool {
	return block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED")
}
