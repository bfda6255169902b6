package tokensource

import (
	"bytes"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
	"unicode"
)

const (
	maxExamined = 8 << 10 // bytes of a body that are looked at for an excerpt
	// minWithheld is the length in bytes of the shortest secret that is removed from a text. A shorter
	// one may be part of a word by chance.
	minWithheld = 8
	// partWithheld is how many bytes of a longer secret in a row give it away.
	partWithheld = 16
)

// withheld stands for what was removed.
const withheld = "[withheld]"

// excerpt returns what a body says, for a log: JSON without blanks between its members, a web page
// without its tags. What was sent and what looks like a token is removed, then the text is cut.
func (p *plan) excerpt(body []byte) string {
	body = body[:min(len(body), maxExamined)]
	var compact bytes.Buffer
	switch {
	case json.Compact(&compact, body) == nil:
		body = compact.Bytes()
	case bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")):
		body = markup.ReplaceAll(body, []byte(" "))
	}
	return p.sanitize(string(body))
}

var (
	// markup is a tag, or an element that is not for readers.
	markup = regexp.MustCompile(`(?is)<(script|style)\b.*?</(script|style)>|<[^>]*>`)
	// bearers are members of an answer that hold a token or a secret, as JSON or as a form, and JWTs.
	bearers = regexp.MustCompile(`(?i)("[\w.-]*(?:token|secret|assertion|password)"\s*:\s*)"[^"]*"|\b(\w*(?:token|secret|assertion|password)=)[^&\s"]+|\beyJ[\w-]{5,}\.[\w.-]+`)
	// words are the pieces of a text in which a secret could be quoted.
	words = regexp.MustCompile(`[\w.~+/=%-]{8,}`)
)

// sanitize removes secrets from a server's text, then what is not printable, and cuts it.
func (p *plan) sanitize(text string) string {
	text = p.withhold(text[:min(len(text), maxExamined)])
	text = strings.Join(strings.Fields(text), " ")
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, text)
	if len(text) > maxDescription {
		text = strings.ToValidUTF8(text[:maxDescription], "") + " ..."
	}
	return text
}

// withhold removes from what a server answers what was sent, or a part of it: some quote the
// request. It also removes what looks like a token.
func (p *plan) withhold(text string) string {
	for _, secret := range p.sent {
		text = strings.ReplaceAll(text, secret, withheld)
	}
	text = bearers.ReplaceAllStringFunc(text, func(found string) string {
		groups := bearers.FindStringSubmatch(found)
		return groups[1] + groups[2] + withheld
	})
	return words.ReplaceAllStringFunc(text, func(word string) string {
		for _, secret := range p.sent {
			if sharePart(word, secret) {
				return withheld
			}
		}
		return word
	})
}

// sharePart reports whether partWithheld bytes in a row of a secret stand in a word.
func sharePart(word, secret string) bool {
	for i := 0; i+partWithheld <= len(word); i++ {
		if strings.Contains(secret, word[i:i+partWithheld]) {
			return true
		}
	}
	return false
}

// remember notes what a request holds that no log may show, as it stands on the wire too.
func (p *plan) remember(secrets ...string) {
	p.sent = p.sent[:0]
	for _, secret := range secrets {
		if len(secret) < minWithheld {
			continue
		}
		p.sent = append(p.sent, secret)
		if escaped := url.QueryEscape(secret); escaped != secret {
			p.sent = append(p.sent, escaped)
		}
	}
}
