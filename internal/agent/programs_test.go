package agent

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// program finds a program or skips the test; MONEYER_REQUIRE_ALL=1 requires every one.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("MONEYER_REQUIRE_ALL") == "1" {
		t.Fatalf("%s is missing (MONEYER_REQUIRE_ALL=1 wants every program)", name)
	}
	t.Skipf("%s is missing", name)
	return ""
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program(t, name), args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", name, err, out, stderr.String())
	}
	return string(out)
}

// greeter responds with what a program sent.
func greeter(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, r.Header.Get("Authorization"))
}

const pythonProgram = `
import sys, urllib.request, urllib.error
base = sys.argv[1]
def call(*args, **kwargs):
    print(urllib.request.urlopen(urllib.request.Request(*args, **kwargs)).read().decode())
call(base + "/api/a?b=c")
call(base + "/api/post", data=b"body", headers={"Authorization": "Basic eA=="})
try:
    call(base + "/nowhere")
except urllib.error.HTTPError as e:
    print(e.code, e.headers["Moneyer-Agent-Error"])
`

const nodeProgram = `
const http = require("http"), base = process.argv[1];
(async () => {
  console.log(await (await fetch(base + "/api/a?b=c")).text());
  console.log(await (await fetch(base + "/api/post", {method: "POST", body: "body"})).text());
  const answer = await fetch(base + "/nowhere");
  console.log(answer.status, answer.headers.get("Moneyer-Agent-Error"));
  const req = http.request(base + "/api/chunked", {method: "PUT"}, res => { res.setEncoding("utf8"); res.on("data", d => console.log(d)); });
  req.write("bo"); req.end("dy");
})();
`

// TestPrograms: programs in three languages use the agent like any server.
func TestPrograms(t *testing.T) {
	const first, second, third = "GET /a?b=c Bearer token-1\n", "POST /post Bearer token-1\n", "404 not_found\n"
	p, a := newPlatform(t), newAPI(t, greeter)
	r := simple(t, p, a)
	t.Run("curl", func(t *testing.T) {
		got := output(t, "curl", "-sS", "-w", "\n", r.url+"/api/a?b=c", "--next", "-sS", "-w", "\n", "-d", "body", "-H", "Authorization: Basic eA==", r.url+"/api/post",
			"--next", "-sS", "-o", os.DevNull, "-w", "%{http_code} %header{moneyer-agent-error}\n", r.url+"/nowhere")
		if got != first+second+third {
			t.Errorf("got:\n%s", got)
		}
		large := filepath.Join(t.TempDir(), "large")
		write(t, large, strings.Repeat("x", 3<<20)) // large enough for curl to send Expect: 100-continue
		if got := output(t, "curl", "-sS", "-T", large, r.url+"/api/large"); got != "PUT /large Bearer token-1" {
			t.Errorf("got: %s", got)
		}
		seen := a.arrivals()
		if got := len(seen[len(seen)-1].body); got != 3<<20 {
			t.Errorf("%d bytes arrived", got)
		}
	})
	t.Run("python", func(t *testing.T) {
		if got := output(t, "/usr/bin/python3", "-c", pythonProgram, r.url); got != first+second+third {
			t.Errorf("got:\n%s", got)
		}
	})
	t.Run("node", func(t *testing.T) {
		if got := output(t, "node", "-e", nodeProgram, r.url); got != first+second+third+"PUT /chunked Bearer token-1\n" {
			t.Errorf("got:\n%s", got)
		}
	})
}

const pythonOnASocket = `
import sys, socket, http.client
class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(sys.argv[1])
c = Connection("localhost")
c.request("GET", "/api/a?b=c")
print(c.getresponse().read().decode())
`

const nodeOnASocket = `
require("http").get({socketPath: process.argv[1], path: "/api/a?b=c"}, res => { res.setEncoding("utf8"); res.on("data", d => console.log(d)); });
`

func TestProgramsOnASocket(t *testing.T) {
	p, a, dir := newPlatform(t), newAPI(t, greeter), folder(t)
	start(t, dir, strings.Replace(settings(p.URL, a.URL), "127.0.0.1:0", "unix:a.sock", 1))
	path := filepath.Join(dir, "a.sock")
	for name, args := range map[string][]string{
		"curl":             {"-sS", "-w", "\n", "--unix-socket", path, "http://localhost/api/a?b=c"},
		"/usr/bin/python3": {"-c", pythonOnASocket, path},
		"node":             {"-e", nodeOnASocket, path},
	} {
		t.Run(filepath.Base(name), func(t *testing.T) {
			if got := output(t, name, args...); got != "GET /a?b=c Bearer token-1\n" {
				t.Errorf("got:\n%s", got)
			}
		})
	}
}

// TestManyPrograms: concurrent programs, during reloads, share one token and lose no request.
func TestManyPrograms(t *testing.T) {
	p, a, dir := newPlatform(t), newAPI(t, nil), folder(t)
	config := settings(p.URL, a.URL)
	r := start(t, dir, config)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 40 {
				resp, err := http.Get(r.url + "/api/x")
				if err != nil {
					t.Error(err)
					return
				}
				if resp.Body.Close(); resp.StatusCode != 200 {
					t.Errorf("status %d", resp.StatusCode)
				}
			}
		})
	}
	cfg := load(t, dir, config)
	for range 10 {
		if err := r.Reload(cfg); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	if asked, minted := p.counts(); asked != 1 || minted != 1 || len(a.arrivals()) != 320 {
		t.Errorf("asked %d times, minted %d, %d requests arrived", asked, minted, len(a.arrivals()))
	}
}
