package strictjson

import (
	"strings"
	"unicode/utf16"
)

// AppendString appends s to dst as a JSON string. Quote, backslash and control characters are
// escaped, everything else is copied.
//
// A string that is not valid UTF-8 cannot be represented in JSON. Its bytes are copied and not
// replaced, so a strict reader refuses the result instead of reading another string; check
// untrusted input with unicode/utf8 first.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	plain := 0 // nothing in s[plain:i] needs escaping
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = appendEscaped(append(dst, s[plain:i]...), c)
		plain = i + 1
	}
	dst = append(dst, s[plain:]...)
	return append(dst, '"')
}

func appendEscaped(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	default:
		return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	}
}

// unescape returns the content of a string that str has validated.
func unescape(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for len(s) > 0 {
		if s[0] != '\\' {
			plain := strings.IndexByte(s, '\\')
			if plain < 0 {
				plain = len(s)
			}
			b.WriteString(s[:plain])
			s = s[plain:]
			continue
		}
		r, size := unescapeRune(s)
		b.WriteRune(r)
		s = s[size:]
	}
	return b.String()
}

// unescapeRune returns the character of the escape at the start of s, and its length.
func unescapeRune(s string) (r rune, size int) {
	switch s[1] {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r, _ = hex4(s)
		if !utf16.IsSurrogate(r) {
			return r, 6
		}
		low, _ := hex4(s[6:])
		return utf16.DecodeRune(r, low), 12
	default:
		return rune(s[1]), 2
	}
}

// hex4 parses the escape \uXXXX at the start of s.
func hex4(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range []byte(s[2:6]) {
		switch {
		case isDigit(c):
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
