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

// errorHeader marks an answer of the agent's own. Its value is the code of the
// refusal.
const errorHeader = "Moneyer-Agent-Error"

// leastWait is the Retry-After when there is no token, unless the platform asks for
// more.
const leastWait = 5 * time.Second

// refusal is an answer of the agent's own.
type refusal struct {
	status int
	Code   string `json:"error"`
	// Reason is the code with which the platform refused a token.
	Reason      string `json:"reason,omitempty"`
	Description string `json:"error_description"`
	retryAfter  time.Duration
}

var (
	notFound         = refusal{status: http.StatusNotFound, Code: "not_found", Description: "no upstream has this path"}
	methodNotAllowed = refusal{status: http.StatusMethodNotAllowed, Code: "method_not_allowed", Description: "this method is not for this path"}
	tooLarge         = refusal{status: http.StatusRequestEntityTooLarge, Code: "request_too_large", Description: "the body is larger than the upstream's max_body"}
	incomplete       = refusal{status: http.StatusBadRequest, Code: "incomplete", Description: "the body did not come in full, or in time"}
	notForwarding    = refusal{status: http.StatusBadRequest, Code: "not_a_forward_proxy", Description: "ask for a path of the agent, not for a URL"}
	badPath          = refusal{status: http.StatusBadRequest, Code: "bad_path", Description: "a path has no . and .. in it"}
	wrongHost        = refusal{status: http.StatusMisdirectedRequest, Code: "wrong_host", Description: "the Host of a request must be localhost or a loopback address"}
	noBrowsers       = refusal{status: http.StatusForbidden, Code: "no_browsers", Description: "a request with Origin or Sec-Fetch-Site comes from a browser, which the agent is not for"}
	unreachable      = refusal{status: http.StatusBadGateway, Code: "upstream_unreachable", Description: "the upstream could not be asked; the agent's log says why"}
	late             = refusal{status: http.StatusGatewayTimeout, Code: "upstream_timeout", Description: "the upstream did not answer in time"}
	// gone is for the log: nobody is there to read it.
	gone = refusal{status: 499, Code: "caller_gone", Description: "the caller did not wait for the answer"}
)

// noToken is the refusal when the platform gave no token.
func noToken(err error) *refusal {
	wait := max(leastWait, oauth.AsError(err).RetryAfter)
	return &refusal{status: http.StatusServiceUnavailable, Code: "no_token", Reason: reasonOf(err),
		Description: "there is no access token to be had; the agent's log says why", retryAfter: wait}
}

// upstreamFailure is the refusal for the error of an exchange with an upstream.
func upstreamFailure(err error) *refusal {
	var large *http.MaxBytesError
	var network net.Error
	switch {
	case errors.As(err, &large):
		return &tooLarge
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return &late
	default:
		return &unreachable
	}
}

// write answers with the refusal.
func (f *refusal) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set(errorHeader, f.Code)
	if f.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(f.retryAfter.Seconds()))))
	}
	w.WriteHeader(f.status)
	_ = json.NewEncoder(w).Encode(f) // whoever does not read it has gone
}
