package trial

import (
	"slices"
	"time"
)

// A Report is all that one run found.
type Report struct {
	Date     time.Time   `json:"date"`
	Command  string      `json:"command"`
	Machine  Machine     `json:"machine"`
	Settings RunSettings `json:"settings"`
	// Others is the share of the servers' core that something else took in rounds.
	Others float64 `json:"others_share_of_core"`
	// Ceiling are the bare operations, by name in the order of the table.
	Ceiling   []Operation `json:"ceiling"`
	Generator Generator   `json:"load_generator"`
	Servers   []Server    `json:"servers"`
	Rows      []Row       `json:"rows"`
	Paced     []Paced     `json:"paced,omitempty"`
	Overload  *Overload   `json:"overload,omitempty"`
	Noisy     *Noisy      `json:"noisy,omitempty"`
	Ledger    []Ledger    `json:"ledger,omitempty"`
	Prune     *Prune      `json:"prune,omitempty"`
	Targets   []Target    `json:"targets,omitempty"`
	// Failed says what could not be measured, and why.
	Failed []string `json:"failed,omitempty"`
}

// Machine is where it was measured.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Pinned bool   `json:"pinned"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	Memory int64  `json:"memory_bytes"`
	// OpenSSL is its version, empty when it is not installed.
	OpenSSL string `json:"openssl,omitempty"`
}

// RunSettings say how much a run measured.
type RunSettings struct {
	Rounds      int     `json:"rounds"`
	Seconds     float64 `json:"seconds_per_round"`
	Connections []int   `json:"connections"`
}

// A Spread is the median, least and greatest of some figures.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// SpreadOf figures; of none it is zero.
func SpreadOf(figures []float64) Spread {
	if len(figures) == 0 {
		return Spread{}
	}
	sorted := slices.Sorted(slices.Values(figures))
	n := len(sorted)
	return Spread{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Min: sorted[0], Max: sorted[n-1]}
}

// An Operation is one bare operation on one core.
type Operation struct {
	Name      string `json:"name"`
	PerSecond Spread `json:"per_second"`
}

// Generator is what the load generator can do at the most, against a server that
// parses nothing.
type Generator struct {
	Connections int    `json:"connections"`
	Rate        Spread `json:"requests_per_second"`
	// CPU that the generator takes for one request, in microseconds.
	CPU Spread `json:"cpu_us_per_request"`
}

// A Server is one that was measured.
type Server struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Keeps   string `json:"keeps"`
	// Reference servers are a ceiling and no authorization servers.
	Reference bool `json:"reference,omitempty"`
	// Memory after rounds with 64 connections, in octets; 0 when there were none.
	Memory int64 `json:"memory_bytes,omitempty"`
	// ColdStart to the first token, in milliseconds.
	ColdStart Spread `json:"cold_start_ms"`
	// Cannot says why an exchange is not there, by kind.
	Cannot map[string]string `json:"cannot,omitempty"`
}

// A Row is one exchange at one number of connections. Times are in microseconds.
type Row struct {
	Server      string `json:"server"`
	Kind        string `json:"kind"`
	Variant     string `json:"variant,omitempty"`
	Note        string `json:"note,omitempty"`
	Reference   bool   `json:"reference,omitempty"`
	Connections int    `json:"connections"`
	Rounds      int    `json:"rounds"`
	Tokens      int    `json:"tokens"`
	Rate        Spread `json:"requests_per_second"`
	P50         Spread `json:"p50_us"`
	P99         Spread `json:"p99_us"`
	P999        Spread `json:"p999_us"`
	CPU         Spread `json:"cpu_us_per_token"`
	// Ceiling is what bounds the kind, and Ratio the share of it that was
	// reached, round by round.
	Ceiling string  `json:"ceiling,omitempty"`
	Ratio   *Spread `json:"ratio_to_ceiling,omitempty"`
	// CPURatio is the processor time of the ceiling in that of the row: what
	// others do on the machine changes it less.
	CPURatio *Spread `json:"cpu_ratio_to_ceiling,omitempty"`
	// Error says why there are no figures.
	Error string `json:"error,omitempty"`
}

