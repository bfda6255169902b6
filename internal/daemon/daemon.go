// Package daemon runs the server: it builds what a configuration describes, listens, reloads, does
// periodic maintenance, and drains. Programs, and tests that run a server in their own process,
// start it here.
//
//   - Start opens everything and serves; Server.Reload reads the configuration again
//     without dropping a request; Server.Shutdown drains and closes.
//   - Check validates a configuration without opening the store.
//   - Init creates what a server needs before its first start.
//
// It contains no domain rules and handles no signals: the caller decides when to reload and when to
// stop.
// when to stop.
package daemon

import (
	"io"
	"net/http"
	"time"

	"moneyer/internal/config"
)

// Options configure Start.
type Options struct {
	// Load reads the configuration, at the start and at each reload. Required.
	Load func() (*config.Config, error)
	// Public, if not nil, returns the handler of the public listener: usually a wrapper of
	// Snapshot.Public.
	Public func(*Snapshot) http.Handler
	// Log is the writer for the log. Required.
	Log io.Writer
	// Version is shown in the log and the metrics.
	Version string
	// Now is the clock. Required.
	Now func() time.Time
	// Steady returns the time since some instant by a clock that cannot be set; nil means that
	// Now has monotonic readings.
	Steady func() time.Duration
}

// ConfigError is an error in the configuration or in a file that it names. Other errors are errors
// of the environment.
type ConfigError struct{ Err error }

func (e *ConfigError) Error() string { return e.Err.Error() }
func (e *ConfigError) Unwrap() error { return e.Err }
