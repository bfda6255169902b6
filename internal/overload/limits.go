// Package overload has every limit between a packet and a token, so that more
// requests than can be answered cost the senders and not everybody: connections, rates, limits of
// concurrency, the delay of requests that nobody has read yet, and the sizes and times
// that net/http and the decoder apply. [Limits] is the table of them.
//
// It is not a queue: nobody waits in it. A caller gets in or is told at once when to
// come again. It knows no protocol but the status of RFC 6585 §4 and RFC 9110 §15.6.4, as
// errors of package oauth; what one parameter may hold is the profile's, and the store
// bounds by itself what waits for its writer.
package overload

import (
	"fmt"
	"time"
)

// Limits are the limits between a packet and a token, in the order in which a
// request meets them. Each says what a caller gets beyond it, and which key of
// [limits] in moneyer.toml sets it, if any.
type Limits struct {
	// Connections bounds the open connections of the public listener. Beyond it the one
	// that has waited longest for a request is closed; when none waits the new one is closed at
	// once. 0 stands for what FitDescriptors finds. Set by connections.
	Connections int
	// AddressConnections bounds those of one address that is not a trusted proxy; IPv6
	// counts by /64. No address gets more than about a tenth of Connections, no /48 of IPv6 more
	// than about a quarter, and less while others have many. Beyond it the connection is closed at once. Set by
	// address_connections.
	AddressConnections int
	// AdminConnections bounds those of the admin listener, which has them for itself. One
	// address gets about a third of them.
	AdminConnections int
	// NearIdleTime replaces IdleTime while three quarters of a listener's connections
	// are open.
	NearIdleTime time.Duration
	// Streams bounds the requests at once on one connection of HTTP/2. Beyond it the
	// stream is refused (RFC 9113 §5.1.2).
	Streams int
	// StreamBytes is the flow-control window of one connection of HTTP/2, which bounds what a
	// caller can have the server keep of bodies that nobody reads (RFC 9113 §5.2).
	StreamBytes int
	// HeaderTime is how long the header of a request may take to come, with TLS from
	// the handshake on. Beyond it the connection is closed.
	HeaderTime time.Duration
	// HeaderBytes bounds the header of a request. Beyond it: 431.
	HeaderBytes int
	// ReadTime is how long a whole request may take to come. Beyond it: 400, and the
	// connection is closed.
	ReadTime time.Duration
	// WriteTime is how long reading and answering may take together. It is more than
	// ReadTime and the longest RequestTime. Beyond it the connection is closed.
	WriteTime time.Duration
	// IdleTime is how long a connection may be without a request. Beyond it the
	// connection is closed.
	IdleTime time.Duration
	// AddressRate is how many requests an address may have in flight or refused for
	// their own fault; IPv6 counts by /64. Good requests cost nothing. Beyond it: 429.
	// Set by address_rate and address_burst.
	AddressRate Rate
	// Addresses is how many addresses are remembered.
	Addresses int
	// QueueDelay is how long requests may wait until a processor reads them. While they
	// wait longer: 503. With more requests than can be answered it becomes the time that
	// those which are let in take.
	QueueDelay time.Duration
	// Readers bounds the requests that are being read, and apart from those the requests of
	// HTTP/2 at once on a listener, until their answers were taken; the latter get 503 without a
	// body, which needs no window. A body takes longer to come than
	// an answer to make, and who sends slowly must keep nobody else out. Addresses
	// have shares of the places as of Connections. Beyond it: 503. Set by in_flight, times 8.
	Readers int
	// BodyBytes bounds the body of a request. Beyond it: 413.
	BodyBytes int64
	// Parameters bounds how many parameters a request has. Beyond it: 400.
	Parameters int
	// AtWork bounds the requests that were read and are not answered. Beyond it: 503.
	// Set by in_flight.
	AtWork int
	// AdminAtWork takes the place of AtWork at the admin listener, where a request of the
	// admin API is at work until it is answered.
	AdminAtWork int
	// Checks bounds, of those at work, the ones that only show an access token which was not
	// found good before, and whose caller no trusted proxy names or is over AddressRate with
	// its refused tokens. Beyond it, and while QueueDelay is exceeded: 503. A quarter of AtWork.
	Checks int
	// GoodTokens is how many access tokens are remembered that were found good.
	GoodTokens int
	// RequestTime bounds the work on a request. Beyond it: 503. Set by request_timeout.
	RequestTime time.Duration
	// Penalties is how many clients are remembered that were over ClientRate, each at the
	// address from which it was. Until the client's time has come, whoever names it
	// from that address gets 429 without a check of signatures.
	Penalties int
	// Replays is how many consumed assertions are remembered that were presented again.
	// Whoever repeats one once more is refused without the ledger, at no cost to the client.
	Replays int
	// ClientRate is how many requests a client may make, once it is proven who asks. A
	// request that an assertion proves and that is refused does not count: others may have
	// seen the assertion, and its sender's address pays.
	// Beyond it: 429, and its assertion is not consumed. Set by client_rate and
	// client_burst. Each replica gives the whole of it.
	ClientRate Rate
	// Clients is how many clients are remembered.
	Clients int
	// Refusals is the budget of an issuer within which refusals are written down one by
	// one: four of them, each apart, for callers that did not prove to be a client and for
	// clients, in the ledger and in the log. Those beyond it are counted. Set by
	// refusals_recorded and refusals_burst.
	Refusals Rate
	// Lines is how many lines of one message any other part of the server logs. Those
	// beyond it are counted.
	Lines Rate
}

