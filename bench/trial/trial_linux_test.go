package trial

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"moneyer/bench/subject"
)

// TestMain also runs the commands that a trial starts as child processes.
func TestMain(m *testing.M) {
	ctx := context.Background()
	if len(os.Args) < 2 {
		os.Exit(m.Run())
	}
	switch os.Args[1] {
	case "reference":
		exit(subject.ServeReference(ctx, subject.Work(os.Args[2]), os.Args[3], os.Args[4], os.Args[5:]...))
	case "raw":
		exit(subject.ServeRaw(ctx, os.Args[2]))
	case "micro":
		figures, err := subject.MeasureMicro(ctx, os.Args[2], 1)
		if err == nil {
			fmt.Printf(`{"go_sign_rs256_per_second": %v}`, figures.SignRS256)
		}
		exit(err)
	default:
		os.Exit(m.Run())
	}
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// servers returns the references, two of which act as servers.
func servers(t *testing.T) (references, others []subject.Server) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	body := func(int) ([]byte, error) { return []byte("grant_type=client_credentials"), nil }
	references, err = subject.References(subject.Model{Client: key.Public(), Grant: body, Credentials: body, RS256: body}, subject.Go, "")
	if err != nil {
		t.Fatal(err)
	}
	pretend := func(name string, from subject.Server, change func(*subject.Exchange)) subject.Server {
		configure := from.Configure
		from.Name, from.Keeps = name, "nothing"
		from.Configure = func(ctx context.Context, folder, address string) (*subject.Setup, error) {
			setup, err := configure(ctx, folder, address)
			if err == nil {
				change(&setup.Exchanges[0])
			}
			return setup, err
		}
		return from
	}
	sign := references[2]
	good := pretend("good", sign, func(e *subject.Exchange) { e.Kind = subject.ClientCredentialsES256 })
	wrong := pretend("wrong", sign, func(e *subject.Exchange) { e.Kind, e.Alg = subject.ClientCredentialsES256, "RS256" })
	broken := subject.Server{Name: "broken", Install: func(context.Context, io.Writer) (string, error) { return "", errors.New("no network") }}
	return []subject.Server{references[0], sign}, []subject.Server{good, wrong, broken}
}

func TestTrial(t *testing.T) {
	var said strings.Builder
	trial, err := New(Settings{Rounds: 2, Duration: 50 * time.Millisecond, Connections: []int{1, Compared}, Restarts: 1,
		Folder: t.TempDir(), Progress: NewProgress(&said, false)})
	if err != nil {
		t.Fatal(err)
	}
	references, others := servers(t)
	if err := errors.Join(trial.Install(t.Context(), references, true), trial.Install(t.Context(), others, false)); err != nil {
		t.Fatal(err)
	}
	r, err := trial.Run(t.Context(), func(ctx context.Context, r *Report) (err error) {
		r.Paced, err = trial.Paced(ctx, "good", "", subject.ClientCredentialsES256)
		return err
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, &said)
	}
	row := r.Row("good", string(subject.ClientCredentialsES256), "", Compared)
	if row == nil || row.Rounds != 2 || row.Tokens == 0 || row.Rate.Median <= 0 || row.CPU.Median <= 0 || row.Ratio == nil || row.Ceiling != string(subject.Sign) {
		t.Errorf("the good server's row: %+v", row)
	}
	for _, row := range r.Rows {
		if row.Server == "wrong" && !strings.Contains(row.Error, "not with RS256") {
			t.Errorf("wrong tokens have figures: %+v", row)
		}
	}
	if len(r.Failed) != 2 || !strings.Contains(r.Failed[0], "broken cannot be installed: no network") {
		t.Errorf("failed: %q", r.Failed)
	}
	if len(r.Paced) != 1 || r.Paced[0].Error == "" && r.Paced[0].P99.Median <= 0 {
		t.Errorf("paced: %+v", r.Paced)
	}
	for _, s := range r.Servers {
		if !s.Reference && s.Name == "good" && (s.ColdStart.Median <= 0 || s.Memory <= 0) {
			t.Errorf("%+v", s)
		}
	}
	if r.Generator.Rate.Median <= 0 {
		t.Errorf("the load generator: %+v", r.Generator)
	}
}

