package main

import (
	"context"
	"time"

	"moneyer/bench/moneyer"
	"moneyer/bench/subject"
	"moneyer/bench/trial"
)

// The exchanges and names of Moneyer that its targets refer to.
const (
	own       = "moneyer"
	ownStatic = "moneyer (static)"
	// ownPostgres keeps its store where Hydra and Keycloak do.
	ownPostgres = "moneyer on PostgreSQL"
	ownMany     = "moneyer, 1,000,000 clients"
	ownLong     = "moneyer, 10,000,000 ledger entries"
	manyClients = 1_000_000
	ownGrant    = "thales-d1"
	ownPlain    = "oauth2"
	ownRSA      = "boltpay"
	// the defaults of limits.client_rate and client_burst
	clientRate, clientBurst = 500, 1000
)

// further measures what rounds do not: half load, overload, one noisy client, the size of the
// ledger. A failure is reported and does not affect the rest.
type further struct {
	*choices
	*trial.Trial
	base moneyer.Options
	// openSSL is the program of the references that sign with OpenSSL.
	openSSL string
	r       *trial.Report
}

// run runs one measurement after another.
func (f *further) run(ctx context.Context, r *trial.Report) error {
	f.r = r
	type step struct {
		name string
		do   func(context.Context) error
	}
	replicas := step{"replicas", f.spread}
	steps := []step{
		{"half of capacity", f.half}, {"overload", f.overload}, {"one noisy client", f.noisy}, {"the ledger's size", f.ledger},
	}
	if f.tls && !f.quick {
		steps = append(steps, step{"overload over TLS", f.overloadTLS})
	}
	if !f.quick {
		steps = append(steps, step{"pruning", f.prune}, replicas)
	}
	if f.replicas {
		steps = []step{replicas}
	}
	for _, s := range steps {
		err := s.do(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			f.Fail("%s: %v", s.name, err)
		}
	}
	return nil
}

func (f *further) half(ctx context.Context) error {
	for _, k := range []struct {
		kind    subject.Kind
		variant string
		also    []subject.Kind
	}{
		{subject.JWTBearerES256, ownGrant, []subject.Kind{subject.PrivateKeyJWTES256}},
		{subject.ClientCredentialsES256, ownPlain, nil},
	} {
		found, err := f.Paced(ctx, own, k.variant, k.kind, k.also...)
		if err != nil {
			return err
		}
		f.r.Paced = append(f.r.Paced, found...)
	}
	return nil
}

// crowdClients is high enough that no client reaches its own limit.
const crowdClients = 100

func (f *further) overload(ctx context.Context) (err error) {
	f.r.Overload, err = f.Trial.Overload(ctx, moneyer.Server(f.crowded()), f.limited(subject.Kept), f.overloadTime())
	return err
}

func (f *further) overloadTLS(ctx context.Context) (err error) {
	f.r.OverloadTLS, err = f.Trial.Overload(ctx, subject.OverTLS(moneyer.Server(f.crowded()), subject.TLSFull), f.limited(subject.TLSFull), f.overloadTime())
	return err
}

// crowded returns a Moneyer with its limits and many clients.
func (f *further) crowded() moneyer.Options {
	o := f.base
	o.Name, o.Limits, o.Clients = "moneyer with its limits", true, crowdClients
	return o
}

func (f *further) overloadTime() time.Duration {
	if f.quick {
		return 5 * time.Second
	}
	return time.Minute
}

// limited returns the reference of jwt-bearer with a limit.
func (f *further) limited(connection subject.Connection) trial.Reference {
	return func(library subject.Library, perSecond int) (subject.Server, error) {
		program := ""
		if library == subject.OpenSSL {
			program = f.openSSL
		}
		model, err := moneyer.Model()
		if err != nil {
			return subject.Server{}, err
		}
		s, err := subject.Reference(model, subject.WorkOf(subject.JWTBearerES256, library).AtMost(perSecond), program)
		if connection != subject.Kept {
			s = subject.OverTLS(s, connection)
		}
		return s, err
	}
}

func (f *further) noisy(ctx context.Context) (err error) {
	duration := 10 * time.Second
	if f.quick {
		duration = 4 * time.Second
	}
	o := f.base
	o.Name, o.Limits, o.Clients, o.Apart = "moneyer with a noisy client", true, crowdClients, true
	f.r.Noisy, err = f.Trial.Noisy(ctx, moneyer.Server(o), crowdClients, clientRate+clientBurst/duration.Seconds(), duration)
	return err
}

func (f *further) ledger(ctx context.Context) (err error) {
	o := f.base
	o.Name = "moneyer with a new store"
	f.r.Ledger, err = f.Trial.Ledger(ctx, moneyer.Server(o), subject.JWTBearerES256, subject.ClientCredentialsES256)
	return err
}

func (f *further) prune(ctx context.Context) (err error) {
	const entries, most = 1_000_000, 2000
	rate := float64(most)
	if row := f.r.Row(own, string(subject.ClientCredentialsES256), ownPlain, trial.Compared); row != nil {
		rate = min(rate, row.Rate.Median/2)
	}
	o := f.base
	o.Name, o.Entries, o.Age, o.Retention = "moneyer with old entries", entries, 48*time.Hour, 24*time.Hour
	f.r.Prune, err = f.Trial.Prune(ctx, moneyer.Server(o), entries, subject.ClientCredentialsES256, rate)
	return err
}

// spread measures replicas on PostgreSQL.
func (f *further) spread(ctx context.Context) (err error) {
	const replicas, longer = 3, 3 // rounds are longer, because commits wait for two disks
	o := f.base
	o.Name = "three replicas of moneyer on PostgreSQL with a synchronous standby"
	s := moneyer.Replicas(o, replicas)
	if _, err := s.Install(ctx, f.Progress.Detail()); err != nil {
		return err
	}
	f.r.Replicas, err = f.Replicas(ctx, s, []subject.Kind{subject.JWTBearerES256, subject.ClientCredentialsES256}, []int{trial.Compared, many}, longer*f.duration)
	return err
}
