package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"moneyer/bench/load"
	"moneyer/bench/subject"
)

// Flush is the name of the operation that waits for the disk once.
const Flush = "write and fsync of 4096 bytes"

// microFigures holds the basic operations of each round.
type microFigures struct{ rounds []subject.Micro }

// generatorRound is the load generator's limit in a round.
type generatorRound struct{ rate, cpu float64 }

// bare measures the basic operations and the load generator itself, once per round.
func (t *Trial) bare(ctx context.Context) error {
	m, err := t.measureMicro(ctx)
	if err != nil {
		return fmt.Errorf("the bare operations: %w", err)
	}
	t.micro.rounds = append(t.micro.rounds, *m)
	g, err := t.measureGenerator(ctx)
	if err != nil {
		return fmt.Errorf("the load generator's limit: %w", err)
	}
	t.generator = append(t.generator, g)
	return nil
}

// measureMicro runs this program's command "micro" on the servers' core.
func (t *Trial) measureMicro(ctx context.Context) (*subject.Micro, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, self, "micro", t.Folder, min(t.Duration/2, 500*time.Millisecond).String())
	var out, said bytes.Buffer
	command.Stdout, command.Stderr = &out, &said
	if err := subject.StartOn(command, t.ServerCores...); err != nil {
		return nil, err
	}
	if err := command.Wait(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(said.String()))
	}
	m := &subject.Micro{}
	return m, json.Unmarshal(out.Bytes(), m)
}

// measureGenerator sends requests to a server that does nothing.
func (t *Trial) measureGenerator(ctx context.Context) (g generatorRound, err error) {
	address, err := t.freeAddress(ctx)
	if err != nil {
		return g, err
	}
	command, err := subject.Raw(ctx, address)
	if err != nil {
		return g, err
	}
	raw := subject.Program{Command: command, Ready: func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}}
	p, _, _, err := subject.Start(ctx, raw, filepath.Join(t.Folder, "raw.log"), t.ServerCores...)
	if err != nil {
		return g, err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	endpoint, err := load.NewEndpoint("http://"+address+"/token", nil, nil)
	if err != nil {
		return g, err
	}
	body := strings.Repeat("x", 480) + subject.RawRequest // as long as an assertion
	round := load.Round{Endpoint: endpoint, Connections: Compared, Duration: t.Duration / 2, Requests: [][]byte{endpoint.Request([]byte(body))}, Repeat: true}
	result, err := round.Closed(ctx)
	if err != nil {
		return g, err
	}
	return generatorRound{rate: result.Rate(), cpu: microseconds(result.CPU) / float64(len(result.Answers))}, nil
}

// operations lists the basic operations for the table.
func (m *microFigures) operations() []Operation {
	var operations []Operation
	for _, o := range []struct {
		name string
		of   func(*subject.Micro) float64
	}{
		{"Go ES256 verify", func(m *subject.Micro) float64 { return m.VerifyES256 }},
		{"Go ES256 sign", func(m *subject.Micro) float64 { return m.SignES256 }},
		{"Go RS256 sign (2048)", func(m *subject.Micro) float64 { return m.SignRS256 }},
		{"OpenSSL ES256 verify", func(m *subject.Micro) float64 { return m.OpenSSLVerifyES256 }},
		{"OpenSSL ES256 sign", func(m *subject.Micro) float64 { return m.OpenSSLSignES256 }},
		{"OpenSSL RS256 sign (2048)", func(m *subject.Micro) float64 { return m.OpenSSLSignRS256 }},
		{Flush, func(m *subject.Micro) float64 { return m.Fsync }},
	} {
		var figures []float64
		for i := range m.rounds {
			if f := o.of(&m.rounds[i]); f > 0 {
				figures = append(figures, f)
			}
		}
		operations = append(operations, Operation{Name: o.name, PerSecond: SpreadOf(figures)})
	}
	return operations
}