// TestTLS measures a server by every kind of connection, beside its ceiling by the same kind.
func TestTLS(t *testing.T) {
	trial, err := New(Settings{Rounds: 1, Duration: 50 * time.Millisecond, Connections: []int{1}, Folder: t.TempDir(), Progress: NewProgress(io.Discard, false)})
	if err != nil {
		t.Fatal(err)
	}
	references, others := servers(t)
	kinds := []subject.Connection{subject.TLSFull, subject.TLSClassic, subject.TLSResumed}
	var behind []subject.Server
	for _, reference := range references {
		behind = append(behind, subject.OverTLS(reference, kinds...), subject.OverTLS(reference, subject.MutualTLS))
	}
	good := others[0]
	good.ConfigureTLS = func(ctx context.Context, folder, address string, c *subject.Certificates) (*subject.Setup, error) {
		setup, err := references[1].ConfigureTLS(ctx, folder, address, c)
		if err == nil {
			setup.Exchanges[0].Kind = subject.ClientCredentialsES256
		}
		return setup, err
	}
	contenders := []subject.Server{good, subject.OverTLS(good, kinds...), subject.OverTLS(good, subject.MutualTLS)}
	if err := errors.Join(trial.Install(t.Context(), behind, true), trial.Install(t.Context(), contenders, false)); err != nil {
		t.Fatal(err)
	}
	r, err := trial.Run(t.Context(), nil)
	if err != nil || len(r.Failed) > 0 {
		t.Fatalf("%v, %q", err, r.Failed)
	}
	for _, kind := range append(kinds, subject.MutualTLS) {
		row := r.Over("good", string(subject.ClientCredentialsES256), kind)
		if row == nil || row.Connections != Together || row.Handshakes < row.Tokens || row.Tokens == 0 || row.Client.Median <= 0 || row.Ratio == nil || row.Ceiling != string(subject.Sign) {
			t.Errorf("%s: %+v", kind, row)
		}
		if empty := r.Over(string(subject.Empty), string(subject.Empty), kind); empty == nil || empty.Ratio != nil {
			t.Errorf("the empty handler, %s: %+v", kind, empty)
		}
	}
	if kept := r.Row("good", string(subject.ClientCredentialsES256), "", 1); kept == nil || kept.Connection != subject.Kept || kept.Handshakes != 0 {
		t.Errorf("kept: %+v", kept)
	}
	var page strings.Builder
	if err := r.Markdown(&page); err != nil || !strings.Contains(page.String(), "### Resumed by a ticket") || !strings.Contains(page.String(), "| good | client_credentials ES256 |") {
		t.Errorf("%v\n%s", err, &page)
	}
}

// TestBeside: a reference with a limit gets the load of an overload, grants what the limit says and
// refuses the rest.
func TestBeside(t *testing.T) {
	trial, err := New(Settings{Duration: 50 * time.Millisecond, Connections: []int{1}, Folder: t.TempDir(), Progress: NewProgress(io.Discard, false)})
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	body := func(int) ([]byte, error) { return []byte("grant_type=client_credentials"), nil }
	model := subject.Model{Client: key.Public(), Grant: body, Credentials: body, RS256: body}
	for _, over := range []subject.Connection{subject.Kept, subject.TLSFull} {
		reference := func(_ subject.Library, perSecond int) (subject.Server, error) {
			s, err := subject.Reference(model, subject.Sign.AtMost(perSecond), "")
			if over != subject.Kept {
				s = subject.OverTLS(s, over)
			}
			return s, err
		}
		o := &Overload{Connections: 8, Capacity: 50, Due: 150, Refused: 20, TokenCPU: 10_000}
		if err := trial.beside(t.Context(), o, subject.Go, reference, 500*time.Millisecond); err != nil {
			t.Fatalf("%s: %v", over, err)
		}
		b := o.Beside
		if o.EmptyCPU <= 0 || o.Left <= 0 || o.Left >= o.Capacity || b == nil || b.Goodput <= 0 || b.Goodput > o.Capacity+5 || b.Refused <= 0 {
			t.Errorf("%q: %+v, beside it %+v", over, o, b)
		}
		o = &Overload{Connections: 8, Capacity: 50, Due: 150, Refused: 1e9, TokenCPU: 1000}
		if err := trial.beside(t.Context(), o, subject.Go, reference, 100*time.Millisecond); err != nil || o.Left != 0 || o.Beside != nil {
			t.Errorf("refusals that leave nothing: %+v, %v", o, err)
		}
	}
}

