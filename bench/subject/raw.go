package subject

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
)

// RawRequest ends the body of the requests to [ServeRaw].
const RawRequest = "\r\nend of the request\r\n"

// ServeRaw serves on address until ctx ends. It only looks for the end of a request.
func ServeRaw(ctx context.Context, address string) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	body := answerBegin + strings.Repeat("x", 520) + answerEnd
	answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go answerRaw(conn, answer)
	}
}

func answerRaw(conn net.Conn, answer []byte) {
	defer func() { _ = conn.Close() }()
	buffer, used := make([]byte, 8<<10), 0
	for {
		n, err := conn.Read(buffer[used:])
		if err != nil {
			return
		}
		used += n
		if !bytes.HasSuffix(buffer[:used], []byte(RawRequest)) {
			continue
		}
		used = 0
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}
