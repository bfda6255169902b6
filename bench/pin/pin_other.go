//go:build !linux

package pin

import (
	"errors"
	"fmt"
	"os/exec"
)

var errLinuxOnly = fmt.Errorf("programs can be kept on cores on Linux only: %w", errors.ErrUnsupported)

// Cores is for Linux only.
func Cores() ([]int, error) { return nil, errLinuxOnly }

// Self is for Linux only.
func Self(...int) error { return errLinuxOnly }

// Start is for Linux only.
func Start(*exec.Cmd, ...int) error { return errLinuxOnly }
