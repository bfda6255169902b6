package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/evidence"
	"moneyer/internal/overload"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/internal/strictjson"
	"moneyer/oauth"
)

// rfc6750 is the style of a refusal where a token is checked: the status and
// WWW-Authenticate say it all. No profile has it.
const rfc6750 platform.ErrorStyle = "rfc6750"

// answer is how a refusal looks on the wire.
type answer struct {
	// status, unless the profile has another, and the error code of RFC 6749 §5.2 that
	// stands for ours.
	status int
	code   oauth.Code
	// check is the status where a token is checked (RFC 6750 §3.1). Proxies know 401
	// and 403; with any other they let nobody through either.
	check int
}

// answers is the one table that gives a refusal its status.
var answers = map[oauth.Code]answer{
	oauth.InvalidRequest:         {http.StatusBadRequest, oauth.InvalidRequest, http.StatusBadRequest},
	oauth.InvalidClient:          {http.StatusUnauthorized, oauth.InvalidClient, http.StatusUnauthorized},
	oauth.InvalidGrant:           {http.StatusBadRequest, oauth.InvalidGrant, http.StatusUnauthorized},
	oauth.UnauthorizedClient:     {http.StatusBadRequest, oauth.UnauthorizedClient, http.StatusUnauthorized},
	oauth.UnsupportedGrantType:   {http.StatusBadRequest, oauth.UnsupportedGrantType, http.StatusUnauthorized},
	oauth.InvalidScope:           {http.StatusBadRequest, oauth.InvalidScope, http.StatusUnauthorized},
	oauth.NotFound:               {http.StatusNotFound, oauth.InvalidRequest, http.StatusUnauthorized},
	oauth.MethodNotAllowed:       {http.StatusMethodNotAllowed, oauth.InvalidRequest, http.StatusUnauthorized},
	oauth.TooLarge:               {http.StatusRequestEntityTooLarge, oauth.InvalidRequest, http.StatusUnauthorized},
	oauth.UnsupportedMediaType:   {http.StatusUnsupportedMediaType, oauth.InvalidRequest, http.StatusUnauthorized},
	oauth.RateLimited:            {http.StatusTooManyRequests, oauth.TemporarilyUnavailable, http.StatusServiceUnavailable},
	oauth.TemporarilyUnavailable: {http.StatusServiceUnavailable, oauth.TemporarilyUnavailable, http.StatusServiceUnavailable},
	oauth.ServerError:            {http.StatusInternalServerError, oauth.ServerError, http.StatusInternalServerError},
	oauth.InvalidToken:           {http.StatusInternalServerError, oauth.ServerError, http.StatusUnauthorized},
	oauth.InsufficientScope:      {http.StatusInternalServerError, oauth.ServerError, http.StatusForbidden},
}

// fail is the only place that turns an error into HTTP. The caller learns the
// code and the description; the log learns all.
func (c *call) fail(err error) {
	refusal := oauth.AsError(err)
	c.decided(refusal.Code)
	out, known := answers[refusal.Code]
	if !known {
		out = answers[oauth.ServerError]
	}
	status, ok := c.wire.Status[refusal.Code]
	switch {
	case c.wire.Errors == rfc6750:
		status = out.check
	case !ok:
		status = out.status
	}
	h := c.w.Header()
	h["Cache-Control"] = noStore
	if c.wire.Errors != rfc6750 {
		h["Pragma"] = noCache
	}
	if refusal.Code.Retryable() {
		h["Retry-After"] = retrySeconds(refusal.RetryAfter)
	}
	if refusal.Code == oauth.MethodNotAllowed {
		h.Set("Allow", c.wire.allow())
	}
	if challenge := c.challenge(status, refusal); challenge != "" {
		h.Set("WWW-Authenticate", challenge)
	}
	c.Refused.write(c.r.Context(), c.issuer.Name, c.correlation, c.Admission.Address(c.r), status, refusal, c.started)
	var body []byte
	if c.wire.Errors == platform.ErrorsRFC6749 {
		h["Content-Type"] = jsonType
		body = appendError(nil, out.code, refusal.Description)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body)
}

// allow lists the methods of an endpoint (RFC 9110 §10.2.1).
func (w *wire) allow() string {
	if w.takesGet {
		return "GET, HEAD, POST"
	}
	return http.MethodPost
}

// unavailable answers a request for what is published and cannot be had now.
func (e *endpoint) unavailable(w http.ResponseWriter, r *http.Request, cause error) {
	c := e.newCall(w, r)
	defer c.end()
	c.correlation = newCorrelation(&e.wire.Correlation)
	c.fail(tryAgain(cause))
}

// tryAgain is a failure of ours: the same request may succeed later.
func tryAgain(cause error) error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "try again shortly").After(time.Second).Because(cause)
}

// appendError writes the body of RFC 6749 §5.2.
func appendError(dst []byte, code oauth.Code, description string) []byte {
	dst = append(dst, `{"error":`...)
	dst = strictjson.AppendString(dst, string(code))
	if description != "" {
		dst = append(dst, `,"error_description":`...)
		dst = strictjson.AppendString(dst, description)
	}
	return append(dst, '}')
}

