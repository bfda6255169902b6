package oauth

import (
	"slices"
	"strings"
)

// The bounds of a scope parameter, in octets and distinct words.
const (
	MaxScope      = 2048
	MaxScopeWords = 128
)

// Scope is an ordered set of scope tokens (RFC 6749 §3.3). The zero value is
// the empty scope.
type Scope []string

// ParseScope reads a space-delimited list (RFC 6749 §3.3) and keeps the first
// of words that come twice. A character outside %x21 / %x23-5B / %x5D-7E, or a
// list over MaxScope octets or MaxScopeWords words, is an error with code
// invalid_scope.
func ParseScope(s string) (Scope, error) {
	if len(s) > MaxScope {
		return nil, Errorf(InvalidScope, "scope is longer than %d octets", MaxScope)
	}
	var scope Scope
	for word := range strings.SplitSeq(s, " ") {
		if word == "" || slices.Contains(scope, word) {
			continue
		}
		if !validScopeToken(word) {
			return nil, Errorf(InvalidScope, "scope holds a character that RFC 6749 section 3.3 does not allow")
		}
		if len(scope) == MaxScopeWords {
			return nil, Errorf(InvalidScope, "scope has more than %d words", MaxScopeWords)
		}
		scope = append(scope, word)
	}
	return scope, nil
}

func validScopeToken(word string) bool {
	for i := range len(word) {
		if c := word[i]; c <= 0x20 || c == '"' || c == '\\' || c >= 0x7F {
			return false
		}
	}
	return true
}

// String gives the space-delimited form.
func (s Scope) String() string { return strings.Join(s, " ") }

// Has tells whether word is in the scope, by exact comparison.
func (s Scope) Has(word string) bool { return slices.Contains(s, word) }

// Missing returns the first word of s that allowed lacks, or "".
func (s Scope) Missing(allowed Scope) string {
	for _, word := range s {
		if !allowed.Has(word) {
			return word
		}
	}
	return ""
}
