package tokensource

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"strconv"
	"strings"
	"time"

	"moneyer/internal/fetch"
	"moneyer/internal/platform"
	"moneyer/oauth"
)

// read turns an answer into a token or a failure (RFC 6749 §5).
func (p *plan) read(resp *fetch.Answer, sent time.Time, skew time.Duration) (*Token, *failure) {
	if resp.Status < 200 || resp.Status > 299 {
		return nil, p.refusal(resp, sent, skew)
	}
	wrong := func(err error) *failure {
		return &failure{err: fmt.Errorf("tokensource: the answer of %s (correlation %s): %w", p.url.Host, p.correlation, err)}
	}
	if isHTML(resp.Header.Get("Content-Type"), resp.Body) {
		return nil, wrong(errors.New("a web page, not a token: is this the token endpoint?"))
	}
	members, err := readMembers(resp.Body)
	if err != nil {
		return nil, wrong(err)
	}
	if code, description := p.errorMembers(resp.Body); code != "" { // a refusal under a good status
		return nil, wrong(oauth.Errorf(oauth.Code(code), "%s", description))
	}
	token, err := (&answer{members: members, wire: &p.profile.Wire}).token(sent)
	if err != nil {
		return nil, wrong(err)
	}
	token.Correlation, token.Skew = p.correlation, skew
	if token.Scope == nil {
		token.Scope = p.scope
	}
	if !token.Expiry.After(sent) {
		return nil, wrong(fmt.Errorf("the token ended at %s, before it came; the server's clock is %s ahead of ours", token.Expiry.UTC().Format(time.RFC3339), skew))
	}
	return token, nil
}

// isHTML reports whether an answer is a web page, such as a proxy's.
func isHTML(contentType string, body []byte) bool {
	mediaType, _, _ := mime.ParseMediaType(contentType)
	return mediaType == "text/html" || bytes.HasPrefix(bytes.TrimSpace(body), []byte("<"))
}

// readMembers reads one JSON object. No name may occur twice.
func readMembers(body []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))))
	if first, err := dec.Token(); err != nil || first != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	members := map[string]json.RawMessage{}
	for dec.More() {
		token, err := dec.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil, errors.New("not a JSON object")
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, fmt.Errorf("member %.40q is not JSON", name)
		}
		if _, twice := members[name]; twice {
			return nil, fmt.Errorf("member %.40q occurs twice", name)
		}
		members[name] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, errors.New("the JSON object does not end")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return members, nil
}

// spellings are the names under which a value is looked for when the profile's
// own is not there: the RFC's, and the same in camel case.
var spellings = map[platform.ResponseValue][]string{
	platform.FromAccessToken: {"access_token", "accessToken"},
	platform.FromTokenType:   {"token_type", "tokenType"},
	platform.FromExpiresIn:   {"expires_in", "expiresIn"},
	platform.FromExpiresAt:   {"expires_at", "expiresAt"},
	platform.FromScope:       {"scope"},
}

// answer is a successful answer under the names that its platform gives to the
// members.
type answer struct {
	members map[string]json.RawMessage
	wire    *platform.Wire
}

// take removes a value from the answer and returns it; nil when it is absent or
// null.
func (a *answer) take(value platform.ResponseValue) json.RawMessage {
	var names []string
	for _, member := range a.wire.Response {
		if member.From == value {
			names = append(names, member.Name)
		}
	}
	var found json.RawMessage
	for _, name := range append(names, spellings[value]...) {
		raw := a.members[name]
		delete(a.members, name)
		if found == nil && string(raw) != "null" {
			found = raw
		}
	}
	return found
}

