package platform

import (
	"slices"
	"strings"

	"moneyer/oauth"
)

// AuthSet is a set of methods of client authentication, all of which one request
// shows. In a profile it is written "client_secret_basic", or with several members
// "client_secret_basic + api_key"; "none" is the empty set, for a grant that
// authenticates the client.
type AuthSet []oauth.ClientAuth

// UnmarshalText reads a set. Which methods there are is for the check of the profile
// to say.
func (s *AuthSet) UnmarshalText(text []byte) error {
	*s = AuthSet{}
	if string(text) == string(oauth.AuthNone) {
		return nil
	}
	for member := range strings.SplitSeq(string(text), "+") {
		*s = append(*s, oauth.ClientAuth(strings.TrimSpace(member)))
	}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (s AuthSet) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String writes the set as a profile does.
func (s AuthSet) String() string {
	if len(s) == 0 {
		return string(oauth.AuthNone)
	}
	var members []string
	for _, auth := range s {
		members = append(members, string(auth))
	}
	return strings.Join(members, " + ")
}

// Has reports whether the method is a member of the set.
func (s AuthSet) Has(auth oauth.ClientAuth) bool { return slices.Contains(s, auth) }

// equal reports whether both sets have the same members, in any order.
func (s AuthSet) equal(other AuthSet) bool {
	return len(s) == len(other) && !slices.ContainsFunc(s, func(auth oauth.ClientAuth) bool { return !other.Has(auth) })
}

// TLSMethod is the member that is shown by a client certificate, or "".
func (s AuthSet) TLSMethod() oauth.ClientAuth {
	for _, auth := range s {
		if auth == oauth.AuthTLS || auth == oauth.AuthSelfSignedTLS {
			return auth
		}
	}
	return ""
}

// Grant finds the grant of a type; nil when the profile does not serve it.
func (p *Policy) Grant(t oauth.GrantType) *Grant {
	for i := range p.Grants {
		if p.Grants[i].Type == t {
			return &p.Grants[i]
		}
	}
	return nil
}

// UsesCertificates reports whether a certificate can authenticate a client, or bind a token.
func (p *Policy) UsesCertificates() bool {
	return p.Uses(oauth.AuthTLS) || p.Uses(oauth.AuthSelfSignedTLS) || p.Token.Claim("cnf") != nil
}

// DemandsCertificate reports whether an assertion is taken only beside a client certificate: as the
// grant, or as private_key_jwt.
func (p *Policy) DemandsCertificate(isGrant bool) bool {
	some := false
	for _, grant := range p.Grants {
		for _, set := range grant.ClientAuth {
			if isGrant != (grant.Type == oauth.JWTBearer) || !isGrant && !set.Has(oauth.AuthPrivateKeyJWT) {
				continue
			}
			if some = true; set.TLSMethod() == "" {
				return false
			}
		}
	}
	return some
}

// WithCertificate is the policy with each of its sets demanded together with one of the
// methods of mutual TLS. Sets that have one already stay as they are.
func (p Policy) WithCertificate(methods []oauth.ClientAuth) Policy {
	return p.withSets(func(set AuthSet) (sets []AuthSet) {
		if set.TLSMethod() != "" {
			return []AuthSet{set}
		}
		for _, method := range methods {
			sets = append(sets, append(slices.Clone(set), method))
		}
		return sets
	})
}

// Without is the policy without the sets that have one of those methods.
func (p Policy) Without(methods ...oauth.ClientAuth) Policy {
	return p.withSets(func(set AuthSet) []AuthSet {
		if slices.ContainsFunc(methods, set.Has) {
			return nil
		}
		return []AuthSet{set}
	})
}

// withSets is the policy with the sets that become makes of each of its own.
func (p Policy) withSets(become func(AuthSet) []AuthSet) Policy {
	p.Grants = slices.Clone(p.Grants)
	for i := range p.Grants {
		var sets []AuthSet
		for _, set := range p.Grants[i].ClientAuth {
			sets = append(sets, become(set)...)
		}
		p.Grants[i].ClientAuth = sets
	}
	return p
}

// AuthMethods lists the methods that are members of some set of some grant, each
// once, in the profile's order.
func (p *Policy) AuthMethods() []oauth.ClientAuth {
	var methods []oauth.ClientAuth
	for _, grant := range p.Grants {
		for _, set := range grant.ClientAuth {
			for _, auth := range set {
				if !slices.Contains(methods, auth) {
					methods = append(methods, auth)
				}
			}
		}
	}
	return methods
}

// MostCredentials is the size of the largest set, without a method of mutual TLS, and at least 1.
func (p *Policy) MostCredentials() int {
	most := 1
	for _, grant := range p.Grants {
		for _, set := range grant.ClientAuth {
			most = max(most, len(set.withoutTLS()))
		}
	}
	return most
}

// Uses reports whether clients of the profile authenticate by that method.
func (p *Policy) Uses(auth oauth.ClientAuth) bool { return slices.Contains(p.AuthMethods(), auth) }
