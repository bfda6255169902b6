package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"moneyer/assertion"
	"moneyer/profile"
)

const (
	boltToken   = "[tokens.bolt]\nprofile = \"boltpay\"\nissuer = \"https://bolt.example\"\nclient = \"shop\"\nsecret_file = \"bolt.secret\"\n"
	etpToken    = "[tokens.bolt]\nprofile = \"thales-etp\"\nissuer = \"https://etp.example\"\napi_key_file = \"bolt.secret\"\nscope = \"PAYMENT_PASSKEY\"\nparams = { merchantId = \"m\", tokens = [\"a\"] }\n"
	boltFile    = "[files.f]\npath = \"f.token\"\ntoken = \"bolt\"\n"
	upstream    = "[upstreams.api]\npath = \"/api/\"\nurl = \"https://api.example/v1\"\ntoken = \"bolt\"\n"
	plainToken  = "[tokens.bolt]\nprofile = \"oauth2\"\nissuer = \"https://as.example\"\n"
	certificate = "tls_cert = \"client.pem\"\n"
	tcp         = "listen = \"127.0.0.1:0\"\n"
)

// newCredentialFolder creates a folder with a credential of every kind.
func newCredentialFolder(t *testing.T) string {
	t.Helper()
	dir := folder(t)
	for alg, file := range map[string]string{"ES256": "es.pem", "RS256": "rs.pem"} {
		key, err := assertion.GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		pem, err := assertion.MarshalKey(key)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, file), string(pem))
	}
	write(t, filepath.Join(dir, "empty"), "\n")
	writeCertificate(t, dir, 1)
	write(t, filepath.Join(dir, "provided"), "a.b.c\n")
	boltpay, err := profile.Builtin("boltpay")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "own.toml"), string(boltpay.Source()))
	return dir
}

func TestGoodConfigurations(t *testing.T) {
	dir := newCredentialFolder(t)
	for name, toml := range map[string]string{
		"secret":    tcp + boltToken + upstream,
		"file only": tcp + boltToken + boltFile,
		"localhost": "listen = \"localhost:0\"\n" + boltToken + boltFile,
		"IPv6":      "listen = \"[::1]:0\"\n" + boltToken + boltFile,
		"socket":    "listen = \"unix:a.sock\"\nmode = \"0660\"\n" + boltToken + boltFile,
		"key": tcp + "[tokens.d1]\nprofile = \"thales-d1\"\nissuer = \"https://d1.example/authz/v1\"\nclient = \"merchant01\"\nkey_file = \"es.pem\"\nkid = \"k\"\naudience = \"stg\"\n" +
			strings.ReplaceAll(upstream, `"bolt"`, `"d1"`),
		"API key": tcp + "[tokens.etp]\nprofile = \"thales-etp\"\ntoken_url = \"https://etp.example/x\"\napi_key_file = \"bolt.secret\"\nscope = \"PAYMENT_PASSKEY\"\n" +
			"params = { merchantId = \"m\", tokens = [\"a\", \"b\"] }\n" + strings.ReplaceAll(boltFile, `"bolt"`, `"etp"`),
		"certificate":                tcp + plainToken + "client = \"shop\"\n" + certificate + boltFile,
		"certificate, not the first": tcp + plainToken + "client = \"shop\"\nauth = \"self_signed_tls_client_auth\"\n" + certificate + boltFile,
		"secret and certificate":     tcp + boltToken + certificate + boltFile,
		"the same, as a set":         tcp + boltToken + "auth = \"client_secret_post + tls_client_auth\"\n" + certificate + boltFile,
		"assertion":                  tcp + plainToken + "assertion_file = \"provided\"\nassertion_type = \"jwt-spiffe\"\n" + boltFile,
		"assertion as the grant":     tcp + plainToken + "assertion_file = \"provided\"\ngrant = \"jwt-bearer\"\n" + certificate + boltFile,
		"assertion and key":          tcp + plainToken + "assertion_file = \"provided\"\nclient = \"shop\"\nkey_file = \"es.pem\"\n" + boltFile,
		"assertion and secret":       tcp + plainToken + "assertion_file = \"provided\"\nclient = \"shop\"\nsecret_file = \"bolt.secret\"\n" + boltFile,
		"discovery":                  tcp + plainToken + "discover = true\nclient = \"shop\"\nsecret_file = \"bolt.secret\"\n" + boltFile,
		"own profile":                tcp + strings.Replace(boltToken, `"boltpay"`, `"own.toml"`, 1) + boltFile,
	} {
		cfg := load(t, dir, toml)
		if printed := fmt.Sprintf("%v %+v %#v", cfg, cfg, cfg) + fmt.Sprintf("%+v %#v", *cfg, cfg.Tokens["bolt"]); strings.Contains(printed, secret) {
			t.Errorf("%s: printing shows the secret", name)
		}
	}
}

