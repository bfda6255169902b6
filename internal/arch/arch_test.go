package arch

import (
	"go/build"
	"io/fs"
	"maps"
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
	"internal/clientcert": {},
	"internal/fetch":      {},
	"internal/secrettext": {},
	"internal/deadline":   {},
	"internal/discovery":  {"internal/fetch", "internal/strictjson"},
	"internal/overload":   {"oauth"},
	"internal/nearest":    {},
	"internal/duration":   {},
	"internal/stricttoml": {"internal/duration", "internal/nearest", "github.com/BurntSushi/toml"},
	"internal/openssl":    {"C"},
	"internal/jose":       {"internal/strictjson", "internal/openssl"},
	"internal/platform":   {"oauth", "internal/stricttoml"},
	"profile":             {"internal/platform"},
	"assertion":           {"internal/jose"},
	"internal/claims":     {"assertion", "internal/platform"},
	"tokensource":         {"oauth", "profile", "assertion", "internal/claims", "internal/deadline", "internal/discovery", "internal/fetch", "internal/platform", "internal/secrettext", "internal/tlsfiles"},
	"tokensource/xoauth2": {"tokensource", "golang.org/x/oauth2"},
	"bearer":              {"oauth", "internal/clientcert", "internal/deadline", "internal/discovery", "internal/fetch", "internal/jose", "internal/remotekeys", "internal/revocation", "internal/secrettext", "internal/strictjson"},
	"internal/remotekeys": {"internal/deadline", "internal/jose"},
	"internal/ledger":     {},
	"internal/revocation": {"internal/strictjson"},
	"internal/rowauth":    {},
	"internal/registry":   {"oauth", "internal/clientcert", "internal/platform", "internal/jose", "internal/strictjson"},
	"internal/evidence":   {"oauth", "internal/clientcert", "internal/platform", "internal/registry", "internal/jose", "internal/strictjson"},
	"internal/authority":  {"oauth", "internal/evidence", "internal/clientcert", "internal/platform", "internal/ledger", "internal/registry", "internal/revocation", "internal/jose", "internal/strictjson", "internal/overload", "golang.org/x/sync"},
	"internal/keyring":    {"internal/jose", "internal/ledger", "internal/registry", "internal/rowauth", "internal/secrettext", "golang.org/x/sync"},
	// The store: what callers import, over an engine for each database.
	"internal/store":          {"internal/registry", "internal/revocation", "internal/rowauth", "internal/ledger", "internal/store/engine", "internal/store/history", "internal/store/transfer", "internal/store/sqlite", "internal/store/postgres", "golang.org/x/sync"},
	"internal/store/engine":   {"internal/ledger"},
	"internal/store/history":  {"internal/ledger", "internal/store/engine", "github.com/klauspost/compress"},
	"internal/store/transfer": {"internal/ledger", "internal/store/engine", "internal/store/history"},
	"internal/store/sqlite":   {"internal/ledger", "internal/store/engine", "internal/store/history", "internal/store/transfer", "modernc.org/sqlite"},
	"internal/store/postgres": {"internal/ledger", "internal/store/engine", "internal/store/transfer", "github.com/jackc/pgx/v5"},
	// The suite that every store passes: it tests, and is imported by tests alone.
	"internal/store/storetest": {"oauth", "internal/authority", "internal/registry", "internal/revocation", "internal/ledger", "internal/jose", "internal/store"},
	"internal/server":          {"oauth", "internal/clientcert", "internal/jose", "internal/platform", "internal/evidence", "internal/authority", "internal/registry", "internal/revocation", "internal/keyring", "internal/overload", "internal/strictjson"},
	"internal/admin":           {"oauth", "bearer", "internal/adminapi", "internal/authority", "internal/clientcert", "internal/registry", "internal/revocation", "internal/ledger", "internal/keyring", "internal/overload", "internal/jose", "internal/strictjson"},
	"internal/jwksuri":         {"internal/fetch", "internal/registry", "internal/jose", "internal/remotekeys", "code.dny.dev/ssrf"},
	"internal/trustedkeys":     {"internal/fetch", "internal/jose", "internal/registry", "internal/remotekeys", "internal/tlsfiles"},
	"internal/metrics":         {"oauth", "internal/overload", "github.com/prometheus/client_golang"},
	"internal/config":          {"oauth", "profile", "internal/fetch", "internal/jose", "internal/openssl", "internal/overload", "internal/registry", "internal/stricttoml", "internal/platform"},
	"internal/agent":           {"oauth", "profile", "internal/platform", "tokensource", "internal/deadline", "internal/fetch", "internal/stricttoml", "internal/tlsfiles"},
	"internal/tlsfiles":        {"internal/jose", "internal/openssl"},
	"internal/adminapi":        {"oauth", "internal/evidence", "internal/ledger", "internal/registry"},
	"internal/adminclient":     {"oauth", "assertion", "tokensource", "internal/adminapi", "internal/jose", "internal/keyring", "internal/ledger", "internal/registry", "internal/secrettext", "internal/tlsfiles"},
	"internal/daemon": {"profile", "bearer", "oauth", "internal/admin", "internal/adminapi", "internal/adminclient", "internal/authority", "internal/config", "internal/jose", "internal/openssl",
		"internal/jwksuri", "internal/keyring", "internal/ledger", "internal/metrics", "internal/overload", "internal/platform", "internal/registry",
		"internal/server", "internal/store", "internal/tlsfiles", "internal/trustedkeys"},
	"internal/sandbox": {"profile", "assertion", "bearer", "oauth", "internal/config", "internal/daemon", "internal/jose", "internal/ledger", "internal/platform", "internal/registry"},
	// The command: what a running server is made of stands in daemon, and only offline
	// commands look into a store, a key or the rules.
	"cmd/moneyer": {"assertion", "bearer", "oauth", "profile", "tokensource", "internal/adminapi", "internal/adminclient", "internal/agent", "internal/claims",
		"internal/authority", "internal/clientcert", "internal/config", "internal/daemon", "internal/duration", "internal/evidence", "internal/jose", "internal/keyring", "internal/ledger", "internal/nearest", "internal/openssl",
		"internal/platform", "internal/registry", "internal/sandbox", "internal/store", "internal/strictjson", "internal/tlsfiles",
		"github.com/spf13/cobra", "github.com/spf13/pflag", "golang.org/x/term", "golang.org/x/text/width"},
	"internal/arch":      {},
	"examples/cluster":   {},
	"internal/wholelife": {}, // it has tests alone
	// The key of tests.
	"internal/rowauth/rowauthtest": {"internal/rowauth"},
	// Certificates for tests.
	"internal/clientcert/certtest":   {},
	"internal/deadline/deadlinetest": {},
	// Ledgers that were tampered with, for the tests of all that read one.
	"internal/ledger/ledgertest": {"internal/ledger"},
	// PostgreSQL for tests and `make cluster`: no part of Moneyer's programs.
	"internal/pgtest": {"github.com/jackc/pgx/v5"},
	// The cluster on loopback: a program that starts Moneyer as others would.
	"cluster":         {"cluster/local"},
	"cluster/fault":   {"github.com/Shopify/toxiproxy/v2", "github.com/rs/zerolog"},
	"cluster/load":    {"assertion", "oauth"},
	"cluster/patroni": {"internal/pgtest", "github.com/jackc/pgx/v5"},
	"cluster/local":   {"assertion", "oauth", "tokensource", "cluster/fault", "examples/cluster", "internal/pgtest"},
	// The benchmark: a program that starts Moneyer as others would. Only
	// bench/moneyer, which fills stores, looks inside.
	"bench":         {"bench/moneyer", "bench/peers", "bench/subject", "bench/trial"},
	"bench/load":    {"bench/subject", "bench/tls13", "github.com/go-jose/go-jose/v4", "golang.org/x/sys"},
	"bench/moneyer": {"assertion", "oauth", "bench/peers", "bench/subject", "internal/registry", "internal/ledger", "internal/config", "internal/jose", "internal/keyring", "internal/store"},
	"bench/peers":   {"assertion", "bench/subject"},
	"bench/subject": {"internal/openssl", "golang.org/x/sys"},
	"bench/tls13":   {},
	"bench/trial":   {"bench/load", "bench/subject"},
	// They have tests alone.
	"interop":              {},
	"interop/differential": {},
}

