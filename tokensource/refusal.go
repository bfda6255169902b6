package tokensource

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"moneyer/internal/fetch"
	"moneyer/oauth"
)

const (
	maxCode        = 64
	maxDescription = 512
)

// refusal reads an answer that is not a token. The error has an *oauth.Error in its
// chain, with the platform's own words.
func (p *plan) refusal(resp *fetch.Answer, sent time.Time, skew time.Duration) *failure {
	status := resp.Status
	if status >= 300 && status < 400 {
		return &failure{err: fmt.Errorf("tokensource: %s answered %d, a redirect, which a credential does not follow", p.url.Host, status)}
	}
	refused := p.refused(status, resp.Body)
	failed := &failure{}
	switch status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout:
		failed.retry, failed.after = true, retryAfter(resp.Header, sent)
		refused = refused.After(failed.after)
	}
	failed.err = fmt.Errorf("tokensource: %s answered %d%s%s: %w", p.url.Host, status, p.reference(), p.hint(refused, skew), refused)
	return failed
}

// hint says that the clocks differ, when that may be why an assertion was refused.
func (p *plan) hint(refused *oauth.Error, skew time.Duration) string {
	if !p.signs() || skew.Abs() <= p.profile.Policy.Assertion.Leeway {
		return ""
	}
	if refused.Code != oauth.InvalidGrant && refused.Code != oauth.InvalidClient {
		return ""
	}
	if skew < 0 {
		return fmt.Sprintf("; our clock is %s ahead of the server's", -skew)
	}
	return fmt.Sprintf("; our clock is %s behind the server's", skew)
}

// statusError is the meaning of a status without a body.
func statusError(status int) *oauth.Error {
	code := oauth.ServerError
	switch status {
	case http.StatusUnauthorized:
		code = oauth.InvalidClient
	case http.StatusForbidden:
		code = oauth.UnauthorizedClient
	case http.StatusNotFound:
		code = oauth.NotFound
	case http.StatusMethodNotAllowed:
		code = oauth.MethodNotAllowed
	case http.StatusRequestEntityTooLarge:
		code = oauth.TooLarge
	case http.StatusUnsupportedMediaType:
		code = oauth.UnsupportedMediaType
	case http.StatusTooManyRequests:
		code = oauth.RateLimited
	case http.StatusServiceUnavailable:
		code = oauth.TemporarilyUnavailable
	default:
		if status < 500 {
			code = oauth.InvalidRequest
		}
	}
	return &oauth.Error{Code: code}
}

// refused is what a refusal says: error and error_description (RFC 6749 §5.2), or else the meaning of
// the status, with an excerpt of the body. A status that asks to try again has the meaning of that.
func (p *plan) refused(status int, body []byte) *oauth.Error {
	refused := statusError(status)
	members, _ := readMembers(body)
	code, ok := text(members["error"])
	if ok = ok && code != "" && len(code) <= maxCode && visible(code) && p.withhold(code) == code; !ok {
		refused.Inferred, refused.Description = true, p.excerpt(body)
		return refused
	}
	if !refused.Code.Retryable() {
		refused.Code = oauth.Code(code)
	}
	if description, _ := text(members["error_description"]); description != "" {
		refused.Description = p.sanitize(description)
	} else if len(members) > 1 {
		refused.Description = p.excerpt(body)
	}
	return refused
}

// retryAfter reads Retry-After, in seconds or as a date (RFC 9110 §10.2.3). A date
// counts from the server's Date, or from now when the answer has none.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second
	} else if errors.Is(err, strconv.ErrRange) {
		return maxLifetime
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if theirs, err := http.ParseTime(header.Get("Date")); err == nil {
		now = theirs
	}
	return max(0, date.Sub(now))
}

// text reads a JSON string.
func text(raw json.RawMessage) (string, bool) {
	var s *string
	if json.Unmarshal(raw, &s) != nil || s == nil {
		return "", false
	}
	return *s, true
}
