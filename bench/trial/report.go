package trial

import (
	"slices"
	"time"

	"moneyer/bench/subject"
)

// A Report holds all results of one run.
type Report struct {
	Date     time.Time   `json:"date"`
	Command  string      `json:"command"`
	Machine  Machine     `json:"machine"`
	Settings RunSettings `json:"settings"`
	// Others is the share of the servers' core that other programs took during rounds.
	Others float64 `json:"others_share_of_core"`
	// Ceiling holds the basic operations, in the order of the table.
	Ceiling   []Operation `json:"ceiling"`
	Generator Generator   `json:"load_generator"`
	Servers   []Server    `json:"servers"`
	Rows      []Row       `json:"rows"`
	Paced     []Paced     `json:"paced,omitempty"`
	Overload  *Overload   `json:"overload,omitempty"`
	// OverloadTLS has a new TLS connection for each request.
	OverloadTLS *Overload `json:"overload_tls,omitempty"`
	Noisy       *Noisy    `json:"noisy,omitempty"`
	Ledger      []Ledger  `json:"ledger,omitempty"`
	Prune       *Prune    `json:"prune,omitempty"`
	// Replicas are replicas on one store whose commits wait for a standby.
	Replicas []Replicated `json:"replicas,omitempty"`
	Targets  []Target     `json:"targets,omitempty"`
	// Pictures are the exchanges that the pictures show.
	Pictures []Picture `json:"pictures,omitempty"`
	// Failed lists what could not be measured, and why.
	Failed []string `json:"failed,omitempty"`
}

// Machine describes the machine.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Pinned bool   `json:"pinned"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	Memory int64  `json:"memory_bytes"`
	// OpenSSL is its version, empty if it is not installed.
	OpenSSL string `json:"openssl,omitempty"`
}

// RunSettings describe the extent of a run.
type RunSettings struct {
	Rounds      int     `json:"rounds"`
	Seconds     float64 `json:"seconds_per_round"`
	Connections []int   `json:"connections"`
}

// A Spread is the median, minimum and maximum of some figures.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// SpreadOf returns the spread of figures, zero if there are none.
func SpreadOf(figures []float64) Spread {
	if len(figures) == 0 {
		return Spread{}
	}
	sorted := slices.Sorted(slices.Values(figures))
	n := len(sorted)
	return Spread{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Min: sorted[0], Max: sorted[n-1]}
}

// An Operation is one basic operation on one core.
type Operation struct {
	Name      string `json:"name"`
	PerSecond Spread `json:"per_second"`
}

// Generator is the limit of the load generator, measured with a server that parses nothing.
type Generator struct {
	Connections int    `json:"connections"`
	Rate        Spread `json:"requests_per_second"`
	// CPU time of the generator per request, in microseconds.
	CPU Spread `json:"cpu_us_per_request"`
}

// A Server is a measured server.
type Server struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Keeps   string `json:"keeps"`
	// Reference servers serve as ceiling and are not authorization servers.
	Reference bool `json:"reference,omitempty"`
	// Memory after rounds with 64 connections, in bytes; 0 if there were none.
	Memory int64 `json:"memory_bytes,omitempty"`
	// Heap is the live heap after them, in bytes, of servers that say it.
	Heap int64 `json:"live_heap_bytes,omitempty"`
	// ColdStart to the first token, in milliseconds.
	ColdStart Spread `json:"cold_start_ms"`
	// Cannot says why an exchange is missing, by kind.
	Cannot map[string]string `json:"cannot,omitempty"`
}

// A Row is one exchange at one number of connections. Times are in microseconds.
type Row struct {
	Server    string `json:"server"`
	Kind      string `json:"kind"`
	Variant   string `json:"variant,omitempty"`
	Note      string `json:"note,omitempty"`
	Reference bool   `json:"reference,omitempty"`
	// Connection is the kind of connection, empty for plain HTTP on connections that are kept.
	// Otherwise Connections is the number of requests at once, and Handshakes of all that were
	// made, each of which was judged to be full or resumed as the kind says.
	Connection  subject.Connection `json:"connection,omitempty"`
	Handshakes  int                `json:"handshakes,omitempty"`
	Connections int                `json:"connections"`
	Rounds      int                `json:"rounds"`
	Tokens      int                `json:"tokens"`
	Rate        Spread             `json:"requests_per_second"`
	P50         Spread             `json:"p50_us"`
	P99         Spread             `json:"p99_us"`
	P999        Spread             `json:"p999_us"`
	CPU         Spread             `json:"cpu_us_per_token"`
	// Client is the processor time of the load generator per token. Idle is the share of the servers'
	// core that nobody used: where it is more than a few percent the generator or the disk bounds the
	// rate, and only the processor time compares.
	Client Spread `json:"load_generator_cpu_us_per_token"`
	Idle   Spread `json:"idle_share_of_servers_core"`
	// Ceiling is the upper bound for the kind, and Ratio the reached share of it, round by round.
	Ceiling string  `json:"ceiling,omitempty"`
	Ratio   *Spread `json:"ratio_to_ceiling,omitempty"`
	// CPURatio is the processor time of the ceiling divided by that of the row: other programs on
	// the machine change it less.
	CPURatio *Spread `json:"cpu_ratio_to_ceiling,omitempty"`
	// Error says why there are no figures.
	Error string `json:"error,omitempty"`
}

