package load

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// maxResponse bounds a response, in bytes.
const maxResponse = 1 << 20

// response is one framed response.
type response struct {
	status int
	// body is valid until the next read.
	body []byte
	// retryAfter: the response has a Retry-After header field.
	retryAfter bool
	// last: the connection ends after this response.
	last bool
}

// reader reads responses from a connection.
type reader struct {
	from   io.Reader
	buffer []byte // data read from the connection
	used   int    // number of consumed bytes
	chunks []byte // the body of a chunked response
}

func newReader(from io.Reader) *reader {
	return &reader{from: from, buffer: make([]byte, 0, 8<<10)}
}

// reset begins with another connection.
func (r *reader) reset(from io.Reader) { r.from, r.buffer, r.used = from, r.buffer[:0], 0 }

// fill reads more data and keeps what was not consumed.
func (r *reader) fill() error {
	if r.used > 0 && r.used == len(r.buffer) {
		r.buffer, r.used = r.buffer[:0], 0
	}
	if len(r.buffer) == cap(r.buffer) {
		if len(r.buffer)-r.used > maxResponse {
			return fmt.Errorf("an answer of more than %d bytes", maxResponse)
		}
		bigger := make([]byte, len(r.buffer)-r.used, 2*cap(r.buffer))
		copy(bigger, r.buffer[r.used:])
		r.buffer, r.used = bigger, 0
	}
	n, err := r.from.Read(r.buffer[len(r.buffer):cap(r.buffer)])
	r.buffer = r.buffer[:len(r.buffer)+n]
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// response reads one response to a POST.
func (r *reader) response() (response, error) {
	for {
		var answer response
		framing, err := r.head(&answer)
		if err != nil {
			return answer, cutShort(err)
		}
		if answer.status < 200 {
			continue // RFC 9110 section 15.2: an interim response precedes the final one
		}
		err = r.body(&answer, framing)
		if err == nil && !answer.last && r.used != len(r.buffer) {
			err = errors.New("the server sent more than its answer")
		}
		return answer, cutShort(err)
	}
}

func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the answer is cut short: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// framing says how the end of a body is found; if neither is set, it ends with the connection.
type framing struct {
	length  int // -1 if unknown
	chunked bool
}

// line returns the next line without its end.
func (r *reader) line() ([]byte, error) {
	for seen := 0; ; {
		if i := bytes.IndexByte(r.buffer[r.used+seen:], '\n'); i >= 0 {
			line := r.buffer[r.used : r.used+seen+i]
			r.used += seen + i + 1
			return bytes.TrimSuffix(line, []byte{'\r'}), nil
		}
		seen = len(r.buffer) - r.used
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

// head reads the status line and the header.
func (r *reader) head(answer *response) (framing, error) {
	f := framing{length: -1}
	first, err := r.line()
	if err != nil {
		return f, err
	}
	version, rest, _ := bytes.Cut(first, []byte{' '})
	code, _, _ := bytes.Cut(rest, []byte{' '})
	status, err := strconv.Atoi(string(code))
	if !bytes.HasPrefix(version, []byte("HTTP/1.")) || err != nil || len(code) != 3 {
		return f, fmt.Errorf("not the first line of an answer: %.80q", first)
	}
	answer.status = status
	answer.last = string(version) == "HTTP/1.0"
	for {
		line, err := r.line()
		if err != nil {
			return f, err
		}
		if len(line) == 0 {
			return f, nil
		}
		if err := answer.field(line, &f); err != nil {
			return f, err
		}
	}
}

// field parses a header field that affects the framing, or Retry-After.
func (a *response) field(line []byte, f *framing) error {
	name, value, found := bytes.Cut(line, []byte{':'})
	if !found {
		return fmt.Errorf("not a header field: %.80q", line)
	}
	value = bytes.TrimSpace(value)
	switch {
	case is(name, "connection"):
		a.last = is(value, "close") || a.last && !is(value, "keep-alive")
	case is(name, "retry-after"):
		a.retryAfter = true
	case is(name, "content-length"):
		n, err := strconv.Atoi(string(value))
		if err != nil || n < 0 || n > maxResponse {
			return fmt.Errorf("not a content-length: %.40q", value)
		}
		f.length = n
	case is(name, "transfer-encoding"):
		if !is(value, "chunked") {
			return fmt.Errorf("unknown transfer-encoding %.40q", value)
		}
		f.chunked = true
	}
	return nil
}

// is compares case-insensitively; want is in lower case.
func is(text []byte, want string) bool {
	if len(text) != len(want) {
		return false
	}
	for i := range text {
		c := text[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != want[i] {
			return false
		}
	}
	return true
}

// body reads the body (RFC 9112 section 6.3).
func (r *reader) body(answer *response, f framing) (err error) {
	switch {
	case answer.status == 204 || answer.status == 304:
	case f.chunked:
		answer.body, err = r.chunked()
	case f.length >= 0:
		answer.body, err = r.take(f.length)
	default:
		answer.last = true
		answer.body, err = r.rest()
	}
	return err
}

// take returns the next n bytes.
func (r *reader) take(n int) ([]byte, error) {
	for len(r.buffer)-r.used < n {
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
	taken := r.buffer[r.used : r.used+n]
	r.used += n
	return taken, nil
}

// rest returns everything until the end of the connection.
func (r *reader) rest() ([]byte, error) {
	for {
		if err := r.fill(); errors.Is(err, io.EOF) {
			return r.take(len(r.buffer) - r.used)
		} else if err != nil {
			return nil, err
		}
	}
}

// chunked decodes a chunked body (RFC 9112 section 7.1).
func (r *reader) chunked() ([]byte, error) {
	r.chunks = r.chunks[:0]
	for {
		line, err := r.line()
		if err != nil {
			return nil, err
		}
		digits, _, _ := bytes.Cut(line, []byte{';'})
		size, err := strconv.ParseUint(string(bytes.TrimSpace(digits)), 16, 31)
		if err != nil || len(r.chunks)+int(size) > maxResponse {
			return nil, fmt.Errorf("not the size of a chunk: %.40q", line)
		}
		if size == 0 {
			return r.chunks, r.trailer()
		}
		chunk, err := r.take(int(size))
		if err != nil {
			return nil, err
		}
		r.chunks = append(r.chunks, chunk...)
		if end, err := r.line(); err != nil || len(end) != 0 {
			return nil, errors.Join(err, errors.New("a chunk does not end where it says"))
		}
	}
}

func (r *reader) trailer() error {
	for {
		if line, err := r.line(); err != nil || len(line) == 0 {
			return err
		}
	}
}
