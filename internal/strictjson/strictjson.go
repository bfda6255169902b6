// Package strictjson reads one JSON object from the network: a JOSE header, JWT claims, a JWK or a
// JSON request body.
//
// It accepts a subset of RFC 8259 in which every text has one meaning: member names are compared
// exactly after unescaping (RFC 8259 section 8.3), a name that occurs twice in one object is
// refused at every depth (RFC 7515 section 4, RFC 7519 section 4), the text is valid UTF-8 without
// lone surrogates (RFC 7493 section 2.1), depth and number of members are bounded, and only white
// space may surround the object.
//
// It is not a decoder: there is no reflection and no destination struct. The caller selects members
// in a visit function and asks each Value for the one type that it expects; there are no
// conversions.
package strictjson

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits bound an object. A zero field means its default.
type Limits struct {
	Depth   int // nesting of objects and arrays, including the outermost object; default 8
	Members int // members of any one object; default 64
}

const (
	defaultDepth   = 8
	defaultMembers = 64
)

// Kind is the JSON type of a Value.
type Kind uint8

// The kinds of a Value. The zero Kind belongs to the zero Value only.
const (
	KindNull Kind = iota + 1
	KindBool
	KindNumber
	KindString
	KindArray
	KindObject
)

// String returns the kind with its article, for use in messages.
func (k Kind) String() string {
	switch k {
	case KindNull:
		return "null"
	case KindBool:
		return "a boolean"
	case KindNumber:
		return "a number"
	case KindString:
		return "a string"
	case KindArray:
		return "an array"
	case KindObject:
		return "an object"
	default:
		return "nothing"
	}
}

// SyntaxError describes the first error of a text and its position.
type SyntaxError struct {
	Offset int    // bytes before the error, from the start of the text given to Object
	What   string // the error, without the offset
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("JSON at byte %d: %s", e.Offset, e.What)
}

// Object parses data, which must be a single JSON object, and calls visit for each of its members
// in order. Nested objects are checked in the same way; visit their members with Members.
//
// Members are visited while parsing, so an error may be found after some were visited: use them
// only if Object returns nil. An error of visit ends the parsing and is returned unchanged. Names
// and texts share one copy of data and stay valid.
func Object(data []byte, limits Limits, visit func(name string, v Value) error) error {
	if limits.Depth == 0 {
		limits.Depth = defaultDepth
	}
	if limits.Members == 0 {
		limits.Members = defaultMembers
	}
	s := scanner{data: data, limits: limits, names: make([]string, 0, 16)}
	if !utf8.Valid(data) {
		return s.failAt(invalidUTF8(data), "not valid UTF-8")
	}
	s.text = string(data)
	s.space()
	if s.peek() != '{' {
		return s.fail("want an object")
	}
	if err := s.object(1, visit); err != nil {
		return err
	}
	s.space()
	if s.pos != len(data) {
		return s.fail("text after the object")
	}
	return nil
}

// Value is one value of a parsed object.
type Value struct {
	raw     []byte
	text    string // raw as a string
	offset  int
	kind    Kind
	escaped bool // a string that contains a backslash
}

// Kind returns the JSON type of v.
func (v Value) Kind() Kind { return v.kind }

// Raw returns the bytes of v without surrounding white space. It is a part of the slice given to
// Object.
func (v Value) Raw() []byte { return v.raw }

// Text returns the unescaped content of a string.
func (v Value) Text() (string, error) {
	if v.kind != KindString {
		return "", v.want("a string")
	}
	inner := v.text[1 : len(v.text)-1]
	if !v.escaped {
		return inner, nil
	}
	return unescape(inner), nil
}

// Bool returns a boolean.
func (v Value) Bool() (bool, error) {
	if v.kind != KindBool {
		return false, v.want("a boolean")
	}
	return v.text == "true", nil
}

// Int returns an integer. Fractions and exponents are refused even if the value is integral, and so
// is negative zero: parsers disagree about them.
func (v Value) Int() (int64, error) {
	if v.kind != KindNumber {
		return 0, v.want("an integer")
	}
	if v.text == "-0" {
		return 0, v.fail("negative zero")
	}
	n, err := strconv.ParseInt(v.text, 10, 64)
	switch {
	case err == nil:
		return n, nil
	case bytes.ContainsAny(v.raw, ".eE"):
		return 0, v.fail("not an integer: a fraction or an exponent")
	default:
		return 0, v.fail("integer out of range")
	}
}

// Seconds returns an integer from 0 to 2^53-1, the range on which all JSON parsers agree (RFC 7493
// section 2.2). It is for a lifetime; see NumericDate for a moment.
func (v Value) Seconds() (int64, error) {
	n, err := v.Int()
	if err != nil {
		return 0, err
	}
	if n < 0 || n > 1<<53-1 {
		return 0, v.fail("integer out of range")
	}
	return n, nil
}

// maxFraction bounds the digits after the point of a NumericDate.
const maxFraction = 32

// NumericDate returns the seconds of a NumericDate (RFC 7519 section 2) from 0 to 2^53-1. A fraction,
// which the RFC allows, is rounded down. An exponent is refused, which no library of the field writes.
func (v Value) NumericDate() (int64, error) {
	if v.kind == KindString {
		return 0, v.fail("want a number of seconds, have a string: write it without quotes")
	}
	if v.kind != KindNumber {
		return 0, v.want("a number of seconds")
	}
	whole, fraction, _ := strings.Cut(v.text, ".")
	if strings.ContainsAny(v.text, "eE") {
		return 0, v.fail("want seconds in digits, have an exponent")
	}
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || whole[0] == '-' || n > 1<<53-1 || len(fraction) > maxFraction {
		return 0, v.fail("number of seconds out of range")
	}
	return n, nil
}

// Texts returns the elements of an array of strings.
func (v Value) Texts() ([]string, error) {
	texts := []string{}
	err := v.Elements(func(element Value) error {
		text, err := element.Text()
		texts = append(texts, text)
		return err
	})
	if err != nil {
		return nil, err
	}
	return texts, nil
}

// Elements calls visit for each element of an array in order. An error of visit ends the iteration
// and is returned unchanged.
func (v Value) Elements(visit func(Value) error) error {
	if v.kind != KindArray {
		return v.want("an array")
	}
	s := v.again()
	return s.array(1, visit)
}

// Members calls visit for each member of an object in order. An error of visit ends the iteration
// and is returned unchanged. Names and texts share the copy that Object made.
func (v Value) Members(visit func(name string, v Value) error) error {
	if v.kind != KindObject {
		return v.want("an object")
	}
	s := v.again()
	return s.object(1, visit)
}

// again returns a scanner for v, which was validated before.
func (v Value) again() scanner {
	return scanner{data: v.raw, text: v.text, base: v.offset, limits: Limits{Depth: math.MaxInt}, again: true}
}

// want returns the error for a value of another kind than expected.
func (v Value) want(kind string) error {
	return v.fail("want " + kind + ", have " + v.kind.String())
}

func (v Value) fail(what string) error {
	return &SyntaxError{Offset: v.offset, What: what}
}

// invalidUTF8 returns the offset of the first byte that is not UTF-8.
func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(data)
}
