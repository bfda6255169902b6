package trial

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"moneyer/bench/load"
	"moneyer/bench/subject"
)

// Replicated is the result of one exchange at a number of replicas of a server on one store. Times
// are in microseconds.
type Replicated struct {
	Replicas    int    `json:"replicas"`
	Kind        string `json:"kind"`
	Connections int    `json:"connections"`
	Rounds      int    `json:"rounds"`
	Tokens      int    `json:"tokens"`
	Rate        Spread `json:"requests_per_second"`
	P50         Spread `json:"p50_us"`
	P99         Spread `json:"p99_us"`
	// CPU is the processor time per token of all programs, by their role, and Parts that of the
	// processes of each: "primary: walsender".
	CPU   map[subject.Role]Spread `json:"cpu_us_per_token"`
	Parts map[string]Spread       `json:"parts_cpu_us_per_token"`
	// Client and Idle are those of a [Row].
	Client Spread `json:"load_generator_cpu_us_per_token"`
	Idle   Spread `json:"idle_share_of_servers_core"`
	// Batch is the appends per commit, Commits those of all replicas, and WAL its bytes.
	Batch   Spread `json:"appends_per_commit"`
	Commits Spread `json:"commits_per_second"`
	WAL     Spread `json:"wal_bytes_per_token"`
	// Active is how long a transaction executes statements and waits for both disks, Between how long
	// it waits for its replica.
	Active  Spread `json:"active_us_per_transaction"`
	Between Spread `json:"between_us_per_transaction"`
	// Disturbed is the share of the servers' core that other programs took.
	Disturbed Spread `json:"others_share_of_core"`
}

// All returns the processor time of all programs per token, of the medians.
func (r *Replicated) All() (sum float64) {
	for _, s := range r.CPU {
		sum += s.Median
	}
	return sum
}

// replicated collects the rounds of a Replicated.
type replicated struct {
	row                     *row
	addresses               []string
	connections             int
	figures                 []figures
	cpu                     map[subject.Role][]float64
	parts                   map[string][]float64
	batch, commits, wal     []float64
	active, between, others []float64
}

// Replicas measures exchanges of these kinds with the connections spread over one of the server's
// replicas and over all. The other replicas run idle meanwhile.
func (t *Trial) Replicas(ctx context.Context, s subject.Server, kinds []subject.Kind, connections []int, duration time.Duration) (all []Replicated, err error) {
	return all, t.alone(ctx, s, func(c *contender) error {
		var rows []*replicated
		for i := range c.setup.Exchanges {
			e := &c.setup.Exchanges[i]
			if !slices.Contains(kinds, e.Kind) || t.Wanted != nil && !t.Wanted(s.Name, e.Kind, e.Variant) {
				continue
			}
			r := newRow(c, e)
			if err := t.calibrateRow(ctx, r); err != nil {
				return err
			}
			rows = append(rows, r.replicated(connections)...)
		}
		if err := t.replicatedRounds(ctx, rows, duration); err != nil {
			return err
		}
		for _, r := range rows {
			all = append(all, r.report())
		}
		return nil
	})
}

// replicated returns the measurements of a row: each number of connections to one replica and to all.
func (r *row) replicated(connections []int) (all []*replicated) {
	addresses := r.contender.setup.Replicas
	for _, n := range connections {
		for _, replicas := range []int{1, len(addresses)} {
			all = append(all, &replicated{row: r, addresses: addresses[:replicas], connections: n,
				cpu: map[subject.Role][]float64{}, parts: map[string][]float64{}})
		}
	}
	return all
}

func (t *Trial) replicatedRounds(ctx context.Context, rows []*replicated, duration time.Duration) error {
	t.Progress.Begin(t.Rounds * len(rows))
	for round := range t.Rounds {
		for _, r := range rows {
			t.Progress.Step("round %d of %d, %d connections to %d replicas: %s", round+1, t.Rounds, r.connections, len(r.addresses), r.row.name())
			if err := t.replicatedRound(ctx, r, duration); err != nil {
				return err
			}
		}
	}
	t.Progress.End()
	return nil
}

// replicatedRound runs one round.
func (t *Trial) replicatedRound(ctx context.Context, r *replicated, duration time.Duration) error {
	wanted := 4 * r.row.rate[0] // until it is known
	if n := len(r.figures); n > 0 {
		wanted = r.figures[n-1].rate
	}
	requests, err := r.row.requests(ctx, int(1.3*wanted*duration.Seconds())+r.connections)
	if err != nil {
		return err
	}
	before, err := t.countAll(ctx, r)
	if err != nil {
		return err
	}
	round := load.Round{Endpoint: r.row.endpoint, Addresses: r.addresses, Connections: r.connections, Duration: duration, Requests: requests}
	restore := load.Quiet()
	result, err := round.Closed(ctx)
	restore()
	if err != nil {
		return err
	}
	costs, err := t.costs(r.row.contender)
	if err != nil {
		return err
	}
	if err := r.row.judge.Round(ctx, result.Answers); err != nil {
		return err
	}
	after, err := t.countAll(ctx, r)
	if err != nil {
		return err
	}
	after.costs = costs
	r.add(result, before, after)
	return nil
}

