package trial

import (
	"time"

	"moneyer/bench/subject"
)

// disturbance is what others took of the servers' core while a server was asked.
type disturbance struct{ others, all time.Duration }

// share of the core that others took.
func (d *disturbance) share() float64 {
	if d.all <= 0 {
		return 0
	}
	return d.others.Seconds() / d.all.Seconds()
}

// watch is where the servers' core stood when a round began.
type watch struct {
	begin time.Time
	busy  time.Duration
}

// watch looks at the servers' core; where nothing is pinned there is none.
func (t *Trial) watch() (w watch, err error) {
	if len(t.ServerCores) == 0 {
		return w, nil
	}
	w.begin = time.Now()
	w.busy, err = subject.Busy(t.ServerCores[0])
	return w, err
}

// watched adds what the core did beside the server's own work since the watch began.
func (t *Trial) watched(w watch, own time.Duration) error {
	if len(t.ServerCores) == 0 {
		return nil
	}
	busy, err := subject.Busy(t.ServerCores[0])
	if err != nil {
		return err
	}
	t.disturbed.others += max(0, busy-w.busy-own)
	t.disturbed.all += time.Since(w.begin)
	return nil
}
