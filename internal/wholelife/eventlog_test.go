package wholelife

import (
	"encoding/json"
	"sync"
	"time"
)

// The kinds of events.
const (
	listening = "listening" // the API listens at URL
	fetched   = "fetched"   // the API fetched URL from the issuer
	accepted  = "accepted"  // the API accepted a call with a token
	asked     = "asked"     // the partner called the token endpoint
	called    = "called"    // the partner called the API
	probed    = "probed"    // the partner sent the API a token regardless of its age
)

// event is what a process reports.
type event struct {
	Kind       string
	Start, End time.Time
	URL        string `json:",omitempty"`
	// Status of the response; 0 if there was none.
	Status int `json:",omitempty"`
	// Error of a call, and whether it means that the token endpoint is unreachable.
	Error       string `json:",omitempty"`
	Unreachable bool   `json:",omitempty"`
	// Of a token.
	JTI    string    `json:",omitempty"`
	Kid    string    `json:",omitempty"`
	Client string    `json:",omitempty"`
	Expiry time.Time `json:",omitzero"`
	// Credential of the request, and the number of its concurrent requests.
	Credential string `json:",omitempty"`
	Flights    int    `json:",omitempty"`
}

// reporter writes events.
type reporter struct {
	mu  sync.Mutex
	out *json.Encoder
}

func (t *reporter) report(e event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = t.out.Encode(e) // fails only when the parent is gone and the process about to end
}

// eventLog collects the events of all processes while they are read.
type eventLog struct {
	mu     sync.Mutex
	events []event
	more   chan struct{} // with capacity 1: signals new events
}

func newEventLog() *eventLog { return &eventLog{more: make(chan struct{}, 1)} }

func (d *eventLog) add(e event) {
	d.mu.Lock()
	d.events = append(d.events, e)
	d.mu.Unlock()
	select {
	case d.more <- struct{}{}:
	default:
	}
}

// from returns the events from index n on.
func (d *eventLog) from(n int) []event {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.events[n:len(d.events):len(d.events)]
}
