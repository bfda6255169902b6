//go:build !linux

package process

import (
	"errors"
	"fmt"
	"time"
)

var errLinuxOnly = fmt.Errorf("what programs cost can be counted on Linux only: %w", errors.ErrUnsupported)

// Family is for Linux only.
func (p *Process) Family() ([]int, error) { return nil, errLinuxOnly }

// CPU is for Linux only.
func CPU([]int) (time.Duration, error) { return 0, errLinuxOnly }

// Busy is for Linux only.
func Busy(int) (time.Duration, error) { return 0, errLinuxOnly }

// Memory is for Linux only.
func Memory([]int) (int64, error) { return 0, errLinuxOnly }
