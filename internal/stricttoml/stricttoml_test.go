package stricttoml

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
)

type file struct {
	Name     string            `toml:"name"`
	Size     int               `toml:"size"`
	Wait     time.Duration     `toml:"wait"`
	Server   server            `toml:"server"`
	Issuers  map[string]issuer `toml:"issuers"`
	Rows     []row             `toml:"rows"`
	Optional *server           `toml:"optional"`
	Ignored  string            `toml:"-"`
	untagged string
}

type server struct {
	Listen  string   `toml:"listen"`
	Proxies []string `toml:"proxies"`
}

type issuer struct {
	URL   string        `toml:"url"`
	Wait  time.Duration `toml:"wait"`
	Limit struct {
		Rate float64 `toml:"rate"`
	} `toml:"limit"`
}

type row struct {
	Key   string          `toml:"key"`
	Waits []time.Duration `toml:"waits"`
}

func TestDecode(t *testing.T) {
	var f file
	doc, err := Decode("good.toml", []byte(`
name = "a"
wait = "90s"
rows = [{ key = "x" }]
[server]
listen = ""
[issuers."d 1"]
url = "u"
limit.rate = 2.5
`), &f)
	if err != nil {
		t.Fatal(err)
	}
	if f.Name != "a" || f.Wait != 90*time.Second || f.Rows[0].Key != "x" || f.Issuers["d 1"].URL != "u" || f.Issuers["d 1"].Limit.Rate != 2.5 {
		t.Errorf("decoded %+v", f)
	}
	for key, want := range map[string]bool{"name": true, "server.listen": true, "server.proxies": false, "size": false, "rows": true} {
		if doc.Has(key) != want {
			t.Errorf("Has(%s) is %v", key, !want)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{"a misspelt key", "name = \"a\"\n\nsise = 1\n", `f.toml:3: sise: unknown setting; did you mean "size"?`},
		{"a key unlike any other", "colour = 1\n", `f.toml:1: colour: unknown setting; known here: issuers, name, optional, rows, server, size, wait`},
		{"a misspelt table", "[sever]\nlisten = \"x\"\n", `f.toml:1: sever: unknown setting; did you mean "server"?`},
		{"a key in a table", "[server]\nlisten = \"x\"\nproxys = []\n", `f.toml:3: server.proxys: unknown setting; did you mean "proxies"?`},
		{"a key behind a pointer", "[optional]\nlissen = \"x\"\n", `f.toml:2: optional.lissen: unknown setting; did you mean "listen"?`},
		{"a key below a name of the user's own", "[issuers.d1]\nurl = \"u\"\n\n[issuers.d1.limit]\nrat = 1\n", `f.toml:5: issuers.d1.limit.rat: unknown setting; did you mean "rate"?`},
		{"a key of an inline table, at the line of its list", "name = \"a\"\nrows = [\n  { kay = \"x\" },\n]\n", `f.toml:2: rows.kay: unknown setting; did you mean "key"?`},
		{"a key of an array of tables", "[[rows]]\nkey = \"x\"\n[[rows]]\nkei = \"y\"\n", `f.toml:4: rows.kei: unknown setting; did you mean "key"?`},
		{"a key below a plain value's name", "[name]\nx = 1\n", `f.toml:1: name: incompatible types: TOML value has type map[string]any; destination has type string`},
		{"a key below what is unknown", "[servers.x]\nlisten = 1\n", `f.toml:1: servers.x: unknown setting; remove it`},
		{"a name in another case", "Name = \"a\"\n", `f.toml:1: Name: unknown setting; did you mean "name"?`},
		{"both cases", "name = \"a\"\nNAME = \"b\"\n", `f.toml:2: NAME: unknown setting; did you mean "name"?`},
		{"a table in another case", "[Server]\nlisten = \"x\"\n", `f.toml:1: Server: unknown setting; did you mean "server"?`},
		{"a dotted name in another case", "Server.listen = \"x\"\n", `f.toml:1: Server.listen: unknown setting; remove it`},
		{"a dotted name that is unknown", "server.port.x = 1\n", `f.toml:1: server.port.x: unknown setting; remove it`},
		{"a field that is not for files", "Ignored = \"a\"\n", `f.toml:1: Ignored: unknown setting; known here: issuers, name, optional, rows, server, size, wait`},
		{"a private field", "untagged = \"a\"\n", `f.toml:1: untagged: unknown setting; known here: issuers, name, optional, rows, server, size, wait`},
		{"another type", "name = \"a\"\nsize = \"big\"\n", `f.toml:2: size: incompatible types: TOML value has type string; destination has type integer`},
		{"a duration that is none", "wait = \"soon\"\n", `f.toml:1: wait: "soon" is not a duration such as "90s", "15m", "24h" or "30d"`},
		{"a duration that is a number", "name = \"a\"\nwait = 90\n", `f.toml:2: wait: 90 is a number without a unit: write a duration such as "90s", "15m", "24h" or "30d"`},
		{"a duration that is a fraction", "wait = 1.5\n", `f.toml:1: wait: 1.5 is a number without a unit`},
		{"a number as a duration, in an inline table", "issuers = { d1 = { wait = 90 } }\n", `f.toml:1: issuers.d1.wait: 90 is a number without a unit`},
		{"a number as a duration, in a list of tables", "[[rows]]\nwaits = [\"1d\", 7]\n", `f.toml:2: rows.waits: 7 is a number without a unit`},
		{"another type beside days", "name = \"a\"\nwait = \"1d\"\n[server]\nlisten = 1\n", `f.toml:4: server.listen: incompatible types: TOML value has type int64; destination has type string`},
		{"an unknown setting beside days", "wait = \"1d\"\n\nsise = 1\n", `f.toml:3: sise: unknown setting; did you mean "size"?`},
		{"a key twice", "size = 1\nname = \"a\"\nsize = 2\n", `f.toml:3: Key 'size' has already been defined.`},
		{"a string without end", "name = \"a\n", `f.toml:1: strings cannot contain newlines`},
		{"not UTF-8", "name = \"\xff\"\n", `f.toml:1: invalid UTF-8 byte`},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := file{untagged: "kept"}
			_, err := Decode("f.toml", []byte(row.text), &f)
			if err == nil || !strings.HasPrefix(err.Error(), row.want) {
				t.Errorf("error  %v\nwanted %s", err, row.want)
			}
			if f.untagged != "kept" {
				t.Error("a private field was written")
			}
		})
	}
}

