package platform

import (
	"fmt"
	"slices"
	"strings"
)

// Param finds the parameter with that name on the wire, by exact comparison.
func (w *Wire) Param(name string) *Param {
	for i := range w.Params {
		if w.Params[i].Name == name {
			return &w.Params[i]
		}
	}
	return nil
}

// Meaning finds the parameter with that meaning.
func (w *Wire) Meaning(m Meaning) *Param {
	for i := range w.Params {
		if w.Params[i].Means == m {
			return &w.Params[i]
		}
	}
	return nil
}

// Reads reports whether the endpoint takes that kind of body.
func (w *Wire) Reads(b Body) bool { return slices.Contains(w.Bodies, b) }

// Paths lists the endpoint's path and its aliases.
func (w *Wire) Paths() []string { return append([]string{w.Path}, w.Aliases...) }

// StatesLifetime reports whether an answer says when its token ends.
func (w *Wire) StatesLifetime() bool {
	return slices.ContainsFunc(w.Response, func(m Member) bool { return m.From == FromExpiresIn || m.From == FromExpiresAt })
}

// Requires reports whether an assertion must carry the claim.
func (a *Assertion) Requires(claim string) bool {
	return claim == "iss" || claim == "exp" || slices.Contains(a.Require, claim)
}

// Forbids reports whether an assertion must not carry the claim.
func (a *Assertion) Forbids(claim string) bool { return slices.Contains(a.Forbid, claim) }

// AsClientAuth returns the policy for client authentication: sub and aud must be there (RFC 7523 §3), also
// where the profile forbids them for grants. Its clients authenticate so to revoke and introspect.
func (a *Assertion) AsClientAuth() *Assertion {
	of := *a
	of.Forbid = slices.DeleteFunc(slices.Clone(a.Forbid), func(claim string) bool { return claim == "sub" || claim == "aud" })
	return &of
}

// Accepts reports whether an assertion's aud may name that kind of audience.
func (a *Assertion) Accepts(kind AudienceKind) bool { return slices.Contains(a.Audience, kind) }

// Claim finds a claim of the access token by name, or nil.
func (t *Token) Claim(name string) *Claim {
	for i := range t.Claims {
		if t.Claims[i].Name == name {
			return &t.Claims[i]
		}
	}
	return nil
}

// ClientAttribute gives the attribute in a source such as "client.roles".
func (s Source) ClientAttribute() (string, bool) {
	return strings.CutPrefix(string(s), clientAttribute)
}

// AccountAttribute gives the attribute in a source such as "account.region".
func (s Source) AccountAttribute() (string, bool) {
	return strings.CutPrefix(string(s), accountAttribute)
}

// Param gives the parameter's wire name in a source such as "param.tokens".
func (s Source) Param() (string, bool) { return strings.CutPrefix(string(s), paramValue) }

// ClientAttributes lists the claims that come from a client's attributes: what
// onboarding may register, and under which type.
func (t *Token) ClientAttributes() map[string]Claim { return t.attributes(Source.ClientAttribute) }

// AccountAttributes does the same for an account's.
func (t *Token) AccountAttributes() map[string]Claim { return t.attributes(Source.AccountAttribute) }

func (t *Token) attributes(of func(Source) (string, bool)) map[string]Claim {
	found := map[string]Claim{}
	for _, claim := range t.Claims {
		if name, ok := of(claim.From); ok {
			found[name] = claim
		}
	}
	return found
}

// Allow reports whether every character of s is in the set.
func (c Chars) Allow(s string) bool {
	if c != CharsURLSafe && c != CharsDigits && c != CharsVisible {
		return true // the set of all
	}
	for i := range len(s) {
		if !c.allowByte(s[i]) {
			return false
		}
	}
	return true
}

func (c Chars) allowByte(b byte) bool {
	digit := '0' <= b && b <= '9'
	switch c {
	case CharsURLSafe:
		return digit || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || b == '-' || b == '_'
	case CharsDigits:
		return digit
	default: // Visible
		return 0x20 <= b && b <= 0x7E
	}
}

// Length is the length for people, such as "exactly 11 characters".
func (i Identifier) Length() string {
	if i.MinLength == i.MaxLength {
		return fmt.Sprintf("exactly %d characters", i.MinLength)
	}
	return fmt.Sprintf("%d to %d characters", i.MinLength, i.MaxLength)
}

// String is the form for people, such as "exactly 11 characters (digits)".
func (i Identifier) String() string {
	if i.Chars == CharsAny {
		return i.Length()
	}
	return i.Length() + " (" + string(i.Chars) + ")"
}

// Accepts reports whether s has the identifier's form.
func (i Identifier) Accepts(s string) bool {
	return len(s) >= i.MinLength && len(s) <= i.MaxLength && i.Chars.Allow(s)
}
