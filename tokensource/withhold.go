package tokensource

import (
	"encoding/base64"
	"encoding/json"
	"html"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

const (
	// minWithheld is the length in bytes of the shortest secret that is removed from a text. A shorter
	// one may be part of a word by chance.
	minWithheld = 8
	// Half of a secret in a row gives it away, or as many bytes of a long one.
	minPart, maxPart = 6, 16
	// maxNested is how many encodings are undone, one after the other: base64 of what is percent-encoded.
	maxNested = 2
)

// remember notes what a request holds that no log may show.
func (p *plan) remember(secrets ...string) {
	p.sent = p.sent[:0]
	for _, secret := range secrets {
		if len(secret) >= minWithheld {
			p.sent = append(p.sent, secret)
		}
	}
}

// words are the pieces of a text in which a secret could be quoted, in whatever encoding.
var words = regexp.MustCompile(`[^\s"<>]{8,}`)

// withhold removes from what a server answers what was sent, or a part of it: some quote the
// request, as it is or encoded. It also removes what looks like a token.
func (p *plan) withhold(text string) string {
	var sent []parts
	for _, secret := range p.sent {
		for _, form := range []string{secret, url.QueryEscape(secret), inJSON(secret)} {
			text = strings.ReplaceAll(text, form, withheld)
		}
		sent = append(sent, partsOf(secret))
	}
	text = bearers.ReplaceAllStringFunc(text, func(found string) string {
		groups := bearers.FindStringSubmatch(found)
		return groups[1] + groups[2] + withheld
	})
	return words.ReplaceAllStringFunc(text, func(word string) string {
		if quotes(word, sent, maxNested) {
			return withheld
		}
		return word
	})
}

// inJSON returns a text as it stands in a JSON string.
func inJSON(text string) string {
	quoted, _ := json.Marshal(text)
	return string(quoted[1 : len(quoted)-1])
}

// parts are all parts of a secret that have a certain length, in lower case.
type parts struct {
	size int
	of   map[string]bool
}

// partsOf returns the parts of a secret that give it away.
func partsOf(secret string) parts {
	secret = strings.ToLower(secret)
	p := parts{size: min(max(len(secret)/2, minPart), maxPart), of: map[string]bool{}}
	for i := 0; i+p.size <= len(secret); i++ {
		p.of[secret[i:i+p.size]] = true
	}
	return p
}

// in reports whether a text, in lower case, holds one of the parts.
func (p parts) in(text string) bool {
	for i := 0; i+p.size <= len(text); i++ {
		if p.of[text[i:i+p.size]] {
			return true
		}
	}
	return false
}

// quotes reports whether a word holds a part of a secret, also under as many encodings as nested says.
func quotes(word string, sent []parts, nested int) bool {
	lower := strings.ToLower(word)
	for _, secret := range sent {
		if secret.in(lower) {
			return true
		}
	}
	if nested == 0 {
		return false
	}
	for _, decoded := range decodings(word) {
		if decoded != word && quotes(decoded, sent, nested-1) {
			return true
		}
	}
	return false
}

var (
	escapes   = regexp.MustCompile(`\\(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[^ux])`)
	percents  = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
	base64Run = regexp.MustCompile(`[\w+/-]{11,}`)
	toURL     = strings.NewReplacer("+", "-", "/", "_")
)

// decodings returns what a word may stand for. Base64 that was cut at its start is read from each of four places.
func decodings(word string) []string {
	decoded := []string{
		html.UnescapeString(word),
		escapes.ReplaceAllStringFunc(word, func(escape string) string {
			code, err := strconv.ParseUint(escape[min(2, len(escape)):], 16, 16)
			if err != nil { // as in \/
				return escape[1:]
			}
			return string(rune(code))
		}),
		percents.ReplaceAllStringFunc(word, func(escape string) string {
			code, _ := strconv.ParseUint(escape[1:], 16, 8)
			return string([]byte{byte(code)})
		}),
	}
	for _, run := range base64Run.FindAllString(word, -1) {
		run = toURL.Replace(run)
		for start := range 4 {
			cut := run[start:]
			if len(cut)%4 == 1 {
				cut = cut[:len(cut)-1]
			}
			if text, err := base64.RawURLEncoding.DecodeString(cut); err == nil {
				decoded = append(decoded, string(text))
			}
		}
	}
	return decoded
}