// challenge is the WWW-Authenticate of a refusal (RFC 9110 §11.6.1), or "" for none.
// At the endpoints of clients it answers an Authorization that is read there (RFC 6749
// §5.2).
func (c *call) challenge(status int, refusal *oauth.Error) string {
	wire := c.wire
	checks := wire.Errors == rfc6750
	if status >= http.StatusInternalServerError || !checks && (status != http.StatusUnauthorized || len(c.r.Header["Authorization"]) == 0) {
		return ""
	}
	realm := ` realm="` + c.issuer.Name + `"`
	switch {
	case checks:
		return string(oauth.TokenTypeBearer) + realm + c.tokenError(refusal)
	case wire.takesAPIKey && wire.apiKey == "Authorization" && wire.APIKey.Scheme != "":
		return wire.APIKey.Scheme + realm
	case wire.takesBasic:
		return "Basic" + realm
	}
	return ""
}

// tokenError says what is wrong with a token (RFC 6750 §3), and nothing where there
// is none.
func (c *call) tokenError(refusal *oauth.Error) string {
	switch {
	case refusal.Code == oauth.InsufficientScope:
		scope, _, _ := required(c.r.URL.RawQuery)
		return `, error="insufficient_scope", scope="` + quotable(scope) + `"`
	case refusal.Code == oauth.InvalidRequest:
		return `, error="invalid_request", error_description="` + refusal.Description + `"`
	case refusal.Description != "":
		return `, error="invalid_token", error_description="` + refusal.Description + `"`
	}
	return ""
}

// quotable keeps to what a quoted scope may hold (RFC 6750 §3).
func quotable(scope oauth.Scope) string {
	parsed, err := oauth.ParseScope(scope.String())
	if err != nil {
		return ""
	}
	return parsed.String()
}

// RefusalLog writes one line for each refusal within the budgets of overload.Refusals: a
// flood must not fill the log's disk. Each line says how many of its issuer were left
// out before it. Failures of ours have a budget of their own, so that refusals do not
// hide them, in which each cause is a key.
type RefusalLog struct {
	log           *slog.Logger
	refused, ours *overload.Refusals
}

// NewRefusalLog makes a log of refusals, with the rate of each budget.
func NewRefusalLog(log *slog.Logger, rate overload.Rate) *RefusalLog {
	return &RefusalLog{log: log, refused: overload.NewRefusals(rate), ours: overload.NewRefusals(rate)}
}

// dropped writes which words of a request the token does not have, because the platform ignores them.
func (l *RefusalLog) dropped(ctx context.Context, issuer, correlation string, token *authority.AccessToken, asked string) {
	if !l.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	scope, _ := oauth.ParseScope(asked) // it was read before
	unknown := slices.DeleteFunc(scope, token.Scope.Has)
	if len(unknown) == 0 {
		return
	}
	l.log.LogAttrs(ctx, slog.LevelDebug, "scope words dropped: the profile does not know them", slog.String("issuer", issuer),
		slog.String("correlation", correlation), slog.String("client", token.Client), slog.String("dropped", registry.Excerpt(unknown.String())))
}

func (l *RefusalLog) write(ctx context.Context, issuer, correlation string, address netip.Addr, status int, refusal *oauth.Error, at time.Time) {
	var rule *evidence.Refusal
	level, budgets, key := slog.LevelInfo, l.refused, ""
	if errors.As(refusal.Unwrap(), &rule) {
		key = rule.ProvenClient()
	}
	if status >= http.StatusInternalServerError {
		level, budgets, key = slog.LevelError, l.ours, causeOf(refusal)
	}
	if !budgets.Take(issuer, key, address, at) {
		return
	}
	attrs := []slog.Attr{
		slog.String("issuer", issuer), slog.String("correlation", correlation), slog.String("address", address.String()),
		slog.Int("status", status), slog.String("code", string(refusal.Code)), slog.String("description", refusal.Description),
	}
	if rule != nil {
		attrs = append(attrs, slog.String("client", rule.Client))
		if rule.Subject != "" {
			attrs = append(attrs, slog.String("subject", rule.Subject))
		}
		attrs = append(attrs, slog.String("rule", rule.Rule),
			slog.String("expected", rule.Expected), slog.String("found", rule.Found), slog.String("hint", rule.Hint))
	} else if cause := refusal.Unwrap(); cause != nil {
		attrs = append(attrs, slog.String("cause", cause.Error()))
	}
	if n := l.refused.Counted(issuer) + l.ours.Counted(issuer); n > 0 {
		attrs = append(attrs, slog.Int64("left_out", n))
	}
	l.log.LogAttrs(ctx, level, "token refused", attrs...)
}

// causeOf returns what a failure of ours comes from: its error, or else its code.
func causeOf(failure *oauth.Error) string {
	if err := failure.Unwrap(); err != nil {
		return err.Error()
	}
	return string(failure.Code)
}