// token reads the answer.
func (a *answer) token(sent time.Time) (*Token, error) {
	t := &Token{Type: oauth.TokenTypeBearer, obtained: sent}
	var ok bool
	raw := a.take(platform.FromAccessToken)
	if t.AccessToken, ok = text(raw); !ok || t.AccessToken == "" {
		return nil, errors.New("no access token")
	}
	if !visible(t.AccessToken) {
		return nil, errors.New("the access token holds characters that no header can carry")
	}
	if raw := a.take(platform.FromTokenType); raw != nil {
		kind, _ := text(raw)
		if t.Type, ok = oauth.ParseTokenType(kind); !ok {
			return nil, fmt.Errorf("token_type is %.40s; only Bearer is understood", raw)
		}
	}
	var err error
	if t.Scope, err = readScope(a.take(platform.FromScope)); err != nil {
		return nil, err
	}
	if t.Expiry, err = a.expiry(t.AccessToken, sent); err != nil {
		return nil, err
	}
	t.Extra = a.members
	return t, nil
}

// readScope reads a scope as a string, or as an array of words; nil when there
// is none.
func readScope(raw json.RawMessage) (oauth.Scope, error) {
	if raw == nil {
		return nil, nil
	}
	list, ok := text(raw)
	if !ok {
		var words []string
		if json.Unmarshal(raw, &words) != nil {
			return nil, errors.New("scope is not a string")
		}
		list = strings.Join(words, " ")
	}
	scope, err := oauth.ParseScope(list)
	if scope == nil {
		scope = oauth.Scope{}
	}
	return scope, err
}

// expiry returns when the token expires; see Token.Expiry.
func (a *answer) expiry(token string, sent time.Time) (time.Time, error) {
	in, at := a.take(platform.FromExpiresIn), a.take(platform.FromExpiresAt)
	if in != nil {
		seconds, ok := number(in)
		if !ok || seconds < 0 {
			return time.Time{}, fmt.Errorf("expires_in is %.40s, not a number of seconds", in)
		}
		return sent.Add(time.Duration(min(seconds, maxLifetime.Seconds()) * float64(time.Second))), nil
	}
	life := defaultLifetime
	if at != nil {
		end, ok := instant(at)
		if !ok {
			return time.Time{}, fmt.Errorf("expires_at is %.40s, not a time", at)
		}
		life = end.Sub(sent)
	} else if exp, ok := jwtExpiry(token); ok {
		life = exp.Sub(sent)
	}
	return sent.Add(min(life, maxLifetime)), nil // by both clocks, as sent is
}

// number reads a finite number, also out of a string.
func number(raw json.RawMessage) (float64, bool) {
	digits := string(raw)
	if s, ok := text(raw); ok {
		digits = strings.TrimSpace(s)
	}
	n, err := strconv.ParseFloat(digits, 64)
	return n, err == nil && !math.IsNaN(n) && !math.IsInf(n, 0)
}

// layouts of ISO 8601 that platforms use: RFC 3339, a zone without a colon, and no
// zone, which means UTC. All may have fractions of a second.
var layouts = []string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05"}

// instant reads a point in time: ISO 8601, or seconds since 1970 as a number or
// string, or milliseconds where seconds would lie beyond the year 5000.
func instant(raw json.RawMessage) (time.Time, bool) {
	const millisecondsFrom, latest = 1e11, 1e14
	if seconds, ok := number(raw); ok {
		if seconds >= millisecondsFrom {
			seconds /= 1000
		}
		whole, fraction := math.Modf(min(seconds, latest))
		return time.Unix(int64(whole), int64(fraction*1e9)), seconds >= 0
	}
	s, _ := text(raw)
	for _, layout := range layouts {
		if t, err := time.Parse(layout, strings.TrimSpace(s)); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// jwtExpiry reads exp of a token that is a JWT (RFC 7519 §4.1.4). It is not
// verified: it only says when to renew the token.
func jwtExpiry(token string) (time.Time, bool) {
	_, rest, _ := strings.Cut(token, ".")
	middle, _, ok := strings.Cut(rest, ".")
	payload, err := base64.RawURLEncoding.DecodeString(middle)
	if !ok || err != nil {
		return time.Time{}, false
	}
	members, err := readMembers(payload)
	if err != nil || members["exp"] == nil {
		return time.Time{}, false
	}
	seconds, ok := number(members["exp"])
	return time.Unix(int64(min(seconds, 1e11)), 0), ok && seconds >= 0
}
