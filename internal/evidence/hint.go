package evidence

import (
	"fmt"
	"strings"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/registry"
)

// formHint names the likely mistake in something that is not a compact JWS.
func formHint(compact string) string {
	lower := strings.ToLower(compact)
	switch dots := strings.Count(compact, "."); {
	case compact == "":
		return "it is empty: send the signed JWT"
	case strings.HasPrefix(lower, "bearer "):
		return "leave Bearer out: it belongs before an access token, in the Authorization header of an API call"
	case strings.HasPrefix(lower, "assertion="), strings.HasPrefix(lower, "client_assertion="):
		return "the parameter's name stands in its value: send what follows the first ="
	case strings.Contains(compact, "-----BEGIN"):
		return "this is a key, not a JWT signed by one: if it is a private key, make a new pair, since this one is no longer secret"
	case strings.HasPrefix(strings.TrimSpace(compact), "{"):
		return "this is JSON: send the compact form, header.payload.signature (RFC 7515 section 7.1)"
	case strings.ContainsAny(compact, "\"'"):
		return "leave the quotes out"
	case strings.ContainsAny(compact, " \t\r\n"):
		return "leave blanks and line breaks out (a file's last line ends in one)"
	case strings.Contains(compact, "%"):
		return "it is percent-encoded once too often: its characters need no encoding"
	case strings.Contains(compact, "="):
		return "leave the = out: base64url of a JWS has no padding (RFC 7515 section 2)"
	case strings.ContainsAny(compact, "+/"):
		return "encode in base64url: - for + and _ for / (RFC 7515 section 2)"
	case dots == 4:
		return "five parts are an encrypted JWT (JWE): sign only, TLS keeps it secret"
	case dots == 2 && strings.HasSuffix(compact, "."):
		return "there is no signature after the last dot: sign it, alg none is refused"
	case dots != 2:
		return "a signed JWT has three parts with a dot between them: was it cut, or is it another thing?"
	case len(compact) > jose.MaxLength:
		return "leave out what is not needed: an assertion takes a few hundred bytes"
	}
	return "let a JWT library write header and signature, with nothing in the header but alg, kid and typ"
}

// SignatureHint names the likely mistake behind a signature that does not verify.
func SignatureHint(j *jose.JWS) string {
	size := len(j.Signature)
	switch {
	case jose.LooksLikeDER(j.Signature):
		return "the signature is in DER, as openssl makes it: a JWS wants r and s as 64 plain bytes (RFC 7518 section 3.4)"
	case j.Header.Alg == string(jose.ES256) && size == 96:
		return "96 bytes are a P-384 signature: ES256 wants a P-256 key (openssl ecparam -name prime256v1)"
	case j.Header.Alg == string(jose.ES256) && size == 132:
		return "132 bytes are a P-521 signature: ES256 wants a P-256 key (openssl ecparam -name prime256v1)"
	}
	return "signed with another private key than the registered one: compare thumbprints (moneyer inspect KEYFILE)"
}

// trustedHint says how the tokens of the trusted issuers are known: for one of them that was meant, since
// nothing but its iss (or trust domain) tells it from what a client signs.
func trustedHint(i *registry.Issuer) string {
	var known []string
	for n, t := range i.Trusted {
		switch {
		case n == maxListed:
			return "; a token of a trusted issuer has exactly " + strings.Join(known, ", or ") + ", or ..."
		case t.Kind == registry.TrustedSPIFFE:
			known = append(known, "a sub of the trust domain "+Quote(t.TrustDomain)+" ("+t.Name+")")
		default:
			known = append(known, "the iss "+Quote(t.Issuer)+" ("+t.Name+")")
		}
	}
	if len(known) == 0 {
		return ""
	}
	return "; a token of a trusted issuer has exactly " + strings.Join(known, ", or ")
}

// kids lists the kids of a client for people.
func kids(c *registry.Client) string {
	if c == nil || len(c.Keys) == 0 && c.JWKSURI == "" {
		return "the client's keys (it has none)"
	}
	var kids []string
	for i := range c.Keys {
		kids = append(kids, Quote(c.Keys[i].Kid))
	}
	if c.JWKSURI != "" {
		kids = append(kids, "those at "+c.JWKSURI)
	}
	return strings.Join(kids, ", ")
}

// excerpts quotes names for people, and not all of a long list.
func excerpts(names []string) string {
	const most = 8
	var quoted []string
	for _, name := range names[:min(len(names), most)] {
		quoted = append(quoted, Quote(name))
	}
	if len(names) > most {
		quoted = append(quoted, fmt.Sprintf("and %d others", len(names)-most))
	}
	return strings.Join(quoted, ", ")
}

// Quote shows what a caller sent, for people.
func Quote(s string) string { return fmt.Sprintf("%q", registry.Excerpt(s)) }

// Stamp shows an instant, for people.
func Stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// maxPlausible is a NumericDate (the year 5138) beyond which a value must be
// meant in milliseconds.
const maxPlausible = 100_000_000_000

func millisecondHint(claim string, value int64) string {
	if value < maxPlausible {
		return ""
	}
	return claim + " looks like milliseconds: a NumericDate counts seconds (RFC 7519 section 2); divide by 1000"
}

// away shows a NumericDate with its distance from our clock.
func (p *Assertion) away(seconds int64) string {
	if seconds >= maxPlausible {
		return fmt.Sprint(seconds)
	}
	t := time.Unix(seconds, 0)
	distance := t.Sub(p.now).Round(time.Second)
	if distance < 0 {
		return fmt.Sprintf("%s (%s before our clock)", Stamp(t), -distance)
	}
	return fmt.Sprintf("%s (%s after our clock)", Stamp(t), distance)
}
