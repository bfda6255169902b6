package trial

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Progress reports the current step and the remaining time.
type Progress struct {
	out      io.Writer
	terminal bool

	mu    sync.Mutex // guards the fields below, and the output
	begin time.Time
	steps int
	done  int
	shown time.Time
	line  bool // whether the last line will be overwritten
}

// NewProgress writes to out; on a terminal it overwrites the line of the current step.
func NewProgress(out io.Writer, terminal bool) *Progress {
	return &Progress{out: out, terminal: terminal}
}

// Say writes a permanent line.
func (p *Progress) Say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintf(p.out, format+"\n", args...)
}

// clear removes the current step's line from the terminal.
func (p *Progress) clear() {
	if p.line {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.line = false
	}
}

// Begin sets the number of steps.
func (p *Progress) Begin(steps int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begin, p.steps, p.done = time.Now(), steps, 0
}

// Step reports the current step. Without a terminal some steps are not reported.
func (p *Progress) Step(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := ""
	if passed := time.Since(p.begin); p.done > 0 {
		left = fmt.Sprintf(", %v to go", (passed * time.Duration(p.steps-p.done) / time.Duration(p.done)).Round(time.Second))
	}
	p.done++
	text := fmt.Sprintf("[%d/%d%s] %s", p.done, p.steps, left, fmt.Sprintf(format, args...))
	switch {
	case p.terminal:
		p.clear()
		fmt.Fprint(p.out, text)
		p.line = true
	case time.Since(p.shown) >= 10*time.Second:
		fmt.Fprintln(p.out, text)
		p.shown = time.Now()
	}
}

// End reports the end of the last step.
func (p *Progress) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

// Detail returns the writer for the output of installers.
func (p *Progress) Detail() io.Writer { return detail{p} }

type detail struct{ *Progress }

// Write writes the output of an installer.
func (d detail) Write(text []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clear()
	return d.out.Write(text)
}
