package tokensource

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"unicode"
)

const maxExamined = 8 << 10 // bytes of a body that are looked at for an excerpt

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
	bearers = regexp.MustCompile(`(?i)("[\w.-]*(?:token|secret|assertion|password)"\s*:\s*)"(?:[^"\\]|\\.)*"?|\b(\w*(?:token|secret|assertion|password)=)[^&\s"]+|\beyJ[\w-]{5,}\.[\w.-]+`)
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
