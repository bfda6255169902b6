package tokensource

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"unicode"
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
	bearers = regexp.MustCompile(`(?i)"[\w.-]*(?:token|secret|assertion|password)"\s*:\s*"((?:[^"\\]|\\.)*)|\b\w*(?:token|secret|assertion|password)=([^&\s"]+)|\b(eyJ[\w-]{5,}\.[\w.-]+)`)
)

// sanitize removes secrets from a server's text, then what is not printable, and cuts it.
func (p *plan) sanitize(text string) string {
	text = p.withhold(strings.Join(strings.Fields(text), " ")) // before the cut, which may leave a part of a secret
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

// clean is an error whose text may quote a server, without what sanitize removes.
func (p *plan) clean(err error) error {
	if text := p.sanitize(err.Error()); text != err.Error() {
		return errors.New(text)
	}
	return err
}