func TestErrorf(t *testing.T) {
	var f file
	doc, err := Decode("f.toml", []byte("name = \"a\"\r\n[server]\r\nlisten = \"x\"\n[[rows]]\nkey = \"1\"\n[[rows]]\nkey = \"2\"\n[issuers.'d1']\nurl = \"u\"\nlimit.rate = 1\n"), &f)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		key  string
		want string
	}{
		{"name", "f.toml:1: name: bad 7"},
		{"server.listen", "f.toml:3: server.listen: bad 7"},
		{"server.proxies", "f.toml:2: server.proxies: bad 7"},
		{"rows.key", "f.toml:5: rows.key: bad 7"},
		{"issuers.d1.limit.rate", "f.toml:10: issuers.d1.limit.rate: bad 7"},
		{"issuers.d1.profile", "f.toml:8: issuers.d1.profile: bad 7"},
		{"size", "f.toml: size: bad 7"},
	} {
		if got := doc.Errorf(row.key, "bad %d", 7).Error(); got != row.want {
			t.Errorf("%q, want %q", got, row.want)
		}
	}
	if got := doc.Errorf("rows", "bad").Error(); got != "f.toml:4: rows: bad" {
		t.Errorf("Errorf: %q", got)
	}
}

// TestDecodeDays: a duration may be in days, wherever it is, and nothing else changes by that.
func TestDecodeDays(t *testing.T) {
	const text = `
name = "30d"
wait = %s
rows = [{ key = "7d", waits = ["1h"] }, {}]
[issuers."d 1.x"]
url = "ü\n\"d"
wait = "1h30m"
limit.rate = 200.0
[optional]
proxies = []
`
	decode := func(wait string) (f file, keys map[string]bool) {
		doc, err := Decode("f.toml", []byte(strings.ReplaceAll(text, "%s", wait)), &f)
		if err != nil {
			t.Fatalf("%s: %v", wait, err)
		}
		return f, doc.keys
	}
	want, wantKeys := decode(`"36h"`)
	got, gotKeys := decode(`"1d12h"`)
	if !reflect.DeepEqual(got, want) || !maps.Equal(gotKeys, wantKeys) || got.Wait != 36*time.Hour {
		t.Errorf("%+v\n%+v", got, want)
	}
	var f file
	if _, err := Decode("f.toml", []byte("wait = 0\n[[rows]]\nwaits = [\"2d\", \"3d1s\", 0]\n[issuers.a]\nwait = \"1d\"\n"), &f); err != nil ||
		!slices.Equal(f.Rows[0].Waits, []time.Duration{48 * time.Hour, 72*time.Hour + time.Second, 0}) || f.Issuers["a"].Wait != 24*time.Hour {
		t.Errorf("%+v, %v", f, err)
	}
}

// FuzzDecode: for any input Decode returns a struct or an error that names the file, and accepts no
// key that the struct does not have.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{"name = \"a\"\n", "[server]\nlisten = \"x\"\n", "[[rows]]\nkey = \"1\"\n", "rows = [{ key = \"x\" }]\n", "issuers.a.url = \"u\"\n", "wait = \"1d\"\nname = \"\\u0007\"", "[[rows]]\nwaits = [\"1d\", 0]", "x = 1\n", "Name = 1", "\"\" = 1", "[issuers.\"a.b\"]\nurl = \"\"", "[a]]"} {
		f.Add(text)
	}
	known := []string{"name", "size", "wait", "server", "issuers", "rows", "optional"}
	f.Fuzz(func(t *testing.T, text string) {
		var v file
		if _, err := Decode("f.toml", []byte(text), &v); err != nil {
			if !strings.HasPrefix(err.Error(), "f.toml:") {
				t.Errorf("the error names no line: %v", err)
			}
			return
		}
		var loose map[string]any
		if err := toml.Unmarshal([]byte(text), &loose); err != nil {
			t.Fatalf("accepted invalid TOML: %v", err)
		}
		for key := range loose {
			if !slices.Contains(known, key) {
				t.Errorf("accepted the unknown setting %q", key)
			}
		}
	})
}
