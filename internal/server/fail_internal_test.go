package server

import (
	"net/http"
	"slices"
	"testing"

	"moneyer/oauth"
)

// TestAnswers: what may be tried again is told so by its status and no other, and no
// trouble of ours is told as the caller's fault.
func TestAnswers(t *testing.T) {
	later := []int{http.StatusTooManyRequests, http.StatusServiceUnavailable}
	for code, out := range answers {
		for _, status := range []int{out.status, out.check} {
			if code.Retryable() != slices.Contains(later, status) {
				t.Errorf("%s: %d", code, status)
			}
		}
		ours := code == oauth.ServerError || code == oauth.TemporarilyUnavailable
		if ours && (out.status < http.StatusInternalServerError || out.check < http.StatusInternalServerError) {
			t.Errorf("%s: %d and %d", code, out.status, out.check)
		}
	}
}