// modules are the folders of nested modules that the policy covers. Other nested
// modules hold tools, and programs of others that the benchmark runs.
var modules = []string{"bench", "cluster", "interop"}

func TestImports(t *testing.T) {
	seen := map[string]bool{}
	for _, dir := range packages(t) {
		name := filepath.ToSlash(dir)
		allowed, known := policy[name]
		if !known {
			t.Errorf("package %s is not in the policy: add it with the arrows that it needs", name)
			continue
		}
		seen[name] = true
		forbidden, unused := compare(imports(t, dir), allowed)
		for _, path := range forbidden {
			t.Errorf("%s imports %s, which the policy does not allow", name, path)
		}
		for _, arrow := range unused {
			t.Errorf("%s does not import %s: take it out of the policy", name, arrow)
		}
	}
	for name := range policy {
		if !seen[name] {
			t.Errorf("the policy names %s, which is not there", name)
		}
	}
}

// imports lists what a package imports in either build, tests left out.
func imports(t *testing.T, dir string) (paths []string) {
	t.Helper()
	for _, tags := range [][]string{nil, {"openssl"}} {
		builder := build.Default
		builder.BuildTags, builder.CgoEnabled = tags, tags != nil
		pkg, err := builder.ImportDir(filepath.Join("../..", dir), 0)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, pkg.Imports...)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// compare finds the imports that no arrow allows, and the arrows that no import
// needs.
func compare(paths, allowed []string) (forbidden, unused []string) {
	unused = slices.Clone(allowed)
	for _, path := range paths {
		arrow, needed := arrowOf(path, allowed)
		if needed && arrow == "" {
			forbidden = append(forbidden, path)
		}
		unused = slices.DeleteFunc(unused, func(a string) bool { return a == arrow })
	}
	return forbidden, unused
}

// arrowOf finds the arrow that allows an import, "" when there is none. The
// standard library needs none; C, our own packages and other modules do.
func arrowOf(path string, allowed []string) (arrow string, needed bool) {
	own, ours := strings.CutPrefix(path, "moneyer/")
	first, _, _ := strings.Cut(path, "/")
	if !ours && path != "C" && !strings.Contains(first, ".") {
		return "", false
	}
	for _, arrow := range allowed {
		// A module holds many packages; of our own each needs its arrow.
		if own == arrow || !ours && strings.HasPrefix(path, arrow+"/") {
			return arrow, true
		}
	}
	return "", true
}

// isOtherModule reports whether a folder is a module that the policy does not cover.
func isOtherModule(dir string) bool {
	_, err := os.Stat(filepath.Join("../..", dir, "go.mod"))
	return err == nil && !slices.Contains(modules, filepath.ToSlash(dir))
}

// packages lists the folders that hold Go code other than tests: of this module
// and of those in modules.
func packages(t *testing.T) []string {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		relative, err := filepath.Rel("../..", path)
		if err != nil || relative == "." {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules" || relative == "sandbox" || isOtherModule(relative)) {
			return filepath.SkipDir
		}
		if strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			found[filepath.Dir(relative)] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(found))
}

