package agent

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net"
	"net/http"
	"strconv"
	"time"

	"moneyer/oauth"
)

// errorHeader marks a response of the agent itself. Its value is the error code.
const errorHeader = "Moneyer-Agent-Error"

// minRetryAfter is the minimum Retry-After if there is no token; the platform may ask for more.
const minRetryAfter = 5 * time.Second

// refusal is an error response of the agent itself.
type refusal struct {
	status int
	Code   string `json:"error"`
	// Reason is the error code with which the platform refused a token.
	Reason      string `json:"reason,omitempty"`
	Description string `json:"error_description"`
	retryAfter  time.Duration
}

var (
	notFound         = refusal{status: http.StatusNotFound, Code: "not_found", Description: "no upstream has this path"}
	methodNotAllowed = refusal{status: http.StatusMethodNotAllowed, Code: "method_not_allowed", Description: "this method is not for this path"}
	tooLarge         = refusal{status: http.StatusRequestEntityTooLarge, Code: "request_too_large", Description: "the body is larger than the upstream's max_body"}
	incomplete       = refusal{status: http.StatusBadRequest, Code: "incomplete", Description: "the body was not received completely, or not in time"}
	notForwarding    = refusal{status: http.StatusBadRequest, Code: "not_a_forward_proxy", Description: "ask for a path of the agent, not for a URL"}
	badPath          = refusal{status: http.StatusBadRequest, Code: "bad_path", Description: "a path is UTF-8 without NUL and has no . and .. in it, encoded once or more often"}
	wrongHost        = refusal{status: http.StatusMisdirectedRequest, Code: "wrong_host", Description: "the Host of a request must be localhost or a loopback address"}
	noBrowsers       = refusal{status: http.StatusForbidden, Code: "no_browsers", Description: "a request with Origin or Sec-Fetch-Site comes from a browser, which the agent is not for"}
	unreachable      = refusal{status: http.StatusBadGateway, Code: "upstream_unreachable", Description: "the upstream could not be reached; the agent's log says why"}
	upstreamTimeout  = refusal{status: http.StatusGatewayTimeout, Code: "upstream_timeout", Description: "the upstream did not answer in time"}
	// callerGone is for the log only: the caller has disconnected.
	callerGone = refusal{status: 499, Code: "caller_gone", Description: "the caller did not wait for the answer"}
)

// noToken is the refusal if the platform gave no token.
func noToken(err error) *refusal {
	wait := max(minRetryAfter, oauth.AsError(err).RetryAfter)
	return &refusal{status: http.StatusServiceUnavailable, Code: "no_token", Reason: reasonOf(err),
		Description: "no access token is available; the agent's log says why", retryAfter: wait}
}

// upstreamFailure returns the refusal for an error of the upstream.
func upstreamFailure(err error) *refusal {
	var large *http.MaxBytesError
	var network net.Error
	switch {
	case errors.As(err, &large):
		return &tooLarge
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return &upstreamTimeout
	default:
		return &unreachable
	}
}

// write writes the response.
func (f *refusal) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set(errorHeader, f.Code)
	if f.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(f.retryAfter.Seconds()))))
	}
	w.WriteHeader(f.status)
	_ = json.NewEncoder(w).Encode(f) // fails only if the caller has disconnected
}
