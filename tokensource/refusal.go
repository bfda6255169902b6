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
// chain: from the body (RFC 6749 §5.2), or else from the status alone.
func (p *plan) refusal(resp *fetch.Answer, sent time.Time, skew time.Duration) *failure {
	status := resp.Status
	if status >= 300 && status < 400 {
		return &failure{err: fmt.Errorf("tokensource: %s answered %d, a redirect, which a credential does not follow", p.url.Host, status)}
	}
	refused := statusError(status)
	if code, description := p.errorMembers(resp.Body); code != "" {
		if !refused.Code.Retryable() {
			refused.Code = oauth.Code(code)
		}
		refused = oauth.Errorf(refused.Code, "%s", description)
	}
	failed := &failure{retry: status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable}
	if failed.retry {
		failed.after = retryAfter(resp.Header, sent)
		refused = refused.After(failed.after)
	}
	failed.err = fmt.Errorf("tokensource: %s answered %d (correlation %s)%s: %w", p.url.Host, status, p.correlation, p.hint(refused, skew), refused)
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

// errorMembers reads error and error_description (RFC 6749 §5.2). Of the description it
// removes the secrets of the request, and then cuts it to a length that suits a log. code is
// empty when the body has none.
func (p *plan) errorMembers(body []byte) (code, description string) {
	members, err := readMembers(body)
	if err != nil {
		return "", ""
	}
	code, _ = text(members["error"])
	if len(code) > maxCode || !visible(code) {
		return "", ""
	}
	description, _ = text(members["error_description"])
	description = p.withhold(description)
	return code, description[:min(len(description), maxDescription)]
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