// Paced is a server asked at a fixed rate with 64 connections.
type Paced struct {
	Server  string  `json:"server"`
	Kind    string  `json:"kind"`
	Variant string  `json:"variant,omitempty"`
	Rate    float64 `json:"asked_per_second"`
	P50     Spread  `json:"p50_us"`
	P99     Spread  `json:"p99_us"`
	P999    Spread  `json:"p999_us"`
	// Error says why there are no figures: it does not reach the rate, for one.
	Error string `json:"error,omitempty"`
}

// Overload is what came of asking for more than there is.
type Overload struct {
	Kind        string  `json:"kind"`
	Connections int     `json:"connections"`
	Seconds     float64 `json:"seconds"`
	Capacity    float64 `json:"capacity_per_second"`
	// Due is how much was to be asked for, Asked how much was.
	Due float64 `json:"due_per_second"`
	// Busy is the share of the load generator's core that asking took.
	Busy    float64 `json:"generator_busy"`
	Asked   float64 `json:"asked_per_second"`
	Goodput float64 `json:"granted_per_second"`
	Refused float64 `json:"refused_per_second"`
	// RetryAfter is the share of refusals that say when to come again.
	RetryAfter float64 `json:"refusals_with_retry_after"`
	// Other counts answers that are neither tokens nor 429 or 503.
	Other      int    `json:"other_answers"`
	FirstOther string `json:"first_other_answer,omitempty"`
	// P99 of what was granted and of what was refused, from when it was sent, in milliseconds.
	P99        float64 `json:"p99_granted_ms"`
	P99Refused float64 `json:"p99_refused_ms"`
	// After is the share of capacity, and P99After the latency at half of it, five seconds later.
	After    float64 `json:"goodput_share_after"`
	P99After float64 `json:"p99_after_ms"`
}

// Noisy is what one client that asks for far too much leaves to the others.
type Noisy struct {
	Clients   int     `json:"clients"`
	Asked     float64 `json:"noisy_due_per_second"`
	Sent      float64 `json:"noisy_asked_per_second"`
	Got       float64 `json:"noisy_granted_per_second"`
	Limit     float64 `json:"limit_per_second"`
	Others    float64 `json:"others_asked_per_second"`
	OthersGot float64 `json:"others_granted_share"`
	OthersP99 float64 `json:"others_p99_ms"`
	// Of what the others did not get: how much was refused, and how much never
	// sent because all their connections waited.
	OthersRefused float64 `json:"others_refused_share"`
	OthersUnsent  float64 `json:"others_unsent_share"`
}

// Ledger is what a token takes on the disk.
type Ledger struct {
	Kind   string  `json:"kind"`
	Tokens int     `json:"tokens"`
	Bytes  float64 `json:"bytes_per_token"`
}

// Prune is what requests noticed of old entries being removed.
type Prune struct {
	Entries int     `json:"entries_removed_about"`
	Rate    float64 `json:"asked_per_second"`
	// Longest request before and while entries were removed, in milliseconds.
	Before float64 `json:"longest_before_ms"`
	During float64 `json:"longest_during_ms"`
	P999   float64 `json:"p999_during_ms"`
}

// A Target is a promise and what came of it.
type Target struct {
	What string `json:"what"`
	// Want is the least, or the most when AtMost; Got what was measured; nil when
	// it was not.
	Want   float64  `json:"want"`
	AtMost bool     `json:"at_most,omitempty"`
	Unit   string   `json:"unit"`
	Got    *float64 `json:"got"`
}

// Reached tells whether the target was measured and reached.
func (t *Target) Reached() bool {
	return t.Got != nil && (t.AtMost && *t.Got <= t.Want || !t.AtMost && *t.Got >= t.Want)
}

// Row finds a row; nil when there is none with figures.
func (r *Report) Row(server, kind, variant string, connections int) *Row {
	for i := range r.Rows {
		row := &r.Rows[i]
		if row.Server == server && row.Kind == kind && row.Variant == variant && row.Connections == connections && row.Error == "" {
			return row
		}
	}
	return nil
}
