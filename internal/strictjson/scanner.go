package strictjson

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner parses a text. names is a stack: each open object owns the names from its first one to
// the top.
type scanner struct {
	data   []byte
	text   string // data as a string
	pos    int
	base   int // offset of data in the text given to Object
	limits Limits
	names  []string
	again  bool // the text was validated before, so names are not compared again
}

// object parses an object at its opening brace. visit may be nil.
func (s *scanner) object(depth int, visit func(string, Value) error) error {
	if depth > s.limits.Depth {
		return s.fail("nested too deep")
	}
	s.pos++
	first := len(s.names)
	s.space()
	if s.skip('}') {
		return nil
	}
	for {
		if err := s.member(depth, first, visit); err != nil {
			return err
		}
		s.space()
		if s.skip('}') {
			s.names = s.names[:first]
			return nil
		}
		if !s.skip(',') {
			return s.fail("want a comma or the end of the object")
		}
		s.space()
	}
}

// member parses a name, a colon and a value. names[first:] belongs to the object.
func (s *scanner) member(depth, first int, visit func(string, Value) error) error {
	start := s.pos
	name, err := s.name()
	if err != nil {
		return err
	}
	if !s.again {
		if slices.Contains(s.names[first:], name) {
			return s.failAt(start, fmt.Sprintf("member %.64q occurs twice", name))
		}
		if len(s.names)-first >= s.limits.Members {
			return s.failAt(start, "too many members")
		}
		s.names = append(s.names, name)
	}
	s.space()
	if !s.skip(':') {
		return s.fail("want a colon")
	}
	s.space()
	v, err := s.value(depth)
	if err == nil && visit != nil {
		err = visit(name, v)
	}
	return err
}

// name parses a member name and returns it unescaped.
func (s *scanner) name() (string, error) {
	if s.peek() != '"' {
		return "", s.fail("want a member name")
	}
	start := s.pos
	escaped, err := s.str()
	if err != nil {
		return "", err
	}
	inner := s.text[start+1 : s.pos-1]
	if escaped {
		inner = unescape(inner)
	}
	return inner, nil
}

// array parses an array at its opening bracket. visit may be nil.
func (s *scanner) array(depth int, visit func(Value) error) error {
	if depth > s.limits.Depth {
		return s.fail("nested too deep")
	}
	s.pos++
	s.space()
	if s.skip(']') {
		return nil
	}
	for {
		v, err := s.value(depth)
		if err != nil {
			return err
		}
		if visit != nil {
			if err := visit(v); err != nil {
				return err
			}
		}
		s.space()
		if s.skip(']') {
			return nil
		}
		if !s.skip(',') {
			return s.fail("want a comma or the end of the array")
		}
		s.space()
	}
}

// value parses a value inside an object or array at depth.
func (s *scanner) value(depth int) (Value, error) {
	var (
		err   error
		v     Value
		start = s.pos
	)
	switch c := s.peek(); {
	case c == '{':
		v.kind, err = KindObject, s.object(depth+1, nil)
	case c == '[':
		v.kind, err = KindArray, s.array(depth+1, nil)
	case c == '"':
		v.kind = KindString
		v.escaped, err = s.str()
	case c == 't':
		v.kind, err = KindBool, s.literal("true")
	case c == 'f':
		v.kind, err = KindBool, s.literal("false")
	case c == 'n':
		v.kind, err = KindNull, s.literal("null")
	case c == '-' || isDigit(c):
		v.kind, err = KindNumber, s.number()
	default:
		err = s.fail("want a value")
	}
	if err != nil {
		return Value{}, err
	}
	v.raw, v.text, v.offset = s.data[start:s.pos:s.pos], s.text[start:s.pos], s.base+start
	return v, nil
}

// str parses a string at its opening quote and reports whether it has escapes.
func (s *scanner) str() (escaped bool, err error) {
	s.pos++
	for {
		rest := s.text[s.pos:]
		plain := 0
		for plain < len(rest) && rest[plain] != '"' && rest[plain] != '\\' && rest[plain] >= 0x20 {
			plain++
		}
		s.pos += plain
		switch s.peek() {
		case '"':
			s.pos++
			return escaped, nil
		case '\\':
			escaped = true
			if err := s.escape(); err != nil {
				return escaped, err
			}
		default:
			if plain == len(rest) {
				return escaped, s.fail("string without end")
			}
			return escaped, s.fail("control character in a string")
		}
	}
}

// escape parses one escape, or the two of a surrogate pair.
func (s *scanner) escape() error {
	rest := s.text[s.pos:]
	if len(rest) >= 2 && strings.IndexByte(`"\/bfnrt`, rest[1]) >= 0 {
		s.pos += 2
		return nil
	}
	r, ok := hex4(rest)
	if !ok {
		return s.fail("unknown escape")
	}
	if !utf16.IsSurrogate(r) {
		s.pos += 6
		return nil
	}
	low, ok := hex4(rest[6:])
	if !ok || utf16.DecodeRune(r, low) == utf8.RuneError {
		return s.fail("lone surrogate")
	}
	s.pos += 12
	return nil
}

// number parses a number by the grammar of RFC 8259 section 6.
func (s *scanner) number() error {
	s.skip('-')
	if s.peek() == '0' {
		s.pos++
		if isDigit(s.peek()) {
			return s.fail("number with a leading zero")
		}
	} else if !s.digits() {
		return s.fail("want a digit")
	}
	if s.skip('.') && !s.digits() {
		return s.fail("want a digit")
	}
	if s.skip('e') || s.skip('E') {
		if !s.skip('+') {
			s.skip('-')
		}
		if !s.digits() {
			return s.fail("want a digit")
		}
	}
	return nil
}

// digits skips digits and reports whether there was one.
func (s *scanner) digits() bool {
	start := s.pos
	for isDigit(s.peek()) {
		s.pos++
	}
	return s.pos > start
}

func (s *scanner) literal(word string) error {
	if !strings.HasPrefix(s.text[s.pos:], word) {
		return s.fail("want a value")
	}
	s.pos += len(word)
	return nil
}

// space skips white space.
func (s *scanner) space() {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek returns the next byte, or 0 at the end: no token begins with 0.
func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

// skip skips c if it is next, and reports whether it was.
func (s *scanner) skip(c byte) bool {
	if s.pos < len(s.text) && s.text[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

func (s *scanner) fail(what string) error { return s.failAt(s.pos, what) }

func (s *scanner) failAt(pos int, what string) error {
	return &SyntaxError{Offset: s.base + pos, What: what}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
