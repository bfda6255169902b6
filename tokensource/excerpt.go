package tokensource

import (
	"bytes"
	"encoding/json"
	"errors"
	"html"
	"net/url"
	"regexp"
	"strings"
	"unicode"
)

const (
	// minWithheld is the length in bytes of the shortest secret that is removed from a text. A shorter
	// one may be part of a word by chance.
	minWithheld = 8
	// partWithheld is how many bytes of a longer secret in a row give it away.
	partWithheld = 16
	// maxEscaped is how often what is quoted may have been escaped: a form in JSON in JSON.
	maxEscaped = 3
)

// withheld stands for what was removed.
const withheld = "[withheld]"

// excerpt returns what a body says, for a log: JSON without blanks between its members, a web page
// without its tags. What was sent and what looks like a token is removed, then the text is cut.
func (p *plan) excerpt(body []byte) string {
	var compact bytes.Buffer
	switch {
	case json.Compact(&compact, body) == nil:
		body = compact.Bytes()
	case bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")):
		return p.sanitize(readable(string(body)))
	}
	return p.sanitize(string(body))
}

// readable returns a web page without its tags, and without elements that are not for readers. It
// reads the page once: a regular expression that looks for the end of an element anew from each
// beginning takes minutes for one that a server makes so.
func readable(page string) string {
	var text strings.Builder
	for {
		before, rest, found := strings.Cut(page, "<")
		text.WriteString(before + " ")
		if !found {
			return text.String()
		}
		page = rest
		if unread.MatchString(rest) {
			end := unreadEnd.FindStringIndex(rest)
			if end == nil {
				return text.String()
			}
			page = rest[end[0]+1:] // the end is a tag, too
		}
		_, page, _ = strings.Cut(page, ">")
	}
}

var (
	// unread begins an element that is not for readers, after its <, and unreadEnd ends one.
	unread    = regexp.MustCompile(`^(?i:script|style)\b`)
	unreadEnd = regexp.MustCompile(`</(?i:script|style)\b`)
	// bearers are members of an answer that hold a token or a secret, as JSON or as a form, and JWTs.
	bearers = regexp.MustCompile(`(?i)"[\w.-]*(?:token|secret|assertion|password)"\s*:\s*"((?:[^"\\]|\\.)*)"|\b\w*(?:token|secret|assertion|password)=([^&\s"]+)|\b(eyJ[\w-]{5,}\.[\w.-]+)`)
	// escapes are those of JSON, of a form and of HTML.
	escapes = regexp.MustCompile(`(?:\\u[0-9a-fA-F]{4})+|\\["\\/bfnrt]|%[0-9a-fA-F]{2}|&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z]{2,8});`)
)

// sanitize removes secrets from a server's text, then what is not printable, and cuts it.
func (p *plan) sanitize(text string) string {
	text = p.withhold(text) // before the cut, which may leave a part of a secret
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

// withhold removes from what a server answers what was sent, or a part of it, however it is escaped:
// some quote the request. It also removes what looks like a token.
func (p *plan) withhold(text string) string {
	h := hider{hidden: make([]bool, len(text))}
	windows := map[string]bool{}
	for _, secret := range p.sent {
		for i := range len(secret) - min(partWithheld, len(secret)) + 1 {
			windows[secret[i:i+min(partWithheld, len(secret))]] = true
		}
	}
	v := view{text: text}
	for range maxEscaped + 1 {
		h.hide(v, windows)
		if strings.Contains(v.text, "+") { // a blank in a form
			h.hide(view{strings.ReplaceAll(v.text, "+", " "), v.at}, windows)
		}
		next := v.unescape()
		if next.text == v.text {
			break
		}
		v = next
	}
	return h.rest(text)
}

// view is a text without some of its escapes.
type view struct {
	text string
	at   []int // where each byte begins in the text with all escapes, and where that ends; nil when it is that
}

// origin returns where a byte of v begins in the text with all escapes.
func (v view) origin(i int) int {
	if v.at == nil {
		return i
	}
	return v.at[i]
}

// unescape returns v with one level of escapes less.
func (v view) unescape() view {
	var text []byte
	var at []int
	keep := func(from, to int) {
		for ; from < to; from++ {
			text, at = append(text, v.text[from]), append(at, v.origin(from))
		}
	}
	done := 0
	for _, found := range escapes.FindAllStringIndex(v.text, -1) {
		keep(done, found[0])
		for _, b := range []byte(unescaped(v.text[found[0]:found[1]])) {
			text, at = append(text, b), append(at, v.origin(found[0]))
		}
		done = found[1]
	}
	keep(done, len(v.text))
	return view{string(text), append(at, v.origin(len(v.text)))}
}

// unescaped returns what an escape stands for.
func unescaped(escape string) string {
	switch escape[0] {
	case '\\':
		plain, _ := text(json.RawMessage(`"` + escape + `"`))
		return plain
	case '%':
		plain, _ := url.PathUnescape(escape)
		return plain
	default:
		return html.UnescapeString(escape)
	}
}

// hider notes which bytes of a text are not shown.
type hider struct{ hidden []bool }

// hide notes what a view shows of secrets, of which windows has every part that gives one away, and
// of tokens.
func (h *hider) hide(v view, windows map[string]bool) {
	lengths := map[int]bool{}
	for window := range windows {
		lengths[len(window)] = true
	}
	for length := range lengths {
		for i := 0; i+length <= len(v.text); i++ {
			if windows[v.text[i:i+length]] {
				h.mark(v.origin(i), v.origin(i+length))
			}
		}
	}
	for _, found := range bearers.FindAllStringSubmatchIndex(v.text, -1) {
		for i := 2; i < len(found); i += 2 {
			if found[i] >= 0 {
				h.mark(v.origin(found[i]), v.origin(found[i+1]))
			}
		}
	}
}

func (h *hider) mark(from, to int) {
	for ; from < to; from++ {
		h.hidden[from] = true
	}
}

// rest returns the text with each hidden part replaced.
func (h *hider) rest(text string) string {
	var rest strings.Builder
	for i := range len(text) {
		if !h.hidden[i] {
			rest.WriteByte(text[i])
		} else if i == 0 || !h.hidden[i-1] {
			rest.WriteString(withheld)
		}
	}
	return rest.String()
}

// clean is an error whose text may quote a server, without what sanitize removes.
func (p *plan) clean(err error) error {
	if text := p.sanitize(err.Error()); text != err.Error() {
		return errors.New(text)
	}
	return err
}

// remember notes what a request holds that no log may show.
func (p *plan) remember(secrets ...string) {
	p.sent = p.sent[:0]
	for _, secret := range secrets {
		if len(secret) >= minWithheld {
			p.sent = append(p.sent, secret)
		}
	}
}