// Paced is the result of a server at a fixed rate with 64 connections.
type Paced struct {
	Server  string  `json:"server"`
	Kind    string  `json:"kind"`
	Variant string  `json:"variant,omitempty"`
	Rate    float64 `json:"asked_per_second"`
	P50     Spread  `json:"p50_us"`
	P99     Spread  `json:"p99_us"`
	P999    Spread  `json:"p999_us"`
	// Error says why there are no figures, for example that it does not reach the rate.
	Error string `json:"error,omitempty"`
}

// Overload is the result of sending more requests than the capacity.
type Overload struct {
	Kind string `json:"kind"`
	// Connection is the kind of connection; with TLS Connections is the most that are open at once.
	Connection  subject.Connection `json:"connection,omitempty"`
	Connections int                `json:"connections"`
	Seconds     float64            `json:"seconds"`
	Capacity    float64            `json:"capacity_per_second"`
	// TokenCPU is the processor time of a token at the capacity, in microseconds.
	TokenCPU float64 `json:"token_cpu_us"`
	// Due is the intended rate, Asked the rate that was sent.
	Due float64 `json:"due_per_second"`
	// Busy is the load of the load generator's core.
	Busy    float64 `json:"generator_busy"`
	Asked   float64 `json:"asked_per_second"`
	Goodput float64 `json:"granted_per_second"`
	Refused float64 `json:"refused_per_second"`
	// RetryAfter is the share of refusals with Retry-After.
	RetryAfter float64 `json:"refusals_with_retry_after"`
	// Other counts responses that are neither tokens nor 429 or 503.
	Other      int    `json:"other_answers"`
	FirstOther string `json:"first_other_answer,omitempty"`
	// Broken is the rate of connections that ended without an answer, or got none within ten seconds.
	Broken      float64 `json:"broken_per_second"`
	FirstBroken string  `json:"first_broken,omitempty"`
	// EmptyCPU is the processor time of an empty 503 of a handler that does nothing else, with the same
	// kind of connection, in microseconds. Left is what the refusals would leave of the capacity if
	// each took that long, per second. Connections that ended without an answer count as free.
	EmptyCPU float64 `json:"empty_answer_cpu_us"`
	Left     float64 `json:"left_by_empty_refusals_per_second"`
	// Beside is a reference that grants at most Left and refuses so, under the same load. It is nil
	// if nothing is left.
	Beside *OverloadReference `json:"beside,omitempty"`
	// P99 of granted and of refused requests, since sending, in milliseconds.
	P99        float64 `json:"p99_granted_ms"`
	P99Refused float64 `json:"p99_refused_ms"`
	// After is the granted share at half of capacity, and P99After its latency, five seconds later.
	After    float64 `json:"goodput_share_after"`
	P99After float64 `json:"p99_after_ms"`
}

// OverloadReference is the result of a reference server under the load of an overload, per second.
type OverloadReference struct {
	Server  string  `json:"server"`
	Asked   float64 `json:"asked_per_second"`
	Goodput float64 `json:"granted_per_second"`
	Refused float64 `json:"refused_per_second"`
	Broken  float64 `json:"broken_per_second"`
	P99     float64 `json:"p99_granted_ms"`
}

// Noisy is the result of one client that sends far too many requests beside others.
type Noisy struct {
	Clients   int     `json:"clients"`
	Asked     float64 `json:"noisy_due_per_second"`
	Sent      float64 `json:"noisy_asked_per_second"`
	Got       float64 `json:"noisy_granted_per_second"`
	Limit     float64 `json:"limit_per_second"`
	Others    float64 `json:"others_asked_per_second"`
	OthersGot float64 `json:"others_granted_share"`
	OthersP99 float64 `json:"others_p99_ms"`
	// The share of the others' requests that were refused, and that were never sent because all
	// their connections waited.
	OthersRefused float64 `json:"others_refused_share"`
	OthersUnsent  float64 `json:"others_unsent_share"`
}

// Ledger is the size of a token on disk.
type Ledger struct {
	Kind   string  `json:"kind"`
	Tokens int     `json:"tokens"`
	Bytes  float64 `json:"bytes_per_token"`
}

// Prune is the effect of removing old entries on requests.
type Prune struct {
	Entries int     `json:"entries_removed_about"`
	Rate    float64 `json:"asked_per_second"`
	// Longest request before and during the removal, in milliseconds.
	Before float64 `json:"longest_before_ms"`
	During float64 `json:"longest_during_ms"`
	P999   float64 `json:"p999_during_ms"`
}

// Over returns a row with a kind of connection, or nil if there is none with figures. kind is the name
// of the work for a reference.
func (r *Report) Over(server, kind string, connection subject.Connection) *Row {
	for i := range r.Rows {
		row := &r.Rows[i]
		if row.Server == server && row.Kind == kind && row.Connection == connection && row.Error == "" {
			return row
		}
	}
	return nil
}

// Row returns a row with connections that are kept, or nil if there is none with figures.
func (r *Report) Row(server, kind, variant string, connections int) *Row {
	for i := range r.Rows {
		row := &r.Rows[i]
		if row.Server == server && row.Kind == kind && row.Variant == variant && row.Connections == connections && row.Connection == subject.Kept && row.Error == "" {
			return row
		}
	}
	return nil
}
