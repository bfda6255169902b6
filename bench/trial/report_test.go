package trial

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"moneyer/bench/subject"
)

var update = flag.Bool("update", false, "rewrite the expected files")

func s(median float64) Spread { return Spread{Median: median, Min: median / 2, Max: 2 * median} }

// sample has one of everything.
func sample() *Report {
	row := func(server, kind, variant string, connections int, rate float64) Row {
		return Row{Server: server, Kind: kind, Variant: variant, Connections: connections, Rounds: 3, Tokens: int(rate), Rate: s(rate),
			P50: s(1e6 / rate), P99: s(3e6 / rate), P999: s(9e6 / rate), CPU: s(1e6 / rate)}
	}
	reference := row("form + sign ES256", "form + sign ES256", "", 64, 11400)
	reference.Reference = true
	own := row("moneyer", "client_credentials ES256", "oauth2", 64, 9000)
	own.Ceiling, own.Ratio, own.CPURatio = "form + sign ES256", &Spread{0.79, 0.75, 0.8}, &Spread{0.82, 0.8, 0.85}
	other := row("other <&> \"one\"", "client_credentials ES256", "", 64, 265)
	other.Note = "no replay | check"
	failed := Row{Server: "broken", Kind: "jwt-bearer ES256", Connections: 64, Error: "answer 1 of 3 has status 429: slow\ndown"}
	overTLS, referenceTLS := own, reference
	overTLS.Connection, overTLS.Connections, overTLS.Handshakes, overTLS.Client, overTLS.Idle = subject.TLSResumed, Together, 9000, s(120), s(0.02)
	referenceTLS.Connection, referenceTLS.Connections, referenceTLS.Handshakes = subject.TLSResumed, Together, 11400
	return &Report{
		Date: time.Date(2026, 11, 23, 4, 5, 6, 0, time.UTC), Command: "go run -C bench . -out docs/benchmarks",
		Machine:   Machine{CPU: "A processor", Cores: 2, Pinned: true, Kernel: "Linux 6", Go: "go1.26", Memory: 24e9},
		Others:    0.023,
		Settings:  RunSettings{Rounds: 3, Seconds: 1.5, Connections: []int{64}},
		Ceiling:   []Operation{{Name: "Go ES256 sign", PerSecond: s(32000)}, {Name: "OpenSSL ES256 sign"}},
		Generator: Generator{Connections: 64, Rate: s(190000), CPU: s(5)},
		Servers: []Server{{Name: "form + sign ES256", Version: "go1.26", Keeps: "nothing", Reference: true, Memory: 14e6},
			{Name: "moneyer", Version: "v1", Keeps: "each token", Memory: 37e6, ColdStart: s(16), Cannot: map[string]string{"jwt-bearer ES256": "for this test"}},
			{Name: "other <&> \"one\"", Version: "2", Keeps: "nothing"}},
		Rows:     []Row{reference, own, other, failed, referenceTLS, overTLS},
		Paced:    []Paced{{Server: "moneyer", Kind: "client_credentials ES256", Rate: 4500, P50: s(500), P99: s(2000), P999: s(4000)}, {Server: "other", Kind: "client_credentials ES256", Rate: 4500, Error: "reaches 265/s"}},
		Overload: &Overload{Kind: "jwt-bearer ES256", Connections: 2048, Seconds: 60, Capacity: 6000, Due: 18000, Busy: 0.4, Asked: 17900, Goodput: 5100, Refused: 12800, RetryAfter: 1, P99: 200, P99Refused: 3, After: 1, P99After: 2},
		OverloadTLS: &Overload{Kind: "jwt-bearer ES256", Connection: subject.TLSFull, Connections: 2048, Seconds: 60, Capacity: 2000, TokenCPU: 410, Due: 6000, Busy: 0.9, Asked: 3000, Goodput: 900, Refused: 1500, RetryAfter: 1,
			Broken: 600, FirstBroken: "EOF", P99: 200, P99Refused: 3, After: 1, P99After: 2, EmptyCPU: 330, Left: 1010, Beside: &OverloadReference{Server: "form, at most 1010/s, TLS", Goodput: 950, Refused: 1200, Broken: 850, P99: 300}},
		Noisy:  &Noisy{Clients: 100, Asked: 12000, Sent: 11000, Got: 500, Limit: 500, Others: 1500, OthersGot: 0.999, OthersP99: 3},
		Ledger: []Ledger{{Kind: "jwt-bearer ES256", Tokens: 12345, Bytes: 105.3}},
		Prune:  &Prune{Entries: 1e6, Rate: 2000, Before: 4, During: 8, P999: 6},
		Replicas: []Replicated{{Replicas: 3, Kind: "jwt-bearer ES256", Connections: 64, Rounds: 3, Tokens: 9000, Rate: s(3000), P50: s(9000), P99: s(30000),
			CPU:    map[subject.Role]Spread{subject.Replica: s(200), subject.Primary: s(30), subject.Standby: s(10)},
			Parts:  map[string]Spread{"primary: bench": s(27), "primary: walsender": s(3), "primary: checkpointer": s(0.1)},
			Client: s(20), Batch: s(21), Commits: s(140), WAL: s(380), Active: s(2000), Between: s(300), Disturbed: s(0.02)}},
		Targets: []Target{{What: "reached", Want: 70, Unit: " %", Got: new(79.0), Verdict: Reached},
			{What: "missed", Want: 5, AtMost: true, Unit: " ms", Got: new(7.25), Verdict: Missed}, {What: "unknown", Want: 3, Unit: " times", Verdict: NotMeasured}},
		Pictures: []Picture{{Server: "moneyer", Kind: "client_credentials ES256", Variant: "oauth2"}},
		Failed:   []string{"broken cannot be installed:\nno network"},
	}
}

func TestFiles(t *testing.T) {
	folder := t.TempDir()
	if err := sample().Write(folder); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{markdownFile, jsonFile, peersFile, ceilingFile, connectionsFile} {
		got, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", name)
		if *update {
			if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(golden, got, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs; go test -C bench ./trial -update rewrites it\n%s", golden, got)
		}
	}
}

func TestJSONComesBack(t *testing.T) {
	var b bytes.Buffer
	r := sample()
	if err := r.JSON(&b); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || !reflect.DeepEqual(&back, r) {
		t.Errorf("%v\n%+v", err, back)
	}
}

func TestFigure(t *testing.T) {
	for f, want := range map[float64]string{0: "0", 0.125: "0.12", 3: "3", 3.14159: "3.14", 41.27: "41.3", 99.96: "100", 999.4: "999", 1234.5: "1,234", 1234567: "1,234,567", -1234: "-1,234", -123: "-123"} {
		if got := figure(f); got != want {
			t.Errorf("%v: %s, want %s", f, got, want)
		}
	}
}

func TestSpreadOf(t *testing.T) {
	for _, c := range []struct {
		figures []float64
		want    Spread
	}{{nil, Spread{}}, {[]float64{3}, Spread{3, 3, 3}}, {[]float64{3, 1, 2}, Spread{2, 1, 3}}, {[]float64{4, 1, 2, 3}, Spread{2.5, 1, 4}}} {
		if got := SpreadOf(c.figures); got != c.want {
			t.Errorf("%v: %v", c.figures, got)
		}
	}
}
