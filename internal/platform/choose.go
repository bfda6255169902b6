package platform

import (
	"slices"
	"strings"

	"moneyer/oauth"
)

// Held says which credentials a client has.
type Held struct {
	ID, Secret, APIKey bool
	// Key signs assertions of the client, whose ID they name.
	Key bool
	// Assertion is made by somebody else, such as an identity provider, and names the
	// client by itself.
	Assertion bool
	// Certificate is shown in the TLS handshake (RFC 8705 §2).
	Certificate bool
}

// Choose returns the first grant, and the first of its sets of methods of client
// authentication, for which a client with those credentials has enough. grant and auth
// narrow the choice unless they are empty. auth is a set as its String writes it, in any
// order; it may have one method of mutual TLS more than a set of the profile, since an
// issuer may demand a certificate beside each of them. ok is false when nothing fits.
func (p *Policy) Choose(held Held, grant oauth.GrantType, auth oauth.ClientAuth) (chosen *Grant, set AuthSet, ok bool) {
	for i := range p.Grants {
		g := &p.Grants[i]
		if grant != "" && grant != g.Type {
			continue
		}
		for _, set := range g.ClientAuth {
			if set, ok := set.selected(auth); ok && g.enough(set, held) {
				return g, set, true
			}
		}
	}
	return nil, nil, false
}

// selected returns the set that auth selects, if that is this one, perhaps with a method of
// mutual TLS more.
func (s AuthSet) selected(auth oauth.ClientAuth) (AuthSet, bool) {
	if auth == "" {
		return s, true
	}
	var wanted AuthSet
	_ = wanted.UnmarshalText([]byte(auth)) // which has no errors
	return wanted, s.equal(wanted) || s.equal(wanted.withoutTLS())
}

// enough reports whether a client with those credentials can ask for the grant with all
// members of the set.
func (g *Grant) enough(set AuthSet, held Held) bool {
	isAssertion, signs := g.Type == oauth.JWTBearer, held.ID && held.Key
	if isAssertion && !signs && !held.Assertion || !isAssertion && len(set) == 0 {
		return false
	}
	return !slices.ContainsFunc(set, func(auth oauth.ClientAuth) bool {
		switch auth {
		case oauth.AuthPrivateKeyJWT: // an assertion that is the grant is not used twice
			return !signs && (isAssertion || !held.Assertion)
		case oauth.AuthBasic, oauth.AuthPost:
			return !held.ID || !held.Secret
		case oauth.AuthAPIKey:
			return !held.APIKey
		case oauth.AuthTLS, oauth.AuthSelfSignedTLS:
			return !held.Certificate || !held.ID && !isAssertion && len(set) == 1
		default:
			return true
		}
	})
}

// Names are the words of a caller for what Held has, such as flags or settings.
type Names struct{ ID, Secret, APIKey, Key, Certificate []string }

// Needs lists in those words what a client needs for the grant with a set, such as
// "client, key_file and kid".
func (g *Grant) Needs(set AuthSet, n Names) string {
	secret, signs := set.Has(oauth.AuthBasic) || set.Has(oauth.AuthPost), g.Type == oauth.JWTBearer || set.Has(oauth.AuthPrivateKeyJWT)
	certificate := set.TLSMethod() != ""
	var words []string
	need := func(needed bool, names []string) {
		if needed {
			words = append(words, names...)
		}
	}
	need(secret || signs || certificate && len(set) == 1, n.ID)
	need(secret, n.Secret)
	need(set.Has(oauth.AuthAPIKey), n.APIKey)
	need(signs, n.Key)
	need(certificate, n.Certificate)
	if last := len(words) - 1; last > 0 {
		return strings.Join(words[:last], ", ") + " and " + words[last]
	}
	return strings.Join(words, "")
}

// Needs lists the ways in which clients of the profile ask, each once.
func (p *Policy) Needs(n Names) []string {
	var ways []string
	for i := range p.Grants {
		for _, set := range p.Grants[i].ClientAuth {
			if way := p.Grants[i].Needs(set, n); !slices.Contains(ways, way) {
				ways = append(ways, way)
			}
		}
	}
	return ways
}

// withoutTLS returns the other members.
func (s AuthSet) withoutTLS() AuthSet {
	method := s.TLSMethod()
	return slices.DeleteFunc(slices.Clone(s), func(auth oauth.ClientAuth) bool { return auth == method })
}
