package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"moneyer/internal/adminapi"
	"moneyer/internal/keyring"
	"moneyer/internal/registry"
	"moneyer/internal/strictjson"
	"moneyer/oauth"
)

// retryAfter is the Retry-After of a failure of the server.
const retryAfter = time.Second

// statuses maps codes to HTTP statuses; other codes are a 500.
var statuses = map[oauth.Code]int{
	oauth.InvalidRequest:         http.StatusBadRequest,
	oauth.NotFound:               http.StatusNotFound,
	oauth.MethodNotAllowed:       http.StatusMethodNotAllowed,
	adminapi.CodeConflict:        http.StatusConflict,
	oauth.TooLarge:               http.StatusRequestEntityTooLarge,
	oauth.UnsupportedMediaType:   http.StatusUnsupportedMediaType,
	adminapi.CodeRefused:         http.StatusUnprocessableEntity,
	oauth.TemporarilyUnavailable: http.StatusServiceUnavailable,
}

// publicError returns the error for the caller. Callers are operators, so the text of a
// refusal is sent; the cause of a server failure is only logged.
func publicError(err error) *oauth.Error {
	var (
		public     *oauth.Error
		onboarding *registry.InvalidError
		taken      *registry.KeyTakenError
		early      *keyring.EarlyError
		syntax     *strictjson.SyntaxError
		tooLarge   *http.MaxBytesError
		unverified *registry.UnverifiedError
	)
	switch {
	case errors.As(err, &public):
		return public
	case errors.As(err, &onboarding):
		return oauth.Errorf(adminapi.CodeRefused, "%s", onboarding)
	case errors.As(err, &taken):
		return oauth.Errorf(adminapi.CodeConflict, "%s", taken)
	case errors.As(err, &early):
		return oauth.Errorf(adminapi.CodeConflict, "%s; have it sign then, or activate it at once if that must be (at_once, --at-once)", early)
	case errors.As(err, &unverified):
		return oauth.Errorf(oauth.TemporarilyUnavailable, "%s", unverified).After(retryAfter).Because(err)
	case errors.As(err, &syntax):
		return oauth.Errorf(oauth.InvalidRequest, "%s", syntax)
	case errors.As(err, &tooLarge):
		return oauth.Errorf(oauth.TooLarge, "the body is longer than %d bytes", tooLarge.Limit)
	case errors.Is(err, registry.ErrNotFound):
		return oauth.Errorf(oauth.NotFound, "%s", err)
	case errors.Is(err, registry.ErrConflict), errors.Is(err, keyring.ErrState):
		return oauth.Errorf(adminapi.CodeConflict, "%s", err)
	default:
		return oauth.Errorf(oauth.TemporarilyUnavailable, "the server cannot do that just now; its log says why").
			After(retryAfter).Because(err)
	}
}

// fail writes an error response. Only fail does.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	public := publicError(err)
	status, known := statuses[public.Code]
	if !known {
		status = http.StatusInternalServerError
	}
	if status >= http.StatusInternalServerError {
		a.logFailure(r, public)
	}
	if public.Code.Retryable() {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(public.RetryAfter.Seconds()))))
	}
	writeJSON(w, status, adminapi.Failure{Code: public.Code, Description: public.Description})
}

// logFailure logs a failure of the server. If the caller closed the connection, the
// level is info.
func (a *API) logFailure(r *http.Request, err error) {
	level := slog.LevelError
	if r.Context().Err() != nil {
		level = slog.LevelInfo
	}
	a.Log.LogAttrs(r.Context(), level, "admin request failed", slog.String("method", r.Method),
		slog.String("pattern", r.Pattern), slog.String("error", err.Error()))
}

// writeJSON writes one JSON value. It ignores write errors: the connection is closed.
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
}

// notFound is the error for a name that does not exist.
func notFound(what, name string) error {
	return fmt.Errorf("%s %q: %w", what, name, registry.ErrNotFound)
}

// invalid is the error for a malformed request.
func invalid(format string, args ...any) error {
	return oauth.Errorf(oauth.InvalidRequest, format, args...)
}

// refuse is the error for an object that may not be registered.
func refuse(format string, args ...any) error {
	return &registry.InvalidError{Problem: fmt.Sprintf(format, args...)}
}
