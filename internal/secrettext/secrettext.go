// Package secrettext says what can be a secret (a client secret, an API key, a master key) and what
// is only in the file beside it: line ends, and what an editor or a wrong encoding adds. A secret that
// is sent with these is refused by a platform without a reason that a reader could see.
//
// It is not about keys and certificates, which have formats of their own, and it does not judge
// how strong a secret is.
//
// RFC 6749 appendix A.2 allows a client secret visible ASCII characters and blanks; platforms also
// have others.
package secrettext

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxLength bounds a secret, in bytes. A header that holds more is refused by many servers.
const MaxLength = 4 << 10

// Parse returns the secret in the content of a file or of an environment variable: without the line
// ends (LF, CR LF) at its end. The errors are those of Check and of CheckEncoding.
func Parse(data []byte) (string, error) {
	if err := CheckEncoding(data); err != nil {
		return "", err
	}
	secret := string(bytes.TrimRight(data, "\r\n"))
	if err := Check(secret); err != nil {
		return "", err
	}
	return secret, nil
}

// Check returns why a text cannot be a secret, or nil. Errors say what to do and never contain a
// visible character of the text.
func Check(secret string) error {
	switch {
	case secret == "":
		return errors.New("it is empty")
	case len(secret) > MaxLength:
		return fmt.Errorf("it is longer than %d bytes: it may be another file", MaxLength)
	}
	if err := CheckEncoding([]byte(secret)); err != nil {
		return err
	}
	switch trimmed := strings.TrimRight(secret, "\r\n"); {
	case trimmed == "":
		return errors.New("it is empty but for line ends")
	case strings.ContainsAny(trimmed, "\r\n"):
		return errors.New("it has more than one line: it may be another file")
	case trimmed != secret:
		return errors.New("it ends in a line end: remove that")
	case strings.TrimSpace(secret) == "":
		return errors.New("it is empty but for blanks")
	case strings.TrimSpace(secret) != secret:
		return errors.New("it begins or ends with a blank, which is hardly part of it: remove that")
	}
	for _, r := range secret {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			return fmt.Errorf("it has an invisible character in it (U+%04X), which may come from copying or from a tool's output: remove that", r)
		}
	}
	return nil
}

// CheckEncoding returns why a file is not plain text in UTF-8, or nil.
func CheckEncoding(data []byte) error {
	switch {
	case bytes.HasPrefix(data, []byte("\xEF\xBB\xBF")):
		return errors.New("it begins with a byte order mark (BOM), as some editors and PowerShell write: save it as UTF-8 without BOM")
	case bytes.HasPrefix(data, []byte("\xFF\xFE")), bytes.HasPrefix(data, []byte("\xFE\xFF")), alternates(data):
		return errors.New("it is UTF-16, as PowerShell's > writes: save it as UTF-8 without BOM")
	case bytes.IndexByte(data, 0) >= 0:
		return errors.New("it has a NUL byte in it: it is not text, or a tool added its end mark: remove that")
	case !utf8.Valid(data):
		return errors.New("it is not UTF-8: if it is text, save it as UTF-8 without BOM; if it is binary, it is not a secret that can be sent")
	}
	return nil
}

// alternates reports whether every second byte is NUL: UTF-16 of ASCII without a byte order mark.
func alternates(data []byte) bool {
	if len(data) < 2 || len(data)%2 != 0 {
		return false
	}
	var nul [2]int
	for i, b := range data {
		if b == 0 {
			nul[i%2]++
		}
	}
	return nul[0] == 0 && nul[1] == len(data)/2 || nul[1] == 0 && nul[0] == len(data)/2
}
