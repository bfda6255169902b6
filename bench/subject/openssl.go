package subject

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// openSSL runs OpenSSL's own benchmark if it is installed.
func (m *Micro) openSSL(ctx context.Context) error {
	program, err := exec.LookPath("openssl")
	if errors.Is(err, exec.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, program, "speed", "-mr", "-seconds", "1", "ecdsap256", "rsa2048")
	var said bytes.Buffer
	command.Stderr = &said
	out, err := command.Output()
	if err != nil {
		return fmt.Errorf("openssl speed: %w: %s", err, said.String())
	}
	return m.parseSpeed(string(out))
}

// parseSpeed parses the result lines of `openssl speed -mr`: +F2:number:bits:signs per
// second:verifies per second for RSA, +F4 for ECDSA, in OpenSSL 3. (Before version 3 they were
// seconds per operation.)
func (m *Micro) parseSpeed(out string) error {
	for line := range strings.Lines(out) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) < 5 || fields[0] != "+F2" && fields[0] != "+F4" {
			continue
		}
		sign, err := perSecond(fields[3])
		if err != nil {
			return err
		}
		verify, err := perSecond(fields[4])
		if err != nil {
			return err
		}
		switch fields[0] + ":" + fields[2] {
		case "+F2:2048":
			m.OpenSSLSignRS256 = sign
		case "+F4:256":
			m.OpenSSLSignES256, m.OpenSSLVerifyES256 = sign, verify
		}
	}
	if m.OpenSSLSignRS256 == 0 || m.OpenSSLSignES256 == 0 {
		return errors.New("openssl speed printed no known results")
	}
	return nil
}

// perSecond parses a rate, or the seconds of one operation.
func perSecond(text string) (float64, error) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("openssl speed: %q is no figure", text)
	}
	if n < 1 {
		return 1 / n, nil
	}
	return n, nil
}
