// Package turn tells when all connections that were ready to be read have had
// their turn. Who asks sends an octet through a pipe; its reader waits where
// connections wait, in the kernel's queue of what is ready and then in Go's of what
// may run, and both are first come, first served.
//
// It is a measure and not a promise: with several processors, or when the kernel
// hands out what is ready in portions, somebody may be before or behind.
package turn

import "os"

// Turn is a pipe with a reader that waits for its turn.
type Turn struct{ reader, writer *os.File }

// New makes a Turn. came is called by a goroutine of its own each time that the
// turn has come; it must not block for long. Close ends the goroutine.
func New(came func()) (*Turn, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	t := &Turn{reader, writer}
	go t.wait(came)
	return t, nil
}

func (t *Turn) wait(came func()) {
	defer func() { _ = t.reader.Close() }()
	var octet [1]byte
	for {
		if _, err := t.reader.Read(octet[:]); err != nil {
			return
		}
		came()
	}
}

// Ask takes a place behind all that are ready now. The error is that of a closed
// Turn; then came is not called.
func (t *Turn) Ask() error {
	_, err := t.writer.Write([]byte{0})
	return err
}

// Close lets the goroutine end once it has called came for what was asked before.
func (t *Turn) Close() error { return t.writer.Close() }