// TestBadConfigurations: errors name the line and the correction.
func TestBadConfigurations(t *testing.T) {
	dir := newCredentialFolder(t)
	d1 := "[tokens.bolt]\nprofile = \"thales-d1\"\nissuer = \"https://d1.example/authz/v1\"\nclient = \"merchant01\"\n"
	for _, c := range []struct{ toml, want string }{
		{"", "listen: must say where"},
		{"listen = 1\n", "agent.toml:1: "},
		{"listn = \"x\"\n", `agent.toml:1: listn: unknown setting; did you mean "listen"?`},
		{"listen = \"0.0.0.0:7070\"\n", `"0.0.0.0:7070" is not on loopback`},
		{"listen = \":7070\"\n", "is not on loopback"},
		{"listen = \"api.example:7070\"\n", "is not on loopback"},
		{"listen = \"7070\"\n", `neither "unix:PATH" nor an address`},
		{"listen = \"unix:\"\n", "must name a path"},
		{"listen = \"unix:/" + strings.Repeat("x", 91) + "\"\n", "at most 90 bytes"},
		{"listen = \"unix:a\"\nmode = \"0666\"\n", "agent.toml:2: mode: must be octal"},
		{"listen = \"unix:a\"\nmode = \"rw\"\n", "mode: must be octal"},
		{"listen = \"unix:a\"\nmode = \"0060\"\n", "mode: must be octal"},
		{tcp + "mode = \"0600\"\n", "mode: is for a Unix socket"},
		{tcp + "drain_timeout = \"-1s\"\n", "drain_timeout: must be over 0"},
		{tcp + "log.level = \"loud\"\n", "log.level: must be"},
		{tcp + "log.format = \"xml\"\n", "log.format: must be"},
		{tcp, "tokens: there is none"},
		{tcp + strings.Replace(boltToken, "tokens.bolt", "tokens.Bolt", 1), "tokens.Bolt: a name is"},
		{tcp + strings.Replace(boltToken, "boltpay", "bolt", 1), "agent.toml:3: tokens.bolt.profile: there is no built-in profile"},
		{tcp + strings.Replace(boltToken, "issuer", "isuer", 1), `tokens.bolt.isuer: unknown setting; did you mean "issuer"?`},
		{tcp + "[tokens.bolt]\nprofile = \"boltpay\"\n", "tokens.bolt.issuer: is missing: the platform's issuer URL, to which boltpay adds /auth/token"},
		{tcp + strings.Replace(boltToken, "https:", "http:", 1) + boltFile, "must be https"},
		{tcp + strings.Replace(boltToken, "client", "subject", 1), "tokens.bolt: profile boltpay needs client and secret_file"},
		{tcp + strings.Replace(boltToken, "secret_file", "api_key_file", 1), "needs client and secret_file"},
		{tcp + boltToken + "api_key_file = \"bolt.secret\"\n", "and no other credential"},
		{tcp + strings.Replace(boltToken, "bolt.secret", "hunter2", 1), "tokens.bolt.secret_file: must name a file that can be read: no such file"},
		{tcp + strings.Replace(boltToken, "bolt.secret", "empty", 1), "tokens.bolt.secret_file: the file is empty"},
		{tcp + boltToken + "scope = \"a\\nb\"\n", "tokens.bolt.scope: "},
		{tcp + boltToken + "params = { a = 1 }\n", "tokens.bolt.params: a must be a string"},
		{tcp + boltToken + "params = { a = \"1\" }\n" + boltFile, `has no parameter "a" of its own`},
		{tcp + boltToken + "tls_cert = \"none.pem\"\n", "tls_cert, tls_key: "},
		{tcp + boltToken + "ca_file = \"none.pem\"\n", "ca_file: "},
		{tcp + boltToken + "ca_file = \"empty\"\n", "empty holds no certificate"},
		{tcp + plainToken + certificate + boltFile, "; or client, tls_cert and tls_key"},
		{tcp + plainToken + "assertion_file = \"none\"\n" + boltFile, "tokens.bolt.assertion_file: must name a file that can be read"},
		{tcp + plainToken + "assertion_file = \"provided\"\nassertion_type = \"saml\"\n", "tokens.bolt.assertion_type: must be"},
		{tcp + plainToken + "assertion_file = \"provided\"\ngrant = \"password\"\n", "tokens.bolt: profile oauth2 needs"},
		{tcp + plainToken + "assertion_file = \"provided\"\nclient = \"shop\"\nkey_file = \"es.pem\"\ngrant = \"client_credentials\"\n", "and no other credential"},
		{tcp + plainToken + "client = \"shop\"\nsecret_file = \"bolt.secret\"\nkey_file = \"es.pem\"\ngrant = \"client_credentials\"\n", "and no other credential"},
		{tcp + boltToken + "auth = \"client_secret_post + tls_client_auth\"\n", "tokens.bolt: profile boltpay needs"},
		{tcp + boltToken + "auth = \"private_key_jwt\"\n", "tokens.bolt: profile boltpay needs"},
		{tcp + boltToken + "discover = true\ntoken_url = \"https://bolt.example/t\"\n", "tokens.bolt.discover: and token_url exclude each other"},
		{tcp + boltToken, "agent.toml:2: tokens.bolt: no upstream and no file uses it"},
		{tcp + d1 + "key_file = \"es.pem\"\n", "tokens.bolt.kid: is missing"},
		{tcp + d1 + "kid = \"k\"\nsecret_file = \"bolt.secret\"\n", "needs client, key_file and kid"},
		{tcp + d1 + "kid = \"k\"\nkey_file = \"bolt.secret\"\n", "tokens.bolt.key_file: "},
		{tcp + d1 + "kid = \"k\"\nkey_file = \"none.pem\"\n", "no such file"},
		{tcp + d1 + "kid = \"k\"\nkey_file = \"rs.pem\"\n" + boltFile, "tokens.bolt: the key is for RS256, thales-d1 takes ES256"},
		{tcp + strings.Replace(d1, "merchant01", "m", 1) + "kid = \"k\"\nkey_file = \"es.pem\"\n" + boltFile, "does not have the form of thales-d1"},
		{tcp + "[tokens.bolt]\nprofile = \"thales-etp\"\nissuer = \"https://etp.example\"\n", "needs api_key_file"},
		{tcp + "[tokens.bolt]\nprofile = \"thales-etp\"\nissuer = \"https://etp.example\"\napi_key_file = \"none\"\n", "tokens.bolt.api_key_file: "},
		{tcp + boltToken + strings.Replace(upstream, "/api/", "api/", 1), "upstreams.api.path: must begin and end with a slash"},
		{tcp + boltToken + strings.Replace(upstream, "/api/", "/api", 1), "must begin and end with a slash"},
		{tcp + boltToken + strings.Replace(upstream, "/api/", "/a/../", 1), "must begin and end with a slash and be plain"},
		{tcp + boltToken + strings.Replace(upstream, "/api/", "/a%20/", 1), "must begin and end with a slash and be plain"},
		{tcp + boltToken + strings.Replace(upstream, "/api/", "/-/x/", 1), "upstreams.api.path: /-/ is the agent's own"},
		{tcp + boltToken + upstream + strings.Replace(upstream, "upstreams.api", "upstreams.b", 1), "upstream api has this path already"},
		{tcp + boltToken + strings.Replace(upstream, `"bolt"`, `"blot"`, 1), "upstreams.api.token: must be one of: bolt"},
		{tcp + boltToken + strings.Replace(upstream, "https:", "http:", 1), "must be https (plain http only on loopback)"},
		{tcp + boltToken + strings.Replace(upstream, "https://api.example/v1", "/v1", 1), "must be a URL"},
		{tcp + boltToken + strings.Replace(upstream, "https://", "https://u:p@", 1), "must have no user"},
		{tcp + boltToken + strings.Replace(upstream, "/v1", "/v1?a", 1), "must have no user, query or fragment"},
		{tcp + boltToken + strings.Replace(upstream, "/v1", "/../v1", 1), "must have no . or .."},
		{tcp + boltToken + upstream + "methods = [\"get\"]\n", `"get" is not a method`},
		{tcp + boltToken + upstream + "methods = [\"TRACE\"]\n", "TRACE never passes"},
		{tcp + boltToken + upstream + "answer_timeout = 30\n", "answer_timeout: 30 is a number without a unit: write a duration such as"},
		{tcp + boltToken + upstream + "answer_timeout = \"-1s\"\n", "answer_timeout: must be over 0"},
		{tcp + boltToken + upstream + "total_timeout = \"16m\"\n", "total_timeout: must be over 0"},
		{tcp + boltToken + upstream + "max_body = -1\n", "max_body: must be over 0"},
		{tcp + boltToken + upstream + "tls_key = \"none.pem\"\n", "upstreams.api: tls_cert, tls_key: "},
		{tcp + boltToken + strings.Replace(boltFile, "f.token", "", 1), "files.f.path: must say"},
		{tcp + boltToken + strings.Replace(boltFile, "f.token", "none/f", 1), "there is no folder"},
		{tcp + boltToken + strings.Replace(boltFile, "f.token", ".", 1), "not a regular file"},
		{tcp + boltToken + strings.Replace(boltFile, `"bolt"`, `"x"`, 1), "files.f.token: must be one of: bolt"},
		{tcp + boltToken + boltFile + "mode = \"0644\"\n", "files.f.mode: must be octal"},
		{tcp + boltToken + boltFile + strings.Replace(boltFile, "files.f", "files.g", 1), "file f has this path already"},
	} {
		file := filepath.Join(dir, "agent.toml")
		write(t, file, c.toml)
		cfg, err := Load(file)
		if err == nil || cfg != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v\nwant %s\nfor:\n%s", err, c.want, c.toml)
		}
		if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "tokensource")) {
			t.Errorf("error says too much: %v", err)
		}
	}
	if _, err := Load(filepath.Join(dir, "none.toml")); err == nil {
		t.Error("a missing file was accepted")
	}
}

