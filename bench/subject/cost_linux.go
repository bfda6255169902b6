package subject

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of processor time in /proc/PID/stat.
const tick = time.Second / 100

// Family returns the processes of a program: itself, its descendants, and other processes in its
// process group.
func (p *Process) Family() ([]int, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	return familyOf(p.command.Process.Pid, all), nil
}

// processes returns all processes of the machine.
func processes() ([]stat, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var all []stat
	for _, entry := range entries {
		id, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if s, err := readStat(id); err == nil { // otherwise it has just ended
			all = append(all, s)
		}
	}
	return all, nil
}

// familyOf returns the processes that belong to a leader.
func familyOf(leader int, all []stat) []int {
	family := []int{leader}
	for i := 0; i < len(family); i++ {
		for _, s := range all {
			if (s.parent == family[i] || s.group == leader) && !slices.Contains(family, s.id) {
				family = append(family, s.id)
			}
		}
	}
	return family
}

// CPU returns the processor time of the processes, including that of ended children.
func CPU(processes []int) (time.Duration, error) {
	var sum time.Duration
	for _, id := range processes {
		s, err := readStat(id)
		if gone(err) {
			continue
		}
		if err != nil {
			return 0, err
		}
		own, err := clock(id)
		if gone(err) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("processor time of process %d: %w", id, err)
		}
		sum += own + s.children
	}
	return sum, nil
}

// Titles returns the processor time of the processes by what they do: the name of the program, or for a
// process of PostgreSQL the first word of its title, such as "walsender", where a session has its user's
// name.
func Titles(processes []int) (map[string]time.Duration, error) {
	sums := map[string]time.Duration{}
	for _, id := range processes {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", id))
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		own, err := CPU([]int{id})
		if err != nil {
			return nil, err
		}
		sums[titleOf(text)] += own
	}
	return sums, nil
}

// titleOf parses /proc/PID/cmdline.
func titleOf(text []byte) string {
	words := strings.FieldsFunc(string(text), func(r rune) bool { return r == ' ' || r == 0 })
	switch {
	case len(words) == 0:
		return ""
	case words[0] == "postgres:" && len(words) > 1:
		return words[1]
	}
	return filepath.Base(words[0])
}

// clock reads the processor-time clock of a process with nanosecond resolution, where /proc counts
// hundredths of a second: clock_getcpuclockid(3).
func clock(id int) (time.Duration, error) {
	const scheduled = 2 // CPUCLOCK_SCHED
	var t unix.Timespec
	err := unix.ClockGettime(int32(^id)<<3|scheduled, &t)
	return time.Duration(t.Nano()), err
}

// Busy returns the time for which a core was not idle, including time stolen by the hypervisor, and how much of
// it went into interrupts.
func Busy(core int) (busy, interrupts time.Duration, err error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, err
	}
	return busyOf(text, core)
}

// busyOf parses the line of a core in /proc/stat: user, nice, system, idle, iowait, irq, softirq,
// steal.
func busyOf(text []byte, core int) (busy, interrupts time.Duration, err error) {
	for line := range bytes.Lines(text) {
		rest, found := bytes.CutPrefix(line, fmt.Appendf(nil, "cpu%d ", core))
		if !found {
			continue
		}
		fields := bytes.Fields(rest)
		if len(fields) < 8 {
			break
		}
		for _, i := range []int{0, 1, 2, 5, 6, 7} {
			n, err := strconv.ParseInt(string(fields[i]), 10, 64)
			if err != nil {
				return 0, 0, err
			}
			busy += time.Duration(n) * tick
			if i == 5 || i == 6 {
				interrupts += time.Duration(n) * tick
			}
		}
		return busy, interrupts, nil
	}
	return 0, 0, fmt.Errorf("/proc/stat does not tell of core %d", core)
}

// kernel is the parent of the kernel's own threads.
const kernel = 2

// Kernel returns the processor time of the kernel's own threads, which write to the disk what programs flush.
func Kernel() (time.Duration, error) {
	all, err := processes()
	if err != nil {
		return 0, err
	}
	var threads []int
	for _, s := range all {
		if s.parent == kernel {
			threads = append(threads, s.id)
		}
	}
	return CPU(threads)
}

// Memory returns the memory of the processes in bytes, with shared pages counted once.
func Memory(processes []int) (int64, error) {
	var sum int64
	for _, id := range processes {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", id))
		if gone(err) {
			continue
		}
		if err != nil {
			return 0, err
		}
		kilobytes, err := pssOf(text)
		if err != nil {
			return 0, fmt.Errorf("memory of process %d: %w", id, err)
		}
		sum += kilobytes << 10
	}
	return sum, nil
}

// pssOf parses the proportional set size in smaps_rollup, in kilobytes.
func pssOf(text []byte) (int64, error) {
	for line := range bytes.Lines(text) {
		if value, ok := bytes.CutPrefix(line, []byte("Pss:")); ok {
			return strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(value), []byte("kB")))), 10, 64)
		}
	}
	return 0, errors.New("no Pss is told")
}

func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) || errors.Is(err, syscall.EINVAL)
}

// stat is the part of /proc/PID/stat that is used.
type stat struct {
	id, parent, group int
	children          time.Duration // processor time of children that were waited for
}

func readStat(id int) (stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", id))
	if err != nil {
		return stat{}, err
	}
	return parseStat(text)
}

// parseStat parses proc_pid_stat(5). The name in parentheses may contain anything.
func parseStat(text []byte) (stat, error) {
	head, rest, found := bytes.Cut(text, []byte(" ("))
	end := bytes.LastIndexByte(rest, ')')
	if !found || end < 0 {
		return stat{}, errors.New("not a process's stat")
	}
	fields := bytes.Fields(rest[end+1:])
	if len(fields) < 15 {
		return stat{}, errors.New("a process's stat is cut short")
	}
	var errs [5]error
	number := func(i int, text []byte) (n int) {
		n, errs[i] = strconv.Atoi(string(text))
		return n
	}
	s := stat{id: number(0, head), parent: number(1, fields[1]), group: number(2, fields[2]),
		children: time.Duration(number(3, fields[13])+number(4, fields[14])) * tick}
	return s, errors.Join(errs[:]...)
}
