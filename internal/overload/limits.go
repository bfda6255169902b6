// Package overload has every limit between a packet and a token, so that more
// requests than can be answered cost the senders and not everybody: rates, limits of
// concurrency, the delay of requests that nobody has read yet, and the sizes and times
// that net/http and the decoder apply. [Limits] is the table of them.
//
// It is not a queue: nobody waits in it. A caller gets in or is told at once when to
// come again. It knows no protocol but the status of RFC 6585 §4 and RFC 9110 §15.6.4, as
// errors of package oauth; what one parameter may hold is the profile's, and the store
// bounds by itself what waits for its writer.
package overload

import "time"

// Limits are the limits between a packet and a token, in the order in which a
// request meets them. Each says what a caller gets beyond it, and which key of
// [limits] in moneyer.toml sets it, if any. The number of connections has no limit
// but that of the process's file descriptors.
type Limits struct {
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
	// Readers bounds the requests that are being read: a body takes longer to come than
	// an answer to make, and who sends slowly must keep nobody else out. Beyond it: 503.
	// Set by in_flight, times 8.
	Readers int
	// BodyBytes bounds the body of a request. Beyond it: 413.
	BodyBytes int64
	// Parameters bounds how many parameters a request has. Beyond it: 400.
	Parameters int
	// AtWork bounds the requests that were read and are not answered. Beyond it: 503.
	// Set by in_flight.
	AtWork int
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

// readersPerWorker is how many requests may be read for each that may be at work.
const readersPerWorker = 8

// Default returns the limits of a server whose configuration sets none.
func Default() Limits {
	l := Limits{
		HeaderTime: 5 * time.Second, HeaderBytes: 16 << 10, ReadTime: 5 * time.Second, WriteTime: 90 * time.Second, IdleTime: 2 * time.Minute,
		AddressRate: Rate{PerSecond: 50, Burst: 500}, Addresses: 1 << 16,
		QueueDelay: 150 * time.Millisecond,
		BodyBytes:  64 << 10, Parameters: 64,
		RequestTime: 2 * time.Second,
		Penalties:   1 << 16, Replays: 1 << 16,
		ClientRate: Rate{PerSecond: 500, Burst: 1000}, Clients: 1 << 20,
		Refusals: Rate{PerSecond: 1, Burst: 1000}, Lines: Rate{PerSecond: 0.1, Burst: 1000},
	}
	l.SetAtWork(1024)
	return l
}

// SetAtWork sets AtWork, and Readers by it.
func (l *Limits) SetAtWork(most int) { l.AtWork, l.Readers = most, readersPerWorker*most }
