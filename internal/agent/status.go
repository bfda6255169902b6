package agent

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"moneyer/internal/deadline"
)

// ownPrefix is the prefix of the agent's own paths.
const ownPrefix = "/-/"

func reserved(path string) bool { return strings.HasPrefix(path, ownPrefix) }

// readiness is the response of /-/readyz.
type readiness struct {
	Ready  bool                  `json:"ready"`
	Tokens map[string]tokenState `json:"tokens"`
	Files  map[string]fileState  `json:"files,omitempty"`
}

type tokenState struct {
	Ready   bool       `json:"ready"`
	Expires *time.Time `json:"expires,omitempty"`
	Reason  string     `json:"reason,omitempty"`
}

type fileState struct {
	Ready bool `json:"ready"`
}

// status serves /-/healthz, which reports that the process runs, and /-/readyz, which reports
// whether there is a valid token under every name and in every file.
func (s *snapshot) status(w http.ResponseWriter, r *http.Request, now time.Time) {
	var answer any = map[string]string{"status": "ok"}
	code := http.StatusOK
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		methodNotAllowed.write(w)
		return
	case r.URL.Path == ownPrefix+"readyz":
		ready := s.readiness(now)
		if !ready.Ready {
			code = http.StatusServiceUnavailable
		}
		answer = ready
	case r.URL.Path != ownPrefix+"healthz":
		notFound.write(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(answer) // fails only if the caller has disconnected
}

func (s *snapshot) readiness(now time.Time) readiness {
	all := readiness{Ready: true, Tokens: map[string]tokenState{}, Files: map[string]fileState{}}
	for _, k := range s.renewers {
		k.mu.Lock()
		token := tokenState{Ready: !deadline.Passed(k.expiry, now), Reason: k.reason}
		if !k.expiry.IsZero() {
			expires := k.expiry.UTC().Truncate(time.Second)
			token.Expires = &expires
		}
		all.Tokens[k.name] = token
		all.Ready = all.Ready && token.Ready
		for _, f := range k.files {
			file := fileState{Ready: token.Ready && f.written != nil && f.err == nil}
			all.Files[f.name] = file
			all.Ready = all.Ready && file.Ready
		}
		k.mu.Unlock()
	}
	return all
}