// TestSecretsAsUsersMakeThem: secret and API key files with a line end are read, and those that
// cannot be a secret are refused with the reason.
func TestSecretsAsUsersMakeThem(t *testing.T) {
	refused := map[string]string{
		"sec.lf": "", "sec.crlf": "", "sec.lflf": "",
		"sec.bom": "byte order mark", "sec.empty": "the file is empty", "sec.nul": "NUL", "sec.space": "blank", "sec.utf16": "UTF-16",
	}
	folder, err := filepath.Abs("../../tokensource/testdata/secret-endings")
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(folder)
	if err != nil || len(files) != len(refused) {
		t.Fatalf("%d files for %d rows (%v)", len(files), len(refused), err)
	}
	for _, entry := range files {
		want, known := refused[entry.Name()]
		if !known {
			t.Errorf("%s has no row", entry.Name())
		}
		for setting, token := range map[string]string{"secret_file": boltToken, "api_key_file": etpToken} {
			file := filepath.Join(t.TempDir(), "agent.toml")
			write(t, file, tcp+strings.Replace(token, "bolt.secret", filepath.Join(folder, entry.Name()), 1)+boltFile)
			c, err := Load(file)
			if want == "" && (err != nil || c.Tokens["bolt"].credential.Secret+c.Tokens["bolt"].credential.APIKey != "secret-0123456789") {
				t.Errorf("%s as %s: %v", entry.Name(), setting, err)
			}
			if want != "" && (err == nil || !strings.Contains(err.Error(), setting+": ") || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s as %s: %v, want %q", entry.Name(), setting, err, want)
			}
		}
	}
}

func TestWarningForReadableSecrets(t *testing.T) {
	dir := folder(t)
	if err := os.Chmod(filepath.Join(dir, "bolt.secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	warnings := load(t, dir, tcp+boltToken+boltFile).Warnings()
	if len(warnings) != 1 || !strings.Contains(warnings[0], "chmod 600") {
		t.Errorf("%q", warnings)
	}
}
