package arch

import (
	"go/build"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// policy lists what each package may import of this module, and which
// third-party modules, or C, it alone may import. Arrows point inward: server and
// store never meet.
var policy = map[string][]string{
	"oauth":               {},
	"internal/strictjson": {},
	"internal/fetch":      {},
	"internal/overload":   {"oauth"},
	"internal/stricttoml": {"github.com/BurntSushi/toml"},
	"internal/openssl":    {"C"},
	"internal/jose":       {"internal/strictjson", "internal/openssl"},
	"profile/builtin":     {},
	"internal/platform":   {"oauth", "profile/builtin", "internal/stricttoml"},
	"profile":             {"internal/platform"},
	"assertion":           {"internal/jose"},
	"tokensource":         {"oauth", "profile", "assertion", "internal/fetch", "internal/platform"},
	"tokensource/xoauth2": {"tokensource", "golang.org/x/oauth2"},
	"bearer":              {"oauth", "internal/fetch", "internal/jose", "internal/revocation", "internal/strictjson"},
	"internal/ledger":     {},
	"internal/revocation": {"internal/strictjson"},
	"internal/registry":   {"oauth", "internal/platform", "internal/jose", "internal/strictjson"},
	"internal/authority":  {"oauth", "internal/platform", "internal/ledger", "internal/registry", "internal/revocation", "internal/jose", "internal/strictjson", "internal/overload", "golang.org/x/sync"},
	"internal/keyring":    {"internal/jose", "internal/ledger", "internal/registry"},
	"internal/store":      {"internal/authority", "internal/registry", "internal/revocation", "internal/ledger", "modernc.org/sqlite", "github.com/jackc/pgx/v5", "github.com/klauspost/compress"},
	// The suite that every store passes: it tests, and is imported by tests alone.
	"internal/store/storetest": {"oauth", "internal/authority", "internal/registry", "internal/revocation", "internal/ledger", "internal/jose", "internal/store"},
	"internal/server":          {"oauth", "internal/platform", "internal/authority", "internal/registry", "internal/revocation", "internal/keyring", "internal/overload", "internal/strictjson"},
	"internal/admin":           {"oauth", "bearer", "internal/authority", "internal/registry", "internal/revocation", "internal/ledger", "internal/keyring", "internal/jose", "internal/strictjson"},
	"internal/jwksuri":         {"internal/fetch", "internal/registry", "internal/jose", "internal/overload", "code.dny.dev/ssrf", "golang.org/x/sync"},
	"internal/metrics":         {"oauth", "github.com/prometheus/client_golang"},
	"internal/config":          {"internal/overload", "internal/registry", "internal/stricttoml", "internal/platform"},
	"internal/agent":           {"oauth", "profile", "internal/platform", "assertion", "tokensource", "internal/fetch", "internal/stricttoml"},
	"internal/arch":            {},
	"internal/wholelife":       {}, // it has tests alone
	// PostgreSQL for tests and `make cluster`, and what cleans up behind them: no part of the server.
	"internal/keeper":   {},
	"internal/pgserver": {"internal/keeper", "github.com/jackc/pgx/v5"},
	// The cluster on loopback: a program that starts Moneyer as others would.
	"cluster":         {"cluster/stand"},
	"cluster/fault":   {"github.com/Shopify/toxiproxy/v2", "github.com/rs/zerolog"},
	"cluster/load":    {"assertion", "oauth"},
	"cluster/patroni": {"internal/keeper", "internal/pgserver", "github.com/jackc/pgx/v5"},
	"cluster/stand":   {"assertion", "oauth", "tokensource", "cluster/fault", "internal/keeper", "internal/pgserver"},
	// The benchmark: a program that starts Moneyer as others would. Only
	// bench/moneyer, which fills stores, looks inside.
	"bench":         {"bench/ceiling", "bench/moneyer", "bench/peers", "bench/report", "bench/subject", "bench/trial"},
	"bench/ceiling": {"bench/subject"},
	"bench/judge":   {"bench/load", "bench/subject", "github.com/go-jose/go-jose/v4"},
	"bench/load":    {"golang.org/x/sys"},
	"bench/moneyer": {"assertion", "oauth", "bench/ceiling", "bench/subject", "internal/authority", "internal/registry", "internal/ledger", "internal/config", "internal/jose", "internal/keyring", "internal/store"},
	"bench/peers":   {"assertion", "bench/subject"},
	"bench/pin":     {"golang.org/x/sys"},
	"bench/plan":    {},
	"bench/process": {"bench/pin", "bench/subject", "golang.org/x/sys"},
	"bench/report":  {},
	"bench/subject": {},
	"bench/trial":   {"bench/ceiling", "bench/judge", "bench/load", "bench/pin", "bench/plan", "bench/process", "bench/report", "bench/subject"},
}

// everything marks the package that introduces the others to each other.
const everything = "cmd/moneyer"

func TestImports(t *testing.T) {
	seen := map[string]bool{}
	for _, dir := range packages(t) {
		name := filepath.ToSlash(dir)
		if strings.HasPrefix(name, everything) {
			continue
		}
		allowed, known := policy[name]
		if !known {
			t.Errorf("package %s is not in the policy: add it with the arrows that it needs", name)
			continue
		}
		seen[name] = true
		for _, tags := range [][]string{nil, {"openssl"}} {
			builder := build.Default
			builder.BuildTags, builder.CgoEnabled = tags, tags != nil
			pkg, err := builder.ImportDir(filepath.Join("../..", dir), 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range pkg.Imports {
				if !permitted(path, allowed) {
					t.Errorf("%s imports %s, which the policy does not allow", name, path)
				}
			}
		}
	}
	for name := range policy {
		if !seen[name] {
			t.Errorf("the policy names %s, which is not there", name)
		}
	}
}

// permitted: the standard library always; C, our own packages and other modules
// when they are listed.
func permitted(path string, allowed []string) bool {
	if own, ok := strings.CutPrefix(path, "moneyer/"); ok {
		return slices.Contains(allowed, own)
	}
	if path == "C" {
		return slices.Contains(allowed, path)
	}
	if !strings.Contains(strings.SplitN(path, "/", 2)[0], ".") {
		return true
	}
	return slices.ContainsFunc(allowed, func(module string) bool {
		return path == module || strings.HasPrefix(path, module+"/")
	})
}

// ownModule tells whether a folder is a module of its own, whose imports are its
// own affair.
func ownModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// packages lists the folders of this module that hold Go code other than tests.
func packages(t *testing.T) []string {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != "../.." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules" || name == "interop" || name == "sandbox") {
			return filepath.SkipDir
		}
		if d.IsDir() && path != "../.." && ownModule(path) {
			return filepath.SkipDir
		}
		if strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			dir, err := filepath.Rel("../..", filepath.Dir(path))
			found[dir] = true
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var dirs []string
	for dir := range found {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	return dirs
}

// TestPermitted shows that the check can fail.
func TestPermitted(t *testing.T) {
	for path, want := range map[string]bool{
		"net/http": true, "moneyer/oauth": true, "moneyer/internal/store": false,
		"modernc.org/sqlite": true, "modernc.org/sqlite/lib": true, "modernc.org/sqlitex": false, "github.com/spf13/cobra": false,
		"C": false,
	} {
		if got := permitted(path, []string{"oauth", "modernc.org/sqlite"}); got != want {
			t.Errorf("permitted(%q) = %v", path, got)
		}
	}
}
