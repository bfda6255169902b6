package jose_test

import (
	"bytes"
	"crypto"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"moneyer/internal/jose"
)

// The keys of testdata/key-files and key-sets, by thumbprint.
const (
	caseEC  = "d2iKVInt9vaJX_ApnWWyDr5OCmpX1nGPzXKK-lcsWXE"
	caseRSA = "0OK5zrflqqyQn1_vBgHvNJzl_pcQIouj4fpNmn0311k"
	caseEd  = "RrIM4UM5l7ecJPFXMphr_Jp6TX_HGRghpR2tt6ByN7E"
	casePSS = "ndlEs5nL6ODuJ6Rw3XdGoXFRPM1S9wplgLCgcZV4ZSg"
)

const (
	registerPublic  = "register the public half only, made with: openssl ec -in private.pem -pubout"
	privateIsBeside = "is not a private key: give the file"
)

// keyFiles says for each file of testdata/key-files what it is read as: a thumbprint, or what the
// refusal says.
var keyFiles = map[string]struct{ public, private string }{
	"chain.pub.pem":             {"several different keys in one text: give one alone", privateIsBeside},
	"ec.crt+key.pem":            {registerPublic, caseEC},
	"ec.crt.der":                {"a certificate in DER: make PEM of it with: openssl x509 -inform DER -in key.der -out certificate.pem", "give the private key"},
	"ec.crt.negserial.pem":      {caseEC, privateIsBeside},
	"ec.crt.trustout.pem":       {caseEC, privateIsBeside},
	"ec.p8.as-ec-private.pem":   {registerPublic, caseEC},
	"ec.p8.bom.pem":             {registerPublic, caseEC},
	"ec.p8.escaped.txt":         {registerPublic, caseEC},
	"ec.p8.utf16.pem":           {"UTF-16, as Windows writes it: convert it with: iconv -f UTF-16", "UTF-16, as Windows writes it: convert it with: iconv -f UTF-16"},
	"ec.pub.as-ec-public.pem":   {caseEC, privateIsBeside},
	"ec.pub.b64.txt":            {"PEM in base64: decode it with: base64 -d key.txt > key.pem", "PEM in base64: decode it"},
	"ec.pub.bare.txt":           {"the base64 of a public key in DER: make PEM of it with: base64 -d key.txt > key.der && openssl pkey", "give the private key"},
	"ec.pub.bom.pem":            {caseEC, privateIsBeside},
	"ec.pub.compressed.pem":     {caseEC, privateIsBeside},
	"ec.pub.der":                {"a public key in DER: make PEM of it with: openssl pkey -pubin -inform DER", "give the private key"},
	"ec.pub.escaped.txt":        {caseEC, privateIsBeside},
	"ec.pub.explicit.pem":       {"explicit curve parameters, where the name of the curve belongs: mend it with: openssl pkey -pubin", privateIsBeside},
	"ec.pub.utf16.pem":          {"UTF-16, as Windows writes it: convert it with: iconv -f UTF-16", "UTF-16"},
	"ec.sec1.as-private.pem":    {registerPublic, caseEC},
	"jwk.ec.padded.json":        {"x: base64url with padding, which a JWK has not (RFC 7515 section 2): mend it with: jq", "JWK without a private half"},
	"jwk.kidnull.json":          {caseRSA, "JWK without a private half"},
	"jwk.rsa.std64.json":        {"n: base64, where base64url belongs (RFC 7518 section 6): mend it with: jq", "JWK without a private half"},
	"rsa.bag.both.pem":          {registerPublic, caseRSA},
	"rsa.p12":                   {"a PKCS #12 file (.p12, .pfx): take the certificate out with: openssl pkcs12 -in key.p12 -clcerts -nokeys", "take the private key out with: openssl pkcs12 -in key.p12 -nocerts -noenc"},
	"rsa.p8.as-rsa-private.pem": {registerPublic, caseRSA},
	"rsa.pub.as-rsa-public.pem": {caseRSA, privateIsBeside},
	"rsa.pub1.as-public.pem":    {caseRSA, privateIsBeside},
	"rsapss.pub.pem":            {casePSS, privateIsBeside},
	"ssh_ec":                    {"a private key of OpenSSH: make a public key for here (not of Ed25519) with: ssh-keygen -e -m PKCS8 -f key > public.pem", "convert a copy of it"},
	"ssh_ec.pub":                {"a public key of OpenSSH: make PEM of it with: ssh-keygen -e -m PKCS8 -f key.pub > public.pem", "give the private key"},
}

