package trial

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Progress tells people what is done now and how long it will go on.
type Progress struct {
	out      io.Writer
	terminal bool

	mu    sync.Mutex // guards what follows, and the output
	begin time.Time
	steps int
	done  int
	shown time.Time
	line  bool // whether the last line is to be written over
}

// NewProgress writes to out; on a terminal what is done now is written over itself.
func NewProgress(out io.Writer, terminal bool) *Progress {
	return &Progress{out: out, terminal: terminal}
}

// Say tells something that stays.
func (p *Progress) Say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintf(p.out, format+"\n", args...)
}

// clear takes the line that is written over off the terminal.
func (p *Progress) clear() {
	if p.line {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.line = false
	}
}

// Begin says how many steps come.
func (p *Progress) Begin(steps int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begin, p.steps, p.done = time.Now(), steps, 0
}

// Step tells which step is taken now. Where lines stay, not every one is told.
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

// End tells that all steps are taken.
func (p *Progress) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

// Detail is where installers write to.
func (p *Progress) Detail() io.Writer { return detail{p} }

type detail struct{ *Progress }

// Write tells what an installer says.
func (d detail) Write(text []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clear()
	return d.out.Write(text)
}