// TestCompare shows that the check can fail, both ways.
func TestCompare(t *testing.T) {
	for name, c := range map[string]struct {
		paths, allowed, forbidden, unused []string
	}{
		"standard library":       {paths: []string{"net/http", "unsafe"}},
		"all used":               {paths: []string{"moneyer/oauth", "C"}, allowed: []string{"C", "oauth"}},
		"package of a module":    {paths: []string{"modernc.org/sqlite/lib"}, allowed: []string{"modernc.org/sqlite"}},
		"module":                 {paths: []string{"modernc.org/sqlite"}, allowed: []string{"modernc.org/sqlite"}},
		"module of similar name": {[]string{"modernc.org/sqlitex"}, []string{"modernc.org/sqlite"}, []string{"modernc.org/sqlitex"}, []string{"modernc.org/sqlite"}},
		"not listed":             {paths: []string{"C", "moneyer/internal/store", "github.com/spf13/cobra"}, forbidden: []string{"C", "moneyer/internal/store", "github.com/spf13/cobra"}},
		"below one that is":      {[]string{"moneyer/internal/store/storetest"}, []string{"internal/store"}, []string{"moneyer/internal/store/storetest"}, []string{"internal/store"}},
		"nobody uses it":         {paths: []string{"fmt"}, allowed: []string{"oauth", "C", "modernc.org/sqlite"}, unused: []string{"oauth", "C", "modernc.org/sqlite"}},
	} {
		forbidden, unused := compare(c.paths, c.allowed)
		if !slices.Equal(forbidden, c.forbidden) || !slices.Equal(unused, c.unused) {
			t.Errorf("%s: forbidden %q, unused %q", name, forbidden, unused)
		}
	}
}
