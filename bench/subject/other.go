//go:build !linux

package subject

import (
	"errors"
	"fmt"
	"os/exec"
	"time"
)

var errLinuxOnly = fmt.Errorf("programs can be kept on cores, and what they cost be counted, on Linux only: %w", errors.ErrUnsupported)

// Cores is for Linux only.
func Cores() ([]int, error) { return nil, errLinuxOnly }

// Pin is for Linux only.
func Pin(...int) error { return errLinuxOnly }

// StartOn is for Linux only.
func StartOn(*exec.Cmd, ...int) error { return errLinuxOnly }

// Family is for Linux only.
func (p *Process) Family() ([]int, error) { return nil, errLinuxOnly }

// CPU is for Linux only.
func CPU([]int) (time.Duration, error) { return 0, errLinuxOnly }

// Titles is for Linux only.
func Titles([]int) (map[string]time.Duration, error) { return nil, errLinuxOnly }

// Busy is for Linux only.
func Busy(int) (busy, interrupts time.Duration, err error) { return 0, 0, errLinuxOnly }

// Kernel is for Linux only.
func Kernel() (time.Duration, error) { return 0, errLinuxOnly }

// Memory is for Linux only.
func Memory([]int) (int64, error) { return 0, errLinuxOnly }
