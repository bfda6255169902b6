package platform

import (
	"slices"
	"unicode/utf8"
)

// Fault is why a parameter cannot hold a value; "" is for no reason.
type Fault string

// The faults.
const (
	WrongCount Fault = "wrong count" // no value, more than MaxItems, or several where Type is no list
	Empty      Fault = "empty"
	Repeated   Fault = "repeated"
	TooLong    Fault = "too long"    // over MaxLength
	BadChars   Fault = "bad chars"   // a character that is not among Chars
	UnknownOne Fault = "unknown one" // none of OneOf
)

// Fault holds values, one or the items of a list, to what the parameter may hold.
// The caller words the message for its readers.
func (p *Param) Fault(values ...string) Fault {
	if len(values) == 0 || len(values) > 1 && (p.Type != TypeStrings || len(values) > p.MaxItems) {
		return WrongCount
	}
	for i, value := range values {
		switch {
		case value == "":
			return Empty
		case slices.Contains(values[:i], value):
			return Repeated
		case len(value) > p.MaxLength && utf8.RuneCountInString(value) > p.MaxLength:
			return TooLong
		case !p.Chars.Allow(value):
			return BadChars
		case len(p.OneOf) > 0 && !slices.Contains(p.OneOf, value):
			return UnknownOne
		}
	}
	return ""
}
