package tokensource

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"moneyer/internal/deadline"
	"moneyer/internal/fetch"
	"moneyer/internal/platform"
	"moneyer/oauth"
)

// read turns an answer into a token or a failure (RFC 6749 §5). Platforms serve JSON as text/html, and
// refuse with status 200.
func (p *plan) read(resp *fetch.Answer, sent time.Time, skew time.Duration) (*Token, *failure) {
	if resp.Status < 200 || resp.Status > 299 {
		return nil, p.refusal(resp, sent, skew)
	}
	wrong := func(err error) *failure {
		return &failure{err: fmt.Errorf("tokensource: the answer of %s%s: %w", p.url.Host, p.reference(), err)}
	}
	members, err := readMembers(resp.Body)
	if err != nil {
		if isHTML(resp.Header.Get("Content-Type"), resp.Body) {
			err = errors.New("a web page, not a token: is this the token endpoint?")
		}
		return nil, wrong(withExcerpt(p.clean(err), p.excerpt(resp.Body)))
	}
	a := &answer{members: members, wire: &p.profile.Wire}
	if a.refuses() {
		return nil, wrong(p.refused(a.status(), resp.Body))
	}
	token, err := a.token(sent, p.profile.Policy.Token.Lifetime)
	if errors.Is(err, errNoToken) {
		return nil, wrong(withExcerpt(err, p.excerpt(resp.Body)))
	}
	if err != nil {
		return nil, wrong(p.clean(err))
	}
	token.Correlation, token.Skew = p.correlation, skew
	if token.Scope == nil {
		token.Scope = p.scope
	}
	if deadline.Passed(token.Expiry, sent) {
		return nil, wrong(fmt.Errorf("the token ended at %s, before it came; the server's clock is %s ahead of ours", token.Expiry.UTC().Format(time.RFC3339), skew))
	}
	return token, nil
}

