package remotekeys

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	defaultFresh = 10 * time.Minute // of keys without Cache-Control
	minFresh     = time.Minute
	maxFresh     = time.Hour
)

// Header returns the header of a request for a JWK set. With past no cache on the way may answer
// (RFC 9111 §5.2.1.4).
func Header(past bool) http.Header {
	header := http.Header{"Accept": {"application/json, application/jwk-set+json"}}
	if past {
		header.Set("Cache-Control", "no-cache")
	}
	return header
}

// Freshness returns how long the keys of an answer are fresh: its max-age (RFC 9111 §5.2.2.1) from a
// minute to an hour, or 10 minutes without one. no-cache and no-store ask for the shortest time.
func Freshness(header http.Header) time.Duration {
	fresh := defaultFresh
	for directive := range strings.SplitSeq(strings.Join(header.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-cache", "no-store":
			return minFresh
		case "max-age":
			if seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
				fresh = time.Duration(seconds) * time.Second
			}
		}
	}
	return Bounded(fresh)
}

// Bounded returns the time within the bounds of Freshness.
func Bounded(fresh time.Duration) time.Duration { return min(max(fresh, minFresh), maxFresh) }