// files returns the contents of a folder of testdata; each must be in the table of which known is a
// part, and each row of the table, of that length, a file.
func files(t *testing.T, folder string, known func(name string) bool, rows int) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join("testdata", folder))
	if err != nil {
		t.Fatal(err)
	}
	contents := map[string][]byte{}
	for _, entry := range entries {
		if !known(entry.Name()) {
			t.Errorf("no row for %s", entry.Name())
		}
		if contents[entry.Name()], err = os.ReadFile(filepath.Join("testdata", folder, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if len(contents) != rows {
		t.Errorf("%d files and %d rows", len(contents), rows)
	}
	return contents
}

// TestKeyFiles: a file whose meaning is clear is taken as OpenSSL takes it; any other is refused with
// what it is and what to do. A private key is never taken as a public one.
func TestKeyFiles(t *testing.T) {
	for name, data := range files(t, "key-files", func(name string) bool { return keyFiles[name].public != "" }, len(keyFiles)) {
		want := keyFiles[name]
		public, _, err := jose.ParsePublic(data, "")
		if outcome(public, err) != want.public && (err == nil || !strings.Contains(err.Error(), want.public)) {
			t.Errorf("%s as a public key:\n%s\nwant %s", name, outcome(public, err), want.public)
		}
		private, err := jose.ParsePrivate(data)
		if err == nil {
			public = publicOf(t, private)
		}
		if outcome(public, err) != want.private && (err == nil || !strings.Contains(err.Error(), want.private)) {
			t.Errorf("%s as a private key:\n%s\nwant %s", name, outcome(public, err), want.private)
		}
		if _, _, err := jose.ParsePublic(data, ""); private != nil && !errors.Is(err, jose.ErrPrivateKey) {
			t.Errorf("%s holds a private key: %v", name, err)
		}
	}
}

func outcome(key *jose.PublicKey, err error) string {
	if err != nil {
		return err.Error()
	}
	return key.Thumbprint()
}

// TestKeyFileRemedies runs each command that a refusal names, and reads what it makes.
func TestKeyFileRemedies(t *testing.T) {
	p12 := func(dir string) []byte { // one without a password
		key, crt := filepath.Join(dir, "k"), filepath.Join(dir, "c")
		if err := os.WriteFile(key, openssl(t, nil, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(crt, openssl(t, nil, "req", "-x509", "-new", "-key", key, "-subj", "/CN=a"), 0o600); err != nil {
			t.Fatal(err)
		}
		return openssl(t, nil, "pkcs12", "-export", "-inkey", key, "-in", crt, "-passout", "pass:")
	}
	private := openssl(t, nil, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
	rsaKey := openssl(t, nil, "genrsa", "2048")
	ecFile := func(name string) func(string) []byte {
		return func(string) []byte {
			data, err := os.ReadFile(filepath.Join("testdata/key-files", name))
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
	}
	made := func(input []byte, args ...string) func(string) []byte {
		return func(string) []byte { return openssl(t, input, args...) }
	}
	ssh := func(args ...string) func(string) []byte {
		return func(dir string) []byte {
			name := filepath.Join(dir, "made")
			run(t, dir, "ssh-keygen", append(args, "-q", "-N", "", "-f", name)...)
			data, err := os.ReadFile(name + ".pub")
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
	}
	for name, tc := range map[string]struct {
		data    func(dir string) []byte
		in, out string // the files of the command
		private bool
	}{
		"certificate in DER":     {ecFile("ec.crt.der"), "key.der", "certificate.pem", false},
		"public in DER":          {ecFile("ec.pub.der"), "key.der", "public.pem", false},
		"PKCS #1 in DER":         {made(rsaKey, "rsa", "-RSAPublicKey_out", "-outform", "DER"), "key.der", "public.pem", false},
		"private in DER":         {made(private, "pkcs8", "-topk8", "-nocrypt", "-outform", "DER"), "key.der", "private.pem", true},
		"private in DER, public": {made(private, "pkcs8", "-topk8", "-nocrypt", "-outform", "DER"), "key.der", "public.pem", false},
		"SEC 1 in DER":           {made(private, "ec", "-outform", "DER"), "key.der", "private.pem", true},
		"request":                {made(private, "req", "-new", "-key", "/dev/stdin", "-subj", "/CN=a"), "request.pem", "public.pem", false},
		"request in DER":         {made(private, "req", "-new", "-key", "/dev/stdin", "-subj", "/CN=a", "-outform", "DER"), "key.der", "public.pem", false},
		"PKCS #12":               {p12, "key.p12", "certificate.pem", false},
		"PKCS #12, private":      {p12, "key.p12", "private.pem", true},
		"UTF-16":                 {ecFile("ec.pub.utf16.pem"), "key.txt", "key.pem", false},
		"UTF-16, private":        {ecFile("ec.p8.utf16.pem"), "key.txt", "key.pem", true},
		"base64":                 {ecFile("ec.pub.b64.txt"), "key.txt", "key.pem", false},
		"bare base64":            {ecFile("ec.pub.bare.txt"), "key.txt", "public.pem", false},
		"explicit":               {ecFile("ec.pub.explicit.pem"), "key.pem", "public.pem", false},
		"explicit, private":      {made(nil, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-param_enc", "explicit"), "key.pem", "private.pem", true},
		"explicit PKCS #8":       {made(openssl(t, nil, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-param_enc", "explicit"), "pkcs8", "-topk8", "-nocrypt"), "key.pem", "private.pem", true},
		"chain":                  {ecFile("chain.pub.pem"), "chain.pem", "client.pem", false},
		"padded JWK":             {ecFile("jwk.ec.padded.json"), "key.json", "mended.json", false},
		"base64 JWK":             {ecFile("jwk.rsa.std64.json"), "key.json", "mended.json", false},
		"JWK set":                {ecFile("../key-sets/jwks.one.json"), "set.json", "key.json", false},
		"private JWK":            {func(string) []byte { return []byte(rfc7515RSA) }, "private.json", "public.json", false},
		"OpenSSH, public":        {ssh("-t", "ecdsa"), "key.pub", "public.pem", false},
		"OpenSSH RSA, public":    {ssh("-t", "rsa"), "key.pub", "public.pem", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			data := tc.data(dir)
			var err error
			if tc.private {
				_, err = jose.ParsePrivate(data)
			} else {
				_, _, err = jose.ParsePublic(data, "")
			}
			if err == nil {
				t.Fatal("taken")
			}
			said := err.Error()
			command := said[strings.LastIndex(said, "with: ")+len("with: "):]
			if at := strings.Index(said, "client's: "); at >= 0 {
				command = said[at+len("client's: "):]
			}
			command = strings.Replace(command, "pkcs12 ", "pkcs12 -passin pass: ", 1)
			if err := os.WriteFile(filepath.Join(dir, tc.in), data, 0o600); err != nil {
				t.Fatal(err)
			}
			run(t, dir, "sh", "-c", command)
			if data, err = os.ReadFile(filepath.Join(dir, tc.out)); err != nil {
				t.Fatal(command, err)
			}
			if tc.private {
				_, err = jose.ParsePrivate(data)
			} else {
				_, _, err = jose.ParsePublic(data, "")
			}
			if err != nil {
				t.Errorf("%s\nmade what is refused: %v", command, err)
			}
		})
	}
}

// run runs a command in a folder. A test whose tools are missing is skipped.
func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	tools := []string{name}
	for word := range strings.FieldsSeq(strings.Join(args, " ")) {
		if slices.Contains([]string{"openssl", "ssh-keygen", "jq", "iconv", "base64"}, word) {
			tools = append(tools, word)
		}
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil && os.Getenv("MONEYER_REQUIRE_ALL") != "1" {
			t.Skip(tool + " is missing")
		}
	}
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, args, err, out)
	}
}

// TestKeySets: of each set the keys that can be used are found, and what is left out is reported.
func TestKeySets(t *testing.T) {
	rows := map[string]struct {
		find, want string // kid and alg, and the thumbprint
		report     string
	}{
		"jwks.Ed25519.json":            {"ed1 EdDSA", caseEd, ""},
		"jwks.EdDSA.json":              {"ed1 Ed25519", caseEd, ""},
		"jwks.nokid.json":              {" ES256", caseEC, ""},
		"jwks.one.json":                {"e1 ES256", caseEC, ""},
		"jwks.padded.json":             {"e1 ES256", "", `left out 1 of 1 keys: kid "e1": not a usable key: JWK: x: base64url with padding`},
		"jwks.priv.ec.json":            {"e1 ES256", "", `left out 1 of 1 keys: kid "e1": private key where a public key belongs`},
		"jwks.same-key-twice.json":     {"e1 ES256", caseEC, ""},
		"jwks.same-kid-other-alg.json": {"k PS256", caseRSA, ""},
		"jwks.same-kid-other-kty.json": {"k ES256", caseEC, ""},
		"jwks.unrelated-dup.json":      {"e1 ES256", caseEC, ""},
	}
	for name, data := range files(t, "key-sets", func(name string) bool { return rows[name].find != "" }, len(rows)) {
		want := rows[name]
		set, err := jose.ParseKeySet(data, jose.KeySetRules{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		kid, alg, _ := strings.Cut(want.find, " ")
		found := ""
		if key := set.Find(kid, alg); key != nil {
			found = key.Thumbprint()
		}
		if report := set.Report(); found != want.want || !strings.HasPrefix(report, want.report) || want.report == "" && report != "" {
			t.Errorf("%s: found %q, want %q; %s", name, found, want.want, report)
		}
	}
}

// TestOpenSSLTakes: what `openssl pkey` reads in PEM is read here as the same key, but for what is
// refused on purpose.
func TestOpenSSLTakes(t *testing.T) {
	ec := openssl(t, nil, "ecparam", "-name", "prime256v1", "-genkey", "-noout")
	rsaKey := openssl(t, nil, "genrsa", "2048")
	ed := openssl(t, nil, "genpkey", "-algorithm", "ED25519")
	pss := openssl(t, nil, "genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048", "-pkeyopt", "rsa_pss_keygen_md:sha256",
		"-pkeyopt", "rsa_pss_keygen_mgf1_md:sha256", "-pkeyopt", "rsa_pss_keygen_saltlen:32")
	relabel := func(data []byte, label string) []byte {
		return boundaryLabel.ReplaceAll(data, []byte("-----$1 "+label+"-----"))
	}
	var privates, publics [][]byte
	for _, key := range [][]byte{ec, rsaKey, ed} {
		for _, args := range [][]string{{"pkey"}, {"pkey", "-traditional"}, {"pkey", "-text"}} {
			if bytes.Equal(key, ed) && slices.Contains(args, "-traditional") {
				continue
			}
			made := openssl(t, key, args...)
			privates = append(privates, made, append([]byte("\xef\xbb\xbf"), made...), bytes.ReplaceAll(made, []byte("\n"), []byte("\r\n")))
			for _, label := range []string{"PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"} {
				privates = append(privates, relabel(made, label))
			}
		}
		certificate := openssl(t, key, "req", "-x509", "-new", "-key", "/dev/stdin", "-subj", "/CN=client")
		privates = append(privates, append(bytes.Clone(certificate), key...), append(bytes.Clone(key), certificate...))
		public := openssl(t, key, "pkey", "-pubout")
		publics = append(publics, public, append([]byte("\xef\xbb\xbf"), public...), append([]byte("text\n"), public...), relabel(public, "RSA PUBLIC KEY"))
	}
	for _, form := range []string{"compressed", "hybrid", "uncompressed"} {
		publics = append(publics, openssl(t, ec, "ec", "-pubout", "-conv_form", form))
		privates = append(privates, openssl(t, ec, "ec", "-conv_form", form))
	}
	publics = append(publics, openssl(t, pss, "pkey", "-pubout"), openssl(t, rsaKey, "rsa", "-RSAPublicKey_out"), relabel(openssl(t, rsaKey, "rsa", "-RSAPublicKey_out"), "PUBLIC KEY"))
	taken := 0
	for _, data := range privates {
		if theirs, err := opensslReads(t, data, "pkey", "-pubout"); err == nil {
			taken++
			key, err := jose.ParsePrivate(data)
			if err != nil {
				t.Errorf("%v\n%s", err, data)
				continue
			}
			sameKey(t, data, publicOf(t, key).PEM(), theirs)
		}
	}
	for _, data := range publics {
		if theirs, err := opensslReads(t, data, "pkey", "-pubin", "-pubout"); err == nil {
			taken++
			sameKey(t, data, data, theirs)
		}
	}
	if taken < 60 {
		t.Errorf("OpenSSL read %d of %d", taken, len(privates)+len(publics))
	}
}

// sameKey checks that ours and theirs, made of data, are read as one key.
func sameKey(t *testing.T, data, ours, theirs []byte) {
	t.Helper()
	key, _, err := jose.ParsePublic(ours, "")
	want, _, wantErr := jose.ParsePublic(theirs, "")
	if err != nil || wantErr != nil || key.Thumbprint() != want.Thumbprint() || key.Alg() != want.Alg() {
		t.Errorf("%v, %v\n%s", err, wantErr, data)
	}
}

var boundaryLabel = regexp.MustCompile(`-----(BEGIN|END) [A-Z ]+-----`)

// opensslReads runs openssl on what it may refuse.
func opensslReads(t *testing.T, input []byte, args ...string) ([]byte, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "openssl", args...)
	cmd.Stdin = bytes.NewReader(input)
	return cmd.Output()
}

// publicOf returns the public half of a key.
func publicOf(t *testing.T, key crypto.Signer) *jose.PublicKey {
	t.Helper()
	alg, err := jose.KeyAlg(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	public, err := jose.NewPublicKey(key.Public(), alg)
	if err != nil {
		t.Fatal(err)
	}
	return public
}
