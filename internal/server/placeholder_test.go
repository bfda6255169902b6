package server_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The placeholders of a transcript's requests:
//
//	{assert KEY CLAIM=… alg= kid= typ= head= more= by=KEY form= as=NAME}
//	    an assertion signed with a key of the setup. Without more said it is a good
//	    one: iss and sub are the key's client, aud is the issuer URL, exp is in five
//	    minutes. exp, iat and nbf are offsets such as +300, in milliseconds with ms
//	    behind; a value after := is JSON as it stands; - leaves a claim or header
//	    member out; head and more are JSON members to append; by signs with another
//	    key; form is one of forms below; as keeps it for {again NAME}.
//	{again NAME [form=]}  an assertion that was sent before, perhaps in another form
//	{token NAME [form=]}  the token of an answer that @ keep NAME stood before
//	{basic ID SECRET}     the base64 of Basic, form-encoded before as RFC 6749 wants
//	{basic-raw ID:SECRET} the base64 of what stands there
//	{fill N}              N times x
var placeholder = regexp.MustCompile(`\{(assert|again|token|basic|basic-raw|fill)( (?:[^}'"]|'[^']*'|"[^"]*")*)\}`)

// expand replaces the placeholders of one line.
func (r *run) expand(line string) string {
	return placeholder.ReplaceAllStringFunc(line, func(match string) string {
		parts := placeholder.FindStringSubmatch(match)
		f := splitFields(parts[2])
		switch parts[1] {
		case "assert":
			return r.assert(f)
		case "again", "token":
			kept, ok := r.kept[f.words[0]]
			if !ok {
				r.Fatalf("nothing was kept as %s", f.words[0])
			}
			return r.form(kept, f.take("form"))
		case "basic":
			return r.basic(url.QueryEscape(f.words[0]) + ":" + url.QueryEscape(f.words[1]))
		case "basic-raw":
			return r.basic(strings.TrimPrefix(parts[2], " "))
		}
		n, err := strconv.Atoi(f.words[0])
		must(r, err)
		return strings.Repeat("x", n)
	})
}

func (r *run) basic(pair string) string {
	encoded := base64.StdEncoding.EncodeToString([]byte(pair))
	r.hide(encoded)
	return encoded
}

// assert makes the assertion that a placeholder describes.
func (r *run) assert(f *fields) string {
	key := r.key(f.words[0])
	signer := key
	if by := f.take("by"); by != "" {
		signer = r.key(by)
	}
	form, as := f.take("form"), f.take("as")
	head := r.object(f, map[string]string{"alg": key.alg, "kid": key.kid}, "alg", "typ", "kid")
	head = appendMember(head, f.take("head"))
	claims := r.object(f, map[string]string{"iss": key.client, "sub": key.client, "aud": key.issuer.URL, "exp": "+300"},
		"iss", "sub", "aud", "exp", "iat", "nbf", "jti")
	claims = appendMember(claims, f.take("more"))
	if len(f.named) > 0 || len(f.words) > 1 {
		r.Fatalf("{assert} knows nothing of %v %v", f.named, f.words[1:])
	}
	input := segment(head) + "." + segment(claims)
	signature, err := sign(signer.private, signer.alg, input)
	must(r, err)
	compact := input + "." + segment(string(signature))
	if as != "" {
		r.kept[as] = compact
	}
	compact = r.form(compact, form)
	r.hide(compact)
	return compact
}

func (r *run) key(kid string) *clientKey {
	key := r.server.setup.keys[kid]
	if key == nil {
		r.Fatalf("the setup has no key %q", kid)
	}
	return key
}

// object writes the JSON object of those names that f or the defaults have.
func (r *run) object(f *fields, defaults map[string]string, names ...string) string {
	values := maps.Clone(defaults)
	raw := map[string]string{}
	for _, name := range names {
		if _, ok := f.named[name+":"]; ok {
			raw[name] = f.take(name + ":")
		} else if _, ok := f.named[name]; ok {
			values[name] = f.take(name)
		}
	}
	var members []string
	for _, name := range names {
		value, ok := raw[name]
		if !ok {
			if value = values[name]; value == "-" || value == "" {
				continue
			}
			if name == "exp" || name == "iat" || name == "nbf" {
				value = r.numericDate(value)
			} else {
				value = quoteJSON(value)
			}
		}
		members = append(members, quoteJSON(name)+":"+value)
	}
	return "{" + strings.Join(members, ",") + "}"
}

