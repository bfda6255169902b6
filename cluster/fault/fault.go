// Package fault simulates a bad network: proxies that delay, lose or drop data, or reset
// connections.
//
// It uses Toxiproxy and works on the byte stream, not on packets. Loss therefore means what TCP
// makes of it: pauses until retransmission, which delay all that follows.
package fault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/rs/zerolog"
)

// A Kind is a kind of fault.
type Kind string

// The kinds of faults.
const (
	// Latency adds 500 ms to each round trip.
	Latency Kind = "latency"
	// Loss loses 5 % of the data.
	Loss Kind = "loss"
	// Blackhole drops everything in both directions; connections stay open, and new ones are
	// accepted.
	Blackhole Kind = "blackhole"
	// HalfOpen drops the server's responses: requests are executed, but without an answer.
	HalfOpen Kind = "half-open"
	// Reset resets each connection at its next byte.
	Reset Kind = "reset"
)

// Kinds are all kinds.
var Kinds = []Kind{Latency, Loss, Blackhole, HalfOpen, Reset}

// latency is the delay that Latency adds to a round trip.
const latency = 500 * time.Millisecond

// A toxic is Toxiproxy's name for a fault in one direction.
type toxic struct {
	Name       string         `json:"name"`
	Type       string         `json:"type"`
	Stream     string         `json:"stream"`
	Attributes map[string]any `json:"attributes"`
}

func (k Kind) toxics() ([]toxic, error) {
	both := func(kind string, attributes map[string]any) []toxic {
		return []toxic{{"up", kind, "upstream", attributes}, {"down", kind, "downstream", attributes}}
	}
	switch k {
	case Latency:
		return both("latency", map[string]any{"latency": latency.Milliseconds() / 2}), nil
	case Loss:
		return both(lossName, nil), nil
	case Blackhole:
		return both("timeout", map[string]any{"timeout": 0}), nil
	case HalfOpen:
		return both("timeout", map[string]any{"timeout": 0})[1:], nil
	case Reset:
		return both("reset_peer", map[string]any{"timeout": 0})[:1], nil
	}
	return nil, fmt.Errorf("there is no fault %q", k)
}

// A Network is a set of links.
type Network struct {
	server *toxiproxy.ApiServer
	links  []*Link
}

var registration sync.Once

// NewNetwork returns a Network without links.
func NewNetwork() *Network {
	registration.Do(func() { toxics.Register(lossName, new(loss)) })
	return &Network{server: toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())}
}

// Close closes all links and their connections.
func (n *Network) Close() {
	for _, l := range n.links {
		l.proxy.Stop()
	}
}

// A Link is a proxy in front of one address.
type Link struct {
	proxy *toxiproxy.Proxy
}

// Link creates a link to an address, on a loopback port of its own.
func (n *Network) Link(address string) (*Link, error) {
	name := fmt.Sprint(len(n.links))
	l := &Link{toxiproxy.NewProxy(n.server, name, "127.0.0.1:0", address)}
	if err := l.proxy.Start(); err != nil {
		return nil, err
	}
	n.links = append(n.links, l)
	return l, nil
}

// Address returns the address on which the link listens.
func (l *Link) Address() string { return l.proxy.Listen }

// Break applies a fault to all connections of the link, including future ones. The link must not
// have a fault.
func (l *Link) Break(k Kind) error {
	list, err := k.toxics()
	for _, t := range list {
		text, encodeErr := json.Marshal(t)
		if encodeErr != nil {
			return encodeErr
		}
		_, addErr := l.proxy.Toxics.AddToxicJson(strings.NewReader(string(text)))
		err = errors.Join(err, addErr)
	}
	return err
}

// Heal removes the fault, and closes connections that cannot be continued.
func (l *Link) Heal(ctx context.Context) {
	l.proxy.Toxics.ResetToxics(ctx)
}

const lossName = "loss"

const (
	lossRate = 0.05
	// retransmission is the minimum retransmission timeout of TCP; each further loss of the same
	// data doubles it.
	retransmission = 200 * time.Millisecond
)

// loss is a Toxiproxy toxic.
type loss struct{}

// Pipe delays lost data and everything behind it.
func (loss) Pipe(stub *toxics.ToxicStub) {
	for {
		select {
		case <-stub.Interrupt:
			return
		case chunk := <-stub.Input:
			if chunk == nil {
				stub.Close()
				return
			}
			if !deliver(stub, chunk) {
				return
			}
		}
	}
}

// deliver reports whether the chunk was delivered without an interruption.
func deliver(stub *toxics.ToxicStub, chunk *stream.StreamChunk) bool {
	var wait time.Duration
	for next := retransmission; rand.Float64() < lossRate; next *= 2 {
		wait += next
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		stub.Output <- chunk
		return true
	case <-stub.Interrupt:
		stub.Output <- chunk
		return false
	}
}
