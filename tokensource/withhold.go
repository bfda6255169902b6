package tokensource

import (
	"encoding/base64"
	"encoding/json"
	"html"
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
	// maxExamined is how many bytes of a text are looked at: far more than are shown.
	maxExamined = 4 << 10
	// maxRest is how many bytes of the end of a longer text are not shown: a part of a secret could stand there
	// that is too short to be found, in three levels of escapes.
	maxRest = 512
	// maxNested is how many levels of escapes are undone, one after the other: a form in JSON in JSON.
	maxNested = 3
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

// withhold removes from what a server answers what was sent, or a part of it: some quote the
// request, as it is or encoded. It also removes what looks like a token, and what follows maxExamined
// bytes: a server could make the rest take seconds.
func (p *plan) withhold(text string) string {
	cut := len(text) > maxExamined
	text = text[:min(len(text), maxExamined)]
	h := hider{hidden: make([]bool, len(text))}
	for _, secret := range p.sent {
		h.sent = append(h.sent, partsOf(secret))
	}
	v := view{text: text}
	for range maxNested + 1 {
		h.hide(v)
		if strings.Contains(v.text, "+") { // a blank in a form
			h.hide(view{strings.ReplaceAll(v.text, "+", " "), v.at})
		}
		next := v.unescape()
		if next.text == v.text {
			break
		}
		v = next
	}
	if cut {
		h.mark(view{text: text}, len(text)-maxRest, len(text))
	}
	return h.rest(text)
}

// parts are all parts of a secret that have a certain length, in lower case.
type parts struct {
	size int
	of   map[string]bool
}

// partsOf returns the parts of a secret that give it away.
func partsOf(secret string) parts {
	secret = lower(secret)
	p := parts{size: min(max(len(secret)/2, minPart), maxPart), of: map[string]bool{}}
	for i := 0; i+p.size <= len(secret); i++ {
		p.of[secret[i:i+p.size]] = true
	}
	return p
}

// lower returns a text in lower case, of the same length.
func lower(text string) string {
	small := []byte(text)
	for i, c := range small {
		if 'A' <= c && c <= 'Z' {
			small[i] = c + 'a' - 'A'
		}
	}
	return string(small)
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

// escapes are those of JSON, of a form and of HTML.
var escapes = regexp.MustCompile(`(?:\\u[0-9A-Fa-f]{4})+|\\x[0-9A-Fa-f]{2}|\\[^ux]|%[0-9A-Fa-f]{2}|&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,8});`)

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
	switch {
	case escape[0] == '&':
		return html.UnescapeString(escape)
	case escape[0] == '%' || escape[1] == 'x':
		code, _ := strconv.ParseUint(escape[len(escape)-2:], 16, 8)
		return string([]byte{byte(code)})
	}
	if plain, ok := text(json.RawMessage(`"` + escape + `"`)); ok {
		return plain
	}
	return escape[1:]
}

// hider notes which bytes of a text are not shown.
type hider struct {
	sent   []parts
	hidden []bool
}

// base64Run is what may be base64 of at least minWithheld bytes.
var base64Run = regexp.MustCompile(`[\w+/-]{11,}`)

// hide notes what a view shows of secrets and of tokens.
func (h *hider) hide(v view) {
	h.find(v.text, func(from, to int) { h.mark(v, from, to) })
	for _, run := range base64Run.FindAllStringIndex(v.text, -1) {
		if h.encoded(v.text[run[0]:run[1]]) {
			h.mark(v, run[0], run[1])
		}
	}
	for _, found := range bearers.FindAllStringSubmatchIndex(v.text, -1) {
		for i := 2; i < len(found); i += 2 {
			if found[i] >= 0 {
				h.mark(v, found[i], found[i+1])
			}
		}
	}
}

// find calls found for each part of a secret in a text.
func (h *hider) find(text string, found func(from, to int)) {
	text = lower(text)
	for _, secret := range h.sent {
		for i := 0; i+secret.size <= len(text); i++ {
			if secret.of[text[i:i+secret.size]] {
				found(i, i+secret.size)
			}
		}
	}
}

var toURL = strings.NewReplacer("+", "-", "/", "_")

// encoded reports whether a text is base64 of what has a part of a secret, as it is or with escapes.
// Base64 that was cut at its start is read from each of four places.
func (h *hider) encoded(run string) (yes bool) {
	run = toURL.Replace(run)
	for start := range 4 {
		cut := run[start:]
		if len(cut)%4 == 1 {
			cut = cut[:len(cut)-1]
		}
		decoded, err := base64.RawURLEncoding.DecodeString(cut)
		if err != nil {
			continue
		}
		v := view{text: string(decoded)}
		for range maxNested {
			h.find(v.text, func(int, int) { yes = true })
			v = v.unescape()
		}
	}
	return yes
}

func (h *hider) mark(v view, from, to int) {
	for i := v.origin(from); i < v.origin(to); i++ {
		h.hidden[i] = true
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
