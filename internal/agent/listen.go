package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Listen listens on the configured address. Closing the listener removes its socket.
func Listen(ctx context.Context, cfg *Config) (net.Listener, error) {
	if cfg.network() == "unix" {
		return listenSocket(ctx, cfg.socketPath(), cfg.mode)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, err
	}
	if addr, ok := l.Addr().(*net.TCPAddr); !ok || !addr.IP.IsLoopback() { // the system may resolve "localhost" to another address
		_ = l.Close()
		return nil, fmt.Errorf("%s turned out to be %s, which is not on loopback", cfg.Listen, l.Addr())
	}
	return l, nil
}

// listenSocket binds in a private folder, sets the mode of the socket and only then moves it to its
// path, so that others can never connect before the mode is set.
func listenSocket(ctx context.Context, path string, mode fs.FileMode) (net.Listener, error) {
	if err := checkVacant(ctx, path); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".a")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	made := filepath.Join(dir, "s")
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", made)
	if err != nil {
		return nil, err
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	info, err := place(made, path, mode)
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	return &socket{Listener: l, path: path, info: info}, nil
}

// place sets the mode of a socket and moves it to its path.
func place(made, path string, mode fs.FileMode) (fs.FileInfo, error) {
	if err := os.Chmod(made, mode); err != nil {
		return nil, err
	}
	if err := os.Rename(made, path); err != nil {
		return nil, err
	}
	return os.Lstat(path)
}

// checkVacant checks that there is nothing at the path, or only a socket on which no process listens.
func checkVacant(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%s exists and is not a socket", path)
	}
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
		return fmt.Errorf("another process answers on %s", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%s cannot be replaced, another process may be listening on it: %w", path, err)
	}
	return nil
}

// socket is a Unix listener that removes its socket.
type socket struct {
	net.Listener
	path string
	info fs.FileInfo
}

// Addr returns the path of the socket; the listener itself knows the one where it was made.
func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

// Close stops listening and removes the socket unless another one has replaced it.
func (s *socket) Close() error {
	err := s.Listener.Close()
	if info, statErr := os.Lstat(s.path); statErr == nil && os.SameFile(info, s.info) {
		err = errors.Join(err, os.Remove(s.path))
	}
	return err
}
