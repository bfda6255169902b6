package trial

import (
	"time"

	"moneyer/bench/subject"
)

// disturbance is the time that other programs took on the servers' core during rounds. Interrupts and the kernel's
// own threads do not count: they are the disk and the network of the server that is measured.
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
	begin                    time.Time
	busy, interrupts, kernel time.Duration
}

// watch reads the state of the servers' core; without pinning it is zero.
func (t *Trial) watch() (w watch, err error) {
	if len(t.ServerCores) == 0 {
		return w, nil
	}
	if w.kernel, err = subject.Kernel(); err != nil {
		return w, err
	}
	w.begin = time.Now()
	w.busy, w.interrupts, err = subject.Busy(t.ServerCores[0])
	return w, err
}

// idle returns the share of the servers' core that nobody used since w; without pinning it is zero.
func (t *Trial) idle(w watch) (float64, error) {
	if len(t.ServerCores) == 0 {
		return 0, nil
	}
	busy, _, err := subject.Busy(t.ServerCores[0])
	return max(0, 1-(busy-w.busy).Seconds()/time.Since(w.begin).Seconds()), err
}

// watched adds the core's time since w that was not the server's own.
func (t *Trial) watched(w watch, own time.Duration) error {
	if len(t.ServerCores) == 0 {
		return nil
	}
	now, err := t.watch()
	if err != nil {
		return err
	}
	t.disturbed.others += max(0, now.busy-w.busy-(now.interrupts-w.interrupts)-max(0, now.kernel-w.kernel)-own)
	t.disturbed.all += now.begin.Sub(w.begin)
	return nil
}