const (
	// readersPerWorker is how many requests may be read for each that may be at work.
	readersPerWorker = 8
	// checksPart is the part of those at work that Checks is.
	checksPart = 4
	// maxConnections is the most that FitDescriptors finds: each takes memory.
	maxConnections = 10_000
	// reservedDescriptors are those for the store, the log, what is fetched, and files that
	// are read. With few descriptors it is a quarter of them.
	reservedDescriptors = 256
)

// MinConnections is with how many Connections the server serves at all.
const MinConnections = 16

// Default returns the limits of a server whose configuration sets none.
func Default() Limits {
	l := Limits{
		AddressConnections: 500, AdminConnections: 64, AdminAtWork: 64, NearIdleTime: 5 * time.Second, Streams: 100, StreamBytes: 256 << 10,
		HeaderTime: 5 * time.Second, HeaderBytes: 16 << 10, ReadTime: 5 * time.Second, WriteTime: 90 * time.Second, IdleTime: 2 * time.Minute,
		AddressRate: Rate{PerSecond: 50, Burst: 500}, Addresses: 1 << 16,
		QueueDelay: 150 * time.Millisecond,
		BodyBytes:  64 << 10, Parameters: 64,
		GoodTokens:  1 << 16,
		RequestTime: 2 * time.Second,
		Penalties:   1 << 16, Replays: 1 << 16,
		ClientRate: Rate{PerSecond: 500, Burst: 1000}, Clients: 1 << 20,
		Refusals: Rate{PerSecond: 1, Burst: 1000}, Lines: Rate{PerSecond: 0.1, Burst: 1000},
	}
	l.SetAtWork(1024)
	return l
}

// SetAtWork sets AtWork, and Readers and Checks by it.
func (l *Limits) SetAtWork(most int) {
	l.AtWork, l.Readers, l.Checks = most, readersPerWorker*most, max(most/checksPart, 1)
}

// FitDescriptors sets Connections by how many file descriptors the process may have if it is
// 0, and otherwise returns an error that says what to do if they do not suffice.
func (l *Limits) FitDescriptors(descriptors uint64) error {
	available := int(min(descriptors, 1<<30))
	available -= min(reservedDescriptors, available/4) + l.AdminConnections
	if l.Connections == 0 {
		l.Connections = min(available, maxConnections)
	}
	if l.Connections > available || l.Connections < MinConnections {
		return fmt.Errorf("the process may have %d file descriptors, which leaves %d for connections beside those for the store and the admin listener: "+
			"raise that limit (LimitNOFILE of systemd, ulimit -n) or set limits.connections (%d) lower", descriptors, max(available, 0), l.Connections)
	}
	return nil
}

// PublicConnections are the bounds of the public listener.
func (l *Limits) PublicConnections() ConnectionBounds {
	return ConnectionBounds{Total: l.Connections, Address: l.AddressConnections, Streams: l.Readers, Part: addressPart, Idle: l.NearIdleTime}
}

// OwnConnections are the bounds of the admin listener.
func (l *Limits) OwnConnections() ConnectionBounds {
	return ConnectionBounds{Total: l.AdminConnections, Address: l.AdminConnections, Streams: readersPerWorker * l.AdminAtWork, Part: 1, Idle: l.NearIdleTime}
}
