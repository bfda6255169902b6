package subject

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// Repository returns the root of Moneyer's repository: the nearest parent folder whose go.mod is
// that of module moneyer.
func Repository() (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		text, err := os.ReadFile(filepath.Join(folder, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module moneyer\n") {
			return folder, nil
		}
		above := filepath.Dir(folder)
		if above == folder {
			return "", errors.New("run it in the repository: no go.mod of module moneyer here or above")
		}
		folder = above
	}
}

// FreeAddress returns an unused loopback address.
func FreeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// Answers returns a Ready function that succeeds when a page returns 200.
func Answers(page string) func(context.Context) error { return (*TLS)(nil).Answers(page) }
