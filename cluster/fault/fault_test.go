package fault

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// echo starts a server that returns each line.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return listener.Addr().String()
}

// a line is a connection on which lines are exchanged.
type line struct {
	net.Conn
	in *bufio.Reader
}

func dial(t *testing.T, address string) *line {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &line{conn, bufio.NewReader(conn)}
}

// exchange returns how long a response took.
func (l *line) exchange(timeout time.Duration) (time.Duration, error) {
	began := time.Now()
	if err := l.SetDeadline(began.Add(timeout)); err != nil {
		return 0, err
	}
	if _, err := l.Write([]byte("hello\n")); err != nil {
		return 0, err
	}
	_, err := l.in.ReadString('\n')
	return time.Since(began), err
}

func TestKinds(t *testing.T) {
	n := NewNetwork()
	defer n.Close()
	address := echo(t)
	for kind, check := range map[Kind]func(t *testing.T, took time.Duration, err error){
		Latency: func(t *testing.T, took time.Duration, err error) {
			if err != nil || took < latency {
				t.Errorf("%v, %v", took, err)
			}
		},
		Blackhole: swallowed,
		HalfOpen:  swallowed,
		Reset: func(t *testing.T, took time.Duration, err error) {
			if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%v, %v", took, err)
			}
		},
		Loss: func(t *testing.T, took time.Duration, err error) {
			if err != nil {
				t.Errorf("%v, %v", took, err)
			}
		},
	} {
		t.Run(string(kind), func(t *testing.T) {
			link, err := n.Link(address)
			if err != nil {
				t.Fatal(err)
			}
			old := dial(t, link.Address())
			if took, err := old.exchange(5 * time.Second); err != nil {
				t.Fatalf("before: %v, %v", took, err)
			}
			if err := link.Break(kind); err != nil {
				t.Fatal(err)
			}
			const timeout = 1500 * time.Millisecond
			for name, l := range map[string]*line{"old": old, "new": dial(t, link.Address())} {
				took, err := l.exchange(timeout)
				t.Logf("%s connection: %v, %v", name, took, err)
				check(t, took, err)
			}
			link.Heal(t.Context())
			if took, err := dial(t, link.Address()).exchange(5 * time.Second); err != nil || took > latency {
				t.Errorf("after: %v, %v", took, err)
			}
		})
	}
}

func swallowed(t *testing.T, took time.Duration, err error) {
	t.Helper()
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v, %v", took, err)
	}
}

// TestLoss: some exchanges wait for a retransmission, and all are answered.
func TestLoss(t *testing.T) {
	n := NewNetwork()
	defer n.Close()
	link, err := n.Link(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := link.Break(Loss); err != nil {
		t.Fatal(err)
	}
	l := dial(t, link.Address())
	slow := 0
	for tries := 0; slow == 0; tries++ {
		if tries == 500 { // 500 exchanges without a loss: once in 10^22 runs
			t.Fatal("nothing was lost")
		}
		took, err := l.exchange(30 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if took >= retransmission {
			slow++
		}
	}
}