func TestOverloadAndGrowth(t *testing.T) {
	trial, err := New(Settings{Rounds: 1, Duration: 50 * time.Millisecond, Connections: []int{1}, Folder: t.TempDir(), Progress: NewProgress(io.Discard, false)})
	if err != nil {
		t.Fatal(err)
	}
	_, others := servers(t)
	found, err := trial.Ledger(t.Context(), others[0], subject.ClientCredentialsES256)
	if err != nil || len(found) != 1 || found[0].Bytes != 0 || found[0].Tokens == 0 {
		t.Errorf("a server that keeps nothing grew: %+v, %v", found, err)
	}
	if _, err := trial.Ledger(t.Context(), others[1], subject.ClientCredentialsES256); err == nil {
		t.Error("wrong tokens were counted")
	}
}

func TestBound(t *testing.T) {
	step := Step{Round: 1, Connections: 4}
	reference := func(work subject.Work) *subject.Exchange { return &subject.Exchange{Kind: subject.Kind(work)} }
	sign := &row{contender: &contender{reference: true}, exchange: reference(subject.Sign), found: map[Step]figures{step: {rate: 200, cpu: 5}}}
	openSSL := &row{contender: &contender{reference: true}, exchange: reference(subject.Sign.By(subject.OpenSSL)), found: map[Step]figures{step: {rate: 300, cpu: 4}}}
	own := &row{contender: &contender{setup: &subject.Setup{}}, exchange: &subject.Exchange{Kind: subject.ClientCredentialsES256}, found: map[Step]figures{step: {tokens: 7, rate: 150, cpu: 10}}}
	trial := &Trial{rows: []*row{sign, openSSL, own}}
	out := own.report(4, trial.bound)
	if out.Ratio == nil || out.Ratio.Median != 0.75 || out.CPURatio.Median != 0.5 || out.Tokens != 7 {
		t.Errorf("%+v", out)
	}
	own.contender.setup.Signs = subject.OpenSSL
	if out := own.report(4, trial.bound); out.Ratio == nil || out.Ratio.Median != 0.5 || out.CPURatio.Median != 0.4 || out.Ceiling != "form + sign ES256 (OpenSSL)" {
		t.Errorf("a server that signs with OpenSSL: %+v", out)
	}
	own.exchange.Kind = subject.ClientCredentialsRS256
	if out := own.report(4, trial.bound); out.Ratio != nil || out.Ceiling != "" {
		t.Errorf("a ceiling that was not measured: %+v", out)
	}
	own.exchange = &subject.Exchange{Kind: subject.ClientCredentialsES256, TLS: &subject.TLS{Connection: subject.TLSResumed}}
	if out := own.report(4, trial.bound); out.Ratio != nil || out.Connection != subject.TLSResumed {
		t.Errorf("TLS beside a ceiling without it: %+v", out)
	}
	openSSL.exchange.TLS = &subject.TLS{Connection: subject.TLSResumed}
	if out := own.report(4, trial.bound); out.Ratio == nil || out.Ratio.Median != 0.5 {
		t.Errorf("beside a ceiling with the same TLS: %+v", out)
	}
}

func TestProgress(t *testing.T) {
	var out strings.Builder
	p := NewProgress(&out, true)
	p.Begin(2)
	p.Step("one of %d", 2)
	p.Say("hello")
	p.Step("two")
	p.End()
	if got := out.String(); !strings.HasPrefix(got, "[1/2] one of 2\r\x1b[Khello\n[2/2, ") || !strings.HasSuffix(got, "two\r\x1b[K") {
		t.Errorf("%q", got)
	}
}
