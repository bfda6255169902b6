// Package fault is a bad network: proxies through which connections lead, and what
// goes wrong on them. Data is slow, lost on the way, swallowed, or the connection
// is reset.
//
// It is built on Toxiproxy and works on bytes, not on packets: loss is what TCP
// makes of it, pauses for a retransmission that hold up all that follows.
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

// A Kind is what goes wrong.
type Kind string

// The kinds of faults.
const (
	// Latency adds 500 ms to each round trip.
	Latency Kind = "latency"
	// Loss loses 5 % of what is sent.
	Loss Kind = "loss"
	// Blackhole swallows everything in both directions; connections stay open, and
	// new ones are taken.
	Blackhole Kind = "blackhole"
	// HalfOpen swallows what the server answers: it does what it is asked, and
	// nobody hears of it.
	HalfOpen Kind = "half-open"
	// Reset resets each connection at its next octet.
	Reset Kind = "reset"
)

// Kinds lists them all.
var Kinds = []Kind{Latency, Loss, Blackhole, HalfOpen, Reset}

// latency is what the kind Latency adds to a round trip.
const latency = 500 * time.Millisecond

// A toxic is what Toxiproxy calls a fault in one direction.
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

// A Network makes links.
type Network struct {
	server *toxiproxy.ApiServer
	links  []*Link
}

var registration sync.Once

// NewNetwork returns one without links.
func NewNetwork() *Network {
	registration.Do(func() { toxics.Register(lossName, new(loss)) })
	return &Network{server: toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())}
}

// Close closes all links with their connections.
func (n *Network) Close() {
	for _, l := range n.links {
		l.proxy.Stop()
	}
}

// A Link is a proxy in front of one address.
type Link struct {
	proxy *toxiproxy.Proxy
}

// Link makes a link to an address, on a loopback port of its own.
func (n *Network) Link(address string) (*Link, error) {
	name := fmt.Sprint(len(n.links))
	l := &Link{toxiproxy.NewProxy(n.server, name, "127.0.0.1:0", address)}
	if err := l.proxy.Start(); err != nil {
		return nil, err
	}
	n.links = append(n.links, l)
	return l, nil
}

// Address is where the link listens.
func (l *Link) Address() string { return l.proxy.Listen }

// Break lets a fault befall all connections of the link, those to come included.
// The link must be well.
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

// Heal ends the fault. Connections that it left without sense are closed.
func (l *Link) Heal(ctx context.Context) {
	l.proxy.Toxics.ResetToxics(ctx)
}

const lossName = "loss"

const (
	lossRate = 0.05
	// retransmission is how long TCP waits before it sends again, at least; each
	// further loss of the same data doubles it.
	retransmission = 200 * time.Millisecond
)

// loss is a toxic.
type loss struct{}

// Pipe delays what is lost, and everything behind it.
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

// deliver returns whether there was no interruption.
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