// costs is the state of the servers' core, and the processor time so far of all processes.
type costs struct {
	watch
	at    time.Time
	roles map[subject.Role]time.Duration
	parts map[string]time.Duration
}

func (t *Trial) costs(c *contender) (s costs, err error) {
	s.roles, s.parts = map[subject.Role]time.Duration{}, map[string]time.Duration{}
	for i, p := range append([]*subject.Process{c.main}, c.beside...) {
		role := c.setup.Server.Role
		if i > 0 {
			role = c.setup.Beside[i-1].Role
		}
		if err := p.Alive(); err != nil {
			return s, err
		}
		family, err := p.Family()
		if err != nil {
			return s, err
		}
		titles, err := subject.Titles(family)
		if err != nil {
			return s, err
		}
		for title, cpu := range titles {
			s.roles[role] += cpu
			s.parts[string(role)+": "+title] += cpu
		}
	}
	s.watch, err = t.watch()
	s.at = time.Now()
	return s, err
}

// counted is everything that is counted around a round.
type counted struct {
	costs
	subject.Counts
}

// countAll reads all counts. PostgreSQL's sessions report their times at a transaction that ends a
// second after the last report, so each replica gets a request by then.
func (t *Trial) countAll(ctx context.Context, r *replicated) (c counted, err error) {
	if err := settle(ctx, 1100*time.Millisecond); err != nil {
		return c, err
	}
	requests, err := r.row.requests(ctx, len(r.addresses))
	if err != nil {
		return c, err
	}
	round := load.Round{Endpoint: r.row.endpoint, Addresses: r.addresses, Connections: len(requests), Duration: time.Minute, Requests: requests}
	if _, err := round.Closed(ctx); err != nil {
		return c, err
	}
	if c.Counts, err = r.row.contender.setup.Count(ctx); err != nil {
		return c, fmt.Errorf("count commits: %w", err)
	}
	c.costs, err = t.costs(r.row.contender)
	return c, err
}

// add adds the figures of one round.
func (r *replicated) add(result *load.Result, before, after counted) {
	tokens := float64(len(result.Answers))
	f := figuresOf(result, 0)
	whole := after.at.Sub(before.at).Seconds()
	var own time.Duration
	for role, cpu := range after.roles {
		own += cpu - before.roles[role]
		r.cpu[role] = append(r.cpu[role], microseconds(cpu-before.roles[role])/tokens)
	}
	for part, cpu := range after.parts {
		r.parts[part] = append(r.parts[part], microseconds(cpu-before.parts[part])/tokens)
	}
	busy := after.busy - before.busy
	f.idle = max(0, 1-busy.Seconds()/whole)
	r.figures = append(r.figures, f)
	commits := float64(after.Commits - before.Commits)
	r.batch = append(r.batch, float64(after.Appends-before.Appends)/commits)
	r.commits = append(r.commits, commits/result.Elapsed.Seconds())
	r.wal = append(r.wal, float64(after.WAL-before.WAL)/float64(after.Appends-before.Appends))
	transactions := float64(after.Transactions - before.Transactions)
	r.active = append(r.active, microseconds(after.Active-before.Active)/transactions)
	r.between = append(r.between, microseconds(after.Between-before.Between)/transactions)
	r.others = append(r.others, max(0, (busy-own).Seconds()/whole))
}

func (r *replicated) report() Replicated {
	out := Replicated{Replicas: len(r.addresses), Kind: string(r.row.exchange.Kind), Connections: r.connections, Rounds: len(r.figures),
		Batch: SpreadOf(r.batch), Commits: SpreadOf(r.commits), WAL: SpreadOf(r.wal), Active: SpreadOf(r.active), Between: SpreadOf(r.between),
		Disturbed: SpreadOf(r.others), CPU: map[subject.Role]Spread{}, Parts: map[string]Spread{}}
	of := func(get func(figures) float64) Spread {
		var all []float64
		for _, f := range r.figures {
			all = append(all, get(f))
		}
		return SpreadOf(all)
	}
	for _, f := range r.figures {
		out.Tokens += f.tokens
	}
	out.Rate, out.P50, out.P99 = of(func(f figures) float64 { return f.rate }), of(func(f figures) float64 { return f.p50 }), of(func(f figures) float64 { return f.p99 })
	out.Client, out.Idle = of(func(f figures) float64 { return f.client }), of(func(f figures) float64 { return f.idle })
	for role := range maps.Keys(r.cpu) {
		out.CPU[role] = SpreadOf(r.cpu[role])
	}
	for part := range maps.Keys(r.parts) {
		out.Parts[part] = SpreadOf(r.parts[part])
	}
	return out
}