// withExcerpt adds what a body says.
func withExcerpt(err error, excerpt string) error {
	if excerpt == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, excerpt)
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
			return nil, fmt.Errorf("member %.200q is not JSON", name)
		}
		if _, twice := members[name]; twice {
			return nil, fmt.Errorf("member %.200q occurs twice", name)
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

var errNoToken = errors.New("no access token")

// answer is a successful answer under the names that its platform gives to the
// members.
type answer struct {
	members map[string]json.RawMessage
	wire    *platform.Wire
}

// refusing are members that an answer without a token has when it is a refusal.
var refusing = []string{
	"error", "errors", "Error", "ErrorCode", "errorCode", "error_code", "errorMessage", "error_message", "fault", "message",
	"responseCode", "responseMessage", "statusCode", "status_code", "code", "msg", "title", "detail", "success",
}

// nothing is how answers write that there is no error.
var nothing = []string{"", "null", `""`, "false", "0", `"0"`, "{}", "[]"}

// refuses reports whether an answer under a good status is a refusal: it has an error, or the code of one, or no
// access token, or an empty one, and words of a refusal. An error is believed even beside a token.
func (a *answer) refuses() bool {
	if !slices.Contains(nothing, string(a.members["error"])) || !slices.Contains(nothing, string(a.members["fault"])) {
		return true
	}
	if a.statusIn("responseCode", "statusCode", "status_code") != 0 {
		return true
	}
	token, _ := text(a.find(platform.FromAccessToken))
	return token == "" &&
		slices.ContainsFunc(refusing, func(name string) bool { return a.members[name] != nil })
}

// status is the HTTP status that a refusal under a good status speaks of: as a number, or as the
// first digits of a longer code.
func (a *answer) status() int {
	return cmp.Or(a.statusIn("status", "statusCode", "status_code", "responseCode", "code", "errorCode", "error_code"), http.StatusBadRequest)
}

// statusIn returns the first status of an error in some members; 0 for none.
func (a *answer) statusIn(names ...string) int {
	for _, name := range names {
		raw := a.members[name]
		digits, ok := text(raw)
		if !ok {
			digits = string(raw)
		}
		if status, err := strconv.Atoi(digits[:min(3, len(digits))]); err == nil && status >= 400 && status <= 599 {
			return status
		}
	}
	return 0
}

// names are the members in which a value may stand: the profile's own, or else the usual ones, but not
// those that the profile uses for another value.
func (a *answer) names(value platform.ResponseValue) []string {
	var own, usual []string
	taken := map[string]bool{}
	for _, member := range a.wire.Response {
		if member.From == value {
			own = append(own, member.Name)
		}
		taken[member.Name] = member.From != value
	}
	for _, name := range spellings[value] {
		if !taken[name] {
			usual = append(usual, name)
		}
	}
	return append(own, usual...)
}

// find returns a value of the answer; nil when it is absent or null.
func (a *answer) find(value platform.ResponseValue) json.RawMessage {
	for _, name := range a.names(value) {
		if raw := a.members[name]; raw != nil && string(raw) != "null" {
			return raw
		}
	}
	return nil
}

// drop removes a value that was read; what remains is Token.Extra.
func (a *answer) drop(value platform.ResponseValue) {
	for _, name := range a.names(value) {
		delete(a.members, name)
	}
}

// token reads the answer. lifetime is how long the platform's tokens are good. A member that only
// informs and that cannot be read is left in Extra: the token is good without it.
func (a *answer) token(sent time.Time, lifetime time.Duration) (*Token, error) {
	t := &Token{Type: oauth.TokenTypeBearer, obtained: sent}
	raw := a.find(platform.FromAccessToken)
	var ok bool
	if t.AccessToken, ok = text(raw); !ok || t.AccessToken == "" {
		return nil, errNoToken
	}
	if !visible(t.AccessToken) {
		return nil, errors.New("the access token holds characters that no header can carry")
	}
	a.drop(platform.FromAccessToken)
	if err := a.checkType(); err != nil {
		return nil, err
	}
	if t.Scope, ok = readScope(a.find(platform.FromScope)); ok {
		a.drop(platform.FromScope)
	}
	t.Expiry = sent.Add(min(a.life(t.AccessToken, sent, lifetime), maxLifetime)) // by both clocks, as sent is
	t.Extra = a.members
	return t, nil
}

// checkType refuses a token_type that is neither Bearer nor the profile's word for it. Some platforms
// leave it out, or empty.
func (a *answer) checkType() error {
	raw := a.find(platform.FromTokenType)
	kind, isText := text(raw)
	_, isBearer := oauth.ParseTokenType(kind)
	known := isText && (kind == "" || isBearer || strings.EqualFold(kind, a.wire.TokenType))
	if raw != nil && !known {
		understood := string(oauth.TokenTypeBearer)
		if a.wire.TokenType != understood {
			understood += " and " + a.wire.TokenType
		}
		return fmt.Errorf("token_type is %.200s; only %s is understood (a profile may say another in wire.token_type)", raw, understood)
	}
	a.drop(platform.FromTokenType)
	return nil
}

// readScope reads a scope as a string, or as an array of words. It is nil when there
// is none, and ok is false when it cannot be read.
func readScope(raw json.RawMessage) (scope oauth.Scope, ok bool) {
	if raw == nil {
		return nil, true
	}
	list, isText := text(raw)
	if !isText {
		var words []string
		if json.Unmarshal(raw, &words) != nil {
			return nil, false
		}
		list = strings.Join(words, " ")
	}
	scope, err := oauth.ParseScope(list)
	if err != nil {
		return nil, false
	}
	if scope == nil {
		scope = oauth.Scope{}
	}
	return scope, true
}

// life returns how long the token is good from sent on; see Token.Expiry. Where expires_in is 0 or
// less, platforms mean that the token does not expire, or nothing: it cannot be read either.
func (a *answer) life(token string, sent time.Time, lifetime time.Duration) time.Duration {
	if seconds, ok := number(a.find(platform.FromExpiresIn)); ok && seconds > 0 {
		a.drop(platform.FromExpiresIn)
		a.drop(platform.FromExpiresAt)
		return time.Duration(min(seconds, maxLifetime.Seconds()) * float64(time.Second))
	}
	if end, ok := instant(a.find(platform.FromExpiresAt)); ok {
		a.drop(platform.FromExpiresAt)
		return end.Sub(sent)
	}
	if exp, ok := jwtExpiry(token); ok {
		return exp.Sub(sent)
	}
	return cmp.Or(lifetime, defaultLifetime)
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
// zone, which means UTC. All may have fractions of a second. A blank instead of the T is no ISO 8601: such a
// text is in the platform's own zone, and read as UTC it could be hours after the end.
var layouts = []string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05"}

// instant reads a point in time: ISO 8601, or seconds since 1970 as a number or
// string, or milliseconds where seconds would lie beyond the year 5000. One that is 0 means none, as
// for life.
func instant(raw json.RawMessage) (time.Time, bool) {
	const millisecondsFrom, latest = 1e11, 1e14
	if seconds, ok := number(raw); ok {
		if seconds >= millisecondsFrom {
			seconds /= 1000
		}
		whole, fraction := math.Modf(min(seconds, latest))
		return time.Unix(int64(whole), int64(fraction*1e9)), seconds > 0
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
	return instant(members["exp"]) // by some libraries in milliseconds
}
