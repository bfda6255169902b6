package wholelife

import (
	"encoding/json"
	"sync"
	"time"
)

// The kinds of events.
const (
	listening = "listening" // the API can be called at URL
	fetched   = "fetched"   // the API asked the issuer for URL
	accepted  = "accepted"  // the API let a call with a token pass
	asked     = "asked"     // the partner asked the token endpoint
	called    = "called"    // the partner called the API
	probed    = "probed"    // the partner showed the API a token whatever its age
)

// event is what a process tells of itself.
type event struct {
	Kind       string
	Start, End time.Time
	URL        string `json:",omitempty"`
	// Status of the answer; 0 when there was none.
	Status int `json:",omitempty"`
	// Error of a call, and whether it says that the token endpoint is unreachable.
	Error       string `json:",omitempty"`
	Unreachable bool   `json:",omitempty"`
	// Of a token.
	JTI    string    `json:",omitempty"`
	Kid    string    `json:",omitempty"`
	Client string    `json:",omitempty"`
	Expiry time.Time `json:",omitzero"`
	// Credential that asked, and how many of its requests were under way.
	Credential string `json:",omitempty"`
	Flights    int    `json:",omitempty"`
}

// teller writes events.
type teller struct {
	mu  sync.Mutex
	out *json.Encoder
}

func (t *teller) tell(e event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = t.out.Encode(e) // when nobody listens any more, the process is about to end
}

// diary takes the events of all processes, while one reads.
type diary struct {
	mu     sync.Mutex
	events []event
	more   chan struct{} // of capacity 1: there may be more
}

func newDiary() *diary { return &diary{more: make(chan struct{}, 1)} }

func (d *diary) add(e event) {
	d.mu.Lock()
	d.events = append(d.events, e)
	d.mu.Unlock()
	select {
	case d.more <- struct{}{}:
	default:
	}
}

// from returns the events from the nth on.
func (d *diary) from(n int) []event {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.events[n:len(d.events):len(d.events)]
}
