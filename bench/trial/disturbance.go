package trial

import (
	"time"

	"moneyer/bench/subject"
)

// disturbance is the time that other programs took on the servers' core during rounds.
type disturbance struct{ others, all time.Duration }

// share returns the share of the core that others took.
func (d *disturbance) share() float64 {
	if d.all <= 0 {
		return 0
	}
	return d.others.Seconds() / d.all.Seconds()
}

// watch is the state of the servers' core at the beginning of a round.
type watch struct {
	begin time.Time
	busy  time.Duration
}

// watch reads the state of the servers' core; without pinning it is zero.
func (t *Trial) watch() (w watch, err error) {
	if len(t.ServerCores) == 0 {
		return w, nil
	}
	w.begin = time.Now()
	w.busy, err = subject.Busy(t.ServerCores[0])
	return w, err
}

// idle returns the share of the servers' core that nobody used since w; without pinning it is zero.
func (t *Trial) idle(w watch) (float64, error) {
	if len(t.ServerCores) == 0 {
		return 0, nil
	}
	busy, err := subject.Busy(t.ServerCores[0])
	return max(0, 1-(busy-w.busy).Seconds()/time.Since(w.begin).Seconds()), err
}

// watched adds the core's time since w that was not the server's own.
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
