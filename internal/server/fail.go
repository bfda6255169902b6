package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/limit"
	"moneyer/internal/platform"
	"moneyer/internal/strictjson"
	"moneyer/oauth"
)

// answer is how a refusal looks on the wire: the status, and the error code of
// RFC 6749 §5.2 that stands for ours.
type answer struct {
	status int
	code   oauth.Code
}

// answers is the one table that gives a refusal its status.
var answers = map[oauth.Code]answer{
	oauth.InvalidRequest:         {http.StatusBadRequest, oauth.InvalidRequest},
	oauth.InvalidClient:          {http.StatusUnauthorized, oauth.InvalidClient},
	oauth.InvalidGrant:           {http.StatusBadRequest, oauth.InvalidGrant},
	oauth.UnauthorizedClient:     {http.StatusBadRequest, oauth.UnauthorizedClient},
	oauth.UnsupportedGrantType:   {http.StatusBadRequest, oauth.UnsupportedGrantType},
	oauth.InvalidScope:           {http.StatusBadRequest, oauth.InvalidScope},
	oauth.NotFound:               {http.StatusNotFound, oauth.InvalidRequest},
	oauth.MethodNotAllowed:       {http.StatusMethodNotAllowed, oauth.InvalidRequest},
	oauth.TooLarge:               {http.StatusRequestEntityTooLarge, oauth.InvalidRequest},
	oauth.UnsupportedMediaType:   {http.StatusUnsupportedMediaType, oauth.InvalidRequest},
	oauth.RateLimited:            {http.StatusTooManyRequests, oauth.TemporarilyUnavailable},
	oauth.TemporarilyUnavailable: {http.StatusServiceUnavailable, oauth.TemporarilyUnavailable},
	oauth.ServerError:            {http.StatusInternalServerError, oauth.ServerError},
}

// fail is the only place that turns an error into HTTP. The caller learns the
// code and the description; the log learns all.
func (e *endpoint) fail(w http.ResponseWriter, r *http.Request, correlation string, err error, started time.Time) {
	refusal := oauth.AsError(err)
	out, known := answers[refusal.Code]
	if !known {
		out = answers[oauth.ServerError]
	}
	if status, ok := e.wire.Status[refusal.Code]; ok {
		out.status = status
	}
	h := w.Header()
	h["Cache-Control"] = noStore
	h["Pragma"] = noCache
	if refusal.Code.Retryable() {
		h["Retry-After"] = retrySeconds(refusal.RetryAfter)
	}
	if refusal.Code == oauth.MethodNotAllowed {
		h.Set("Allow", http.MethodPost)
	}
	if challenge := e.wire.challenge(); challenge != "" && out.status == http.StatusUnauthorized && len(r.Header["Authorization"]) > 0 {
		h.Set("WWW-Authenticate", challenge)
	}
	e.Refused.write(r.Context(), e.issuer.Name, correlation, func() string { return e.address(r).String() }, out.status, refusal, started)
	e.Observe(e.issuer.Name, e.name, refusal.Code, e.Now().Sub(started))
	if e.wire.Errors == platform.ErrorsStatusOnly {
		h.Set("Content-Length", "0")
		w.WriteHeader(out.status)
		return
	}
	h["Content-Type"] = jsonType
	body := appendError(nil, out.code, refusal.Description)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(out.status)
	_, _ = w.Write(body)
}

// tryAgain is trouble of ours: the same request may succeed later.
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

// challenge is the WWW-Authenticate of a refused Authorization (RFC 9110
// §11.6.1, RFC 6749 §5.2), or "" where nobody reads that header.
func (w *wire) challenge() string {
	switch {
	case w.takesAPIKey && w.apiKey == "Authorization" && w.APIKey.Scheme != "":
		return w.APIKey.Scheme + ` realm="` + w.realm + `"`
	case w.takesBasic:
		return `Basic realm="` + w.realm + `"`
	}
	return ""
}

// RefusalLog writes one line for each refusal, up to a rate; a flood must not
// fill the log's disk. A line tells how many were left out before it.
// Trouble of ours has a rate of its own, so that refusals do not hide it.
type RefusalLog struct {
	log           *slog.Logger
	refused, ours *limit.Limiter[struct{}]
	skipped       atomic.Int64
}

// NewRefusalLog makes a log of refusals.
func NewRefusalLog(log *slog.Logger, rate limit.Rate) *RefusalLog {
	return &RefusalLog{log: log, refused: limit.New[struct{}](rate, 1), ours: limit.New[struct{}](rate, 1)}
}

func (l *RefusalLog) write(ctx context.Context, issuer, correlation string, address func() string, status int, refusal *oauth.Error, at time.Time) {
	level, rate := slog.LevelInfo, l.refused
	if status >= http.StatusInternalServerError {
		level, rate = slog.LevelError, l.ours
	}
	if _, ok := rate.Take(struct{}{}, at); !ok {
		l.skipped.Add(1)
		return
	}
	attrs := []slog.Attr{
		slog.String("issuer", issuer), slog.String("correlation", correlation), slog.String("address", address()),
		slog.Int("status", status), slog.String("code", string(refusal.Code)), slog.String("description", refusal.Description),
	}
	var rule *authority.Refusal
	if errors.As(refusal.Unwrap(), &rule) {
		attrs = append(attrs, slog.String("client", rule.Client), slog.String("rule", rule.Rule),
			slog.String("expected", rule.Expected), slog.String("found", rule.Found), slog.String("hint", rule.Hint))
	} else if cause := refusal.Unwrap(); cause != nil {
		attrs = append(attrs, slog.String("cause", cause.Error()))
	}
	if n := l.skipped.Swap(0); n > 0 {
		attrs = append(attrs, slog.Int64("left_out", n))
	}
	l.log.LogAttrs(ctx, level, "token refused", attrs...)
}