// numericDate turns an offset into a NumericDate.
func (r *run) numericDate(offset string) string {
	text, milliseconds := strings.CutSuffix(offset, "ms")
	seconds, err := strconv.ParseInt(text, 10, 64)
	must(r, err)
	at := r.server.Now().Add(time.Duration(seconds) * time.Second)
	if milliseconds {
		return strconv.FormatInt(at.UnixMilli(), 10)
	}
	return strconv.FormatInt(at.Unix(), 10)
}

func quoteJSON(s string) string {
	text, _ := json.Marshal(s) // a string always marshals
	return string(text)
}

// appendMember puts more JSON members, as they stand, before the closing brace.
func appendMember(object, more string) string {
	if more == "" {
		return object
	}
	return strings.TrimSuffix(object, "}") + "," + more + "}"
}

func segment(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// sign is written without the packages under test: it is what partners' own
// libraries do.
func sign(key crypto.Signer, alg, input string) ([]byte, error) {
	digest := sha256.Sum256([]byte(input))
	switch alg {
	case "ES256":
		private, ok := key.(*ecdsa.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("%T is no key for ES256", key)
		}
		x, y, err := ecdsa.Sign(rand.Reader, private, digest[:])
		if err != nil {
			return nil, err
		}
		return append(x.FillBytes(make([]byte, 32)), y.FillBytes(make([]byte, 32))...), nil
	case "EdDSA":
		return key.Sign(nil, []byte(input), &ed25519.Options{})
	case "PS256":
		return key.Sign(rand.Reader, digest[:], &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256})
	}
	return key.Sign(rand.Reader, digest[:], crypto.SHA256)
}

// form spells an assertion in a way that is wrong, or is the other right one.
func (r *run) form(compact, form string) string {
	if form == "" {
		return compact
	}
	parts := strings.Split(compact, ".")
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	must(r, err)
	spell, ok := forms[form]
	if !ok {
		r.Fatalf("there is no form %q", form)
	}
	return spell(parts[0], parts[1], signature)
}

var forms = map[string]func(head, claims string, signature []byte) string{
	// der is the signature as openssl and many libraries return it.
	"der": func(head, claims string, signature []byte) string {
		der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])})
		if err != nil {
			panic(err)
		}
		return head + "." + claims + "." + segment(string(der))
	},
	// twin is the other signature (r, n-s), which anybody can make of a good one.
	"twin": func(head, claims string, signature []byte) string {
		s := new(big.Int).SetBytes(signature[32:])
		s.Sub(elliptic.P256().Params().N, s).FillBytes(signature[32:])
		return head + "." + claims + "." + segment(string(signature))
	},
	"unsigned": func(head, claims string, _ []byte) string { return head + "." + claims + "." },
	"altered": func(head, claims string, signature []byte) string {
		signature[7] ^= 1
		return head + "." + claims + "." + segment(string(signature))
	},
	"short": func(head, claims string, signature []byte) string {
		return head + "." + claims + "." + segment(string(signature[:63]))
	},
	"padded": func(head, claims string, signature []byte) string {
		return head + "." + claims + "." + base64.URLEncoding.EncodeToString(signature)
	},
	"newline": func(head, claims string, signature []byte) string {
		return head + "." + claims + "." + segment(string(signature)) + "%0A"
	},
	"two-parts": func(head, claims string, _ []byte) string { return head + "." + claims },
	"five-parts": func(head, claims string, signature []byte) string {
		return head + "." + claims + "." + segment(string(signature)) + "..AAAA"
	},
	"json": func(head, claims string, signature []byte) string {
		return url.QueryEscape(`{"protected":"` + head + `","payload":"` + claims + `","signature":"` + segment(string(signature)) + `"}`)
	},
	"bearer": func(head, claims string, signature []byte) string {
		return "Bearer+" + head + "." + claims + "." + segment(string(signature))
	},
}
