// Package daemon is the running server: it builds what a configuration says, listens,
// reloads, does what is due by the clock, and drains. The programs and the tests that
// run a server of ours in their own process start it here.
//
//   - Start opens everything and answers; Server.Reload reads the configuration anew
//     without dropping a request; Server.Shutdown drains and closes.
//   - Check judges a configuration without opening the store.
//   - Init makes what a server needs before its first start.
//
// It has no rules of the domain and no signals: who runs it says when to reload and
// when to stop.
package daemon

import (
	"io"
	"net/http"
	"time"

	"moneyer/internal/config"
)

// Options say what to run.
type Options struct {
	// Load reads the configuration, at the start and at each reload. Required.
	Load func() (*config.Config, error)
	// Public, when not nil, makes what answers on the public listener: Snapshot.Public
	// with something beside it.
	Public func(*Snapshot) http.Handler
	// Log is what the log is written to. Required.
	Log io.Writer
	// Version is for the log and the metrics.
	Version string
	// Now is the clock. Required.
	Now func() time.Time
}

// ConfigError is a mistake in the configuration, or in a file that it names. Other
// errors are of the machine.
type ConfigError struct{ Err error }

func (e *ConfigError) Error() string { return e.Err.Error() }
func (e *ConfigError) Unwrap() error { return e.Err }
