package shed

import (
	"bytes"
	"strconv"
)

// maxContent bounds the Content-Length that is read, far above any read.
const maxContent = 1 << 20

var (
	lineEnd   = []byte("\r\n")
	headerEnd = []byte("\r\n\r\n")
)

// request returns the length of the request of the plainest form with which b
// begins, its content included, and whether it is a POST; or 0 when b begins with
// anything else, or with a part of one. The plainest form: HTTP/1.1, GET or POST, an
// absolute path, a Host, at most one Content-Length, and no header field that says
// anything about framing, the connection or what is expected.
func request(b []byte) (length int, post bool) {
	end := bytes.Index(b, headerEnd)
	if end < 0 {
		return 0, false
	}
	line, fields, _ := bytes.Cut(b[:end], lineEnd)
	post = bytes.HasPrefix(line, []byte("POST /"))
	if !post && !bytes.HasPrefix(line, []byte("GET /")) {
		return 0, false
	}
	if _, after, _ := bytes.Cut(line, []byte("/")); !bytes.HasSuffix(after, []byte(" HTTP/1.1")) ||
		bytes.Count(after, []byte(" ")) != 1 || !visible(after) {
		return 0, false
	}
	content, ok := framing(fields)
	if !ok {
		return 0, false
	}
	return end + len(headerEnd) + content, post
}

// framing returns the Content-Length of header fields in the plainest form.
func framing(fields []byte) (content int, ok bool) {
	content, hosts := -1, 0
	for len(fields) > 0 {
		var line []byte
		line, fields, _ = bytes.Cut(fields, lineEnd)
		name, value, found := bytes.Cut(line, []byte(":"))
		if !found || !token(name) || !visible(value) {
			return 0, false
		}
		switch value = bytes.TrimLeft(value, " "); {
		case is(name, "Content-Length"):
			n, err := strconv.ParseUint(string(value), 10, 31)
			if err != nil || n > maxContent || content >= 0 || value[0] == '+' {
				return 0, false
			}
			content = int(n)
		case is(name, "Host"):
			hosts++
		case is(name, "Connection") && !is(value, "keep-alive"),
			is(name, "Transfer-Encoding"), is(name, "Expect"), is(name, "Upgrade"), is(name, "TE"), is(name, "Trailer"),
			is(name, "Proxy-Connection"), is(name, "Keep-Alive"):
			return 0, false
		}
	}
	return max(content, 0), hosts == 1
}

func is(text []byte, want string) bool { return bytes.EqualFold(text, []byte(want)) }

// visible tells whether text is of printable ASCII.
func visible(text []byte) bool {
	for _, c := range text {
		if c < 0x20 || c > 0x7E {
			return false
		}
	}
	return true
}

// token tells whether name is one of letters, digits, hyphens and underscores.
func token(name []byte) bool {
	for _, c := range name {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return len(name) > 0
}
