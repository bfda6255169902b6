package oauth

import (
	"slices"
	"strings"
)

// MaxScope is the length of the longest scope that ParseScope accepts, in bytes.
const MaxScope = 2048

// maxScopeWords is the most distinct words that a scope may have.
const maxScopeWords = 128

// Scope is an ordered set of scope tokens (RFC 6749 §3.3), called words here. The
// zero value is the empty scope.
type Scope []string

// ParseScope parses a space-delimited list of words (RFC 6749 §3.3). Of a word
// that occurs twice it keeps the first. The error is an *Error with InvalidScope:
// for a character outside %x21 / %x23-5B / %x5D-7E, for more than MaxScope bytes,
// or for more than 128 distinct words.
func ParseScope(s string) (Scope, error) {
	if len(s) > MaxScope {
		return nil, Errorf(InvalidScope, "scope is longer than %d bytes", MaxScope)
	}
	var scope Scope
	for word := range strings.SplitSeq(s, " ") {
		if word == "" || slices.Contains(scope, word) {
			continue
		}
		if !validScopeToken(word) {
			return nil, Errorf(InvalidScope, "scope holds a character that RFC 6749 section 3.3 does not allow")
		}
		if len(scope) == maxScopeWords {
			return nil, Errorf(InvalidScope, "scope has more than %d words", maxScopeWords)
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

// String returns the words with a space between them.
func (s Scope) String() string { return strings.Join(s, " ") }

// Has reports whether word is in the scope, by exact comparison.
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
