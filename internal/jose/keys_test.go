package jose_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"strings"
	"testing"

	josev4 "github.com/go-jose/go-jose/v4"

	"moneyer/internal/jose"
)

// openssl runs the openssl command with input on stdin.
func openssl(t *testing.T, input []byte, args ...string) []byte {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("MONEYER_REQUIRE_ALL") == "1" {
			t.Fatal("openssl is missing")
		}
		t.Skip("openssl is missing")
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("openssl %s: %v\n%s", args, err, stderr.Bytes())
	}
	return out
}

// TestOpenSSL reads every key encoding that openssl writes.
func TestOpenSSL(t *testing.T) {
	for name, tc := range map[string]struct {
		generate []string
		alg      jose.Alg
	}{
		"ecparam":        {[]string{"ecparam", "-name", "prime256v1", "-genkey"}, jose.ES256},
		"ecparam noout":  {[]string{"ecparam", "-name", "prime256v1", "-genkey", "-noout"}, jose.ES256},
		"genpkey EC":     {[]string{"genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"}, jose.ES256},
		"genrsa":         {[]string{"genrsa", "2048"}, jose.RS256},
		"genrsa PKCS #1": {[]string{"genrsa", "-traditional", "2048"}, jose.RS256},
		"genpkey Ed":     {[]string{"genpkey", "-algorithm", "ED25519"}, jose.EdDSA},
	} {
		t.Run(name, func(t *testing.T) {
			private := openssl(t, nil, tc.generate...)
			signer, err := jose.ParsePrivate(private)
			if err != nil {
				t.Fatal(err)
			}
			want, err := jose.NewPublicKey(signer.Public(), tc.alg)
			if err != nil {
				t.Fatal(err)
			}
			public := openssl(t, private, "pkey", "-pubout")
			forms := publicForms(t, private, public)
			forms["JWK"] = want.AppendJWK([]byte(" \n"), "k1")
			for form, data := range forms {
				key, kid, err := jose.ParsePublic(data, "")
				if err != nil {
					t.Errorf("%s: %v\n%s", form, err, data)
					continue
				}
				if key.Thumbprint() != want.Thumbprint() || key.Alg() != tc.alg || (kid == "k1") != (form == "JWK") {
					t.Errorf("%s: another key, alg %s or kid %q", form, key.Alg(), kid)
				}
			}
			if got := openssl(t, want.PEM(), "pkey", "-pubin", "-pubout"); !bytes.Equal(got, public) {
				t.Errorf("openssl reads our PEM as\n%s", got)
			}
		})
	}
}

// publicForms returns one public key in all encodings in which it is commonly sent.
func publicForms(t *testing.T, private, public []byte) map[string][]byte {
	t.Helper()
	certificate := openssl(t, private, "req", "-x509", "-new", "-key", "/dev/stdin", "-subj", "/CN=client", "-days", "1")
	forms := map[string][]byte{
		"PUBLIC KEY":           public,
		"CRLF":                 bytes.ReplaceAll(public, []byte("\n"), []byte("\r\n")),
		"blanks":               bytes.ReplaceAll(public, []byte("\n"), []byte(" \t\n  ")),
		"no last newline":      bytes.TrimSpace(public),
		"text around":          fmt.Appendf(nil, "the key of\nour bank:\n\n%s\nregards", public),
		"twice":                append(bytes.Clone(public), public...),
		"parameters":           append([]byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"), public...),
		"CERTIFICATE":          certificate,
		"key, its certificate": append(bytes.Clone(public), certificate...),
	}
	if len(private) > 1000 { // only RSA keys are
		forms["RSA PUBLIC KEY"] = openssl(t, private, "rsa", "-RSAPublicKey_out")
	}
	return forms
}

// TestOpenSSLPrivateAsPublic: a private key in place of the public one is refused with advice.
func TestOpenSSLPrivateAsPublic(t *testing.T) {
	for _, generate := range [][]string{
		{"ecparam", "-name", "prime256v1", "-genkey"}, {"genrsa", "2048"}, {"genrsa", "-traditional", "2048"}, {"genpkey", "-algorithm", "ED25519"},
	} {
		private := openssl(t, nil, generate...)
		public := openssl(t, private, "pkey", "-pubout")
		encrypted := openssl(t, private, "pkcs8", "-topk8", "-passout", "pass:secret")
		for _, data := range [][]byte{private, append(public, private...), bytes.TrimSuffix(private, []byte("-----\n")), encrypted} {
			key, _, err := jose.ParsePublic(data, "")
			if !errors.Is(err, jose.ErrPrivateKey) || key != nil || !strings.Contains(err.Error(), "openssl ec -in") {
				t.Errorf("%s: %v", generate, err)
			}
		}
	}
}

// TestOpenSSLEncrypted: keys encrypted with a passphrase are refused in both forms.
func TestOpenSSLEncrypted(t *testing.T) {
	private := openssl(t, nil, "ecparam", "-name", "prime256v1", "-genkey", "-noout")
	for _, format := range [][]string{
		{"pkcs8", "-topk8", "-passout", "pass:secret"}, {"pkey", "-traditional", "-aes128", "-passout", "pass:secret"},
	} {
		if _, err := jose.ParsePrivate(openssl(t, private, format...)); !errors.Is(err, jose.ErrEncryptedKey) {
			t.Errorf("%s: %v", format, err)
		}
	}
}

func TestParsePublicRefuses(t *testing.T) {
	es, rs := newSigner(t, jose.ES256, "", "").Public(), newSigner(t, jose.RS256, "", "").Public()
	for name, tc := range map[string]struct {
		data []byte
		alg  jose.Alg
		want error
	}{
		"nothing":          {nil, "", jose.ErrKey},
		"text":             {[]byte("ssh-ed25519 AAAA"), "", jose.ErrKey},
		"huge":             {bytes.Repeat([]byte(" "), 1<<20), "", jose.ErrKey},
		"two keys":         {append(es.PEM(), rs.PEM()...), "", jose.ErrKey},
		"other alg":        {es.PEM(), jose.RS256, jose.ErrWrongKeyType},
		"RSA as EdDSA":     {rs.PEM(), jose.EdDSA, jose.ErrWrongKeyType},
		"unknown alg":      {es.PEM(), "ES384", jose.ErrWrongKeyType},
		"P-384":            {openssl(t, openssl(t, nil, "ecparam", "-name", "secp384r1", "-genkey"), "ec", "-pubout"), "", jose.ErrWrongCurve},
		"P-384 as ES256":   {openssl(t, openssl(t, nil, "ecparam", "-name", "secp384r1", "-genkey"), "ec", "-pubout"), jose.ES256, jose.ErrWrongCurve},
		"secp256k1":        {openssl(t, openssl(t, nil, "ecparam", "-name", "secp256k1", "-genkey"), "ec", "-pubout"), "", jose.ErrKey},
		"RSA 1024":         {openssl(t, openssl(t, nil, "genrsa", "1024"), "rsa", "-pubout"), "", jose.ErrWeakKey},
		"RSA exponent 3":   {openssl(t, openssl(t, nil, "genrsa", "-3", "2048"), "rsa", "-pubout"), "", jose.ErrWeakKey},
		"X25519":           {openssl(t, openssl(t, nil, "genpkey", "-algorithm", "X25519"), "pkey", "-pubout"), "", jose.ErrWrongKeyType},
		"parameters alone": {[]byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"), "", jose.ErrKey},
		"garbage inside":   {[]byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), "", jose.ErrKey},
		"other block":      {[]byte("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"), "", jose.ErrKey},
		"JWK set":          {[]byte(`{"keys":[]}`), "", jose.ErrKey},
	} {
		t.Run(name, func(t *testing.T) {
			key, _, err := jose.ParsePublic(tc.data, tc.alg)
			if !errors.Is(err, tc.want) || key != nil {
				t.Errorf("%v, want %v", err, tc.want)
			}
		})
	}
}

func TestParseJWKRefuses(t *testing.T) {
	ec := `"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"`
	off := strings.Replace(ec, `"y":"x_`, `"y":"y_`, 1)
	if _, _, err := jose.ParseJWK([]byte("{"+ec+`,"key_ops":["verify"],"use":"sig","alg":"ES256","x5t":"a"}`), jose.ES256); err != nil {
		t.Fatal(err)
	}
	n := func(raw ...byte) string { return b64(string(raw) + strings.Repeat("\xab", 256)) }
	for name, tc := range map[string]struct {
		jwk  string
		alg  jose.Alg
		want error
	}{
		"private EC":        {rfc7515EC, "", jose.ErrPrivateKey},
		"private RSA":       {rfc7515RSA, "", jose.ErrPrivateKey},
		"private OKP":       {rfc8037OKP, "", jose.ErrPrivateKey},
		"empty d":           {"{" + ec + `,"d":""}`, "", jose.ErrPrivateKey},
		"dp alone":          {"{" + ec + `,"dp":1}`, "", jose.ErrPrivateKey},
		"symmetric":         {`{"kty":"oct","k":"AAAA"}`, "", jose.ErrPrivateKey},
		"oct without k":     {`{"kty":"oct"}`, "", jose.ErrWrongKeyType},
		"no kty":            {`{}`, "", jose.ErrWrongKeyType},
		"KTY":               {strings.Replace("{"+ec+"}", "kty", "KTY", 1), "", jose.ErrWrongKeyType},
		"duplicate":         {"{" + ec + `,"kty":"EC"}`, "", jose.ErrKey},
		"use enc":           {"{" + ec + `,"use":"enc"}`, "", jose.ErrKey},
		"key_ops":           {"{" + ec + `,"key_ops":["deriveKey"]}`, "", jose.ErrKey},
		"key_ops empty":     {"{" + ec + `,"key_ops":[]}`, "", jose.ErrKey},
		"key_ops mistyped":  {"{" + ec + `,"key_ops":"verify"}`, "", jose.ErrKey},
		"kid mistyped":      {"{" + ec + `,"kid":1}`, "", jose.ErrKey},
		"alg differs":       {"{" + ec + `,"alg":"ES256"}`, jose.RS256, jose.ErrAlgMismatch},
		"alg of other type": {"{" + ec + `,"alg":"RS256"}`, "", jose.ErrWrongKeyType},
		"alg unknown":       {"{" + ec + `,"alg":"ES384"}`, "", jose.ErrWrongKeyType},
		"other curve":       {strings.Replace("{"+ec+"}", "P-256", "P-384", 1), "", jose.ErrWrongCurve},
		"off the curve":     {"{" + off + "}", "", jose.ErrKey},
		"zero point":        {`{"kty":"EC","crv":"P-256","x":"` + b64(strings.Repeat("\x00", 32)) + `","y":"` + b64(strings.Repeat("\x00", 32)) + `"}`, "", jose.ErrKey},
		"short x":           {`{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}`, "", jose.ErrKey},
		"no x":              {`{"kty":"EC","crv":"P-256"}`, "", jose.ErrKey},
		"padded x":          {strings.Replace("{"+ec+"}", `VEU"`, `VEU="`, 1), "", jose.ErrKey},
		"LF in x":           {strings.Replace("{"+ec+"}", `"x":"f8`, `"x":"f\n8`, 1), "", jose.ErrKey},
		"stray bits in x":   {strings.Replace("{"+ec+"}", `VEU"`, `VEV"`, 1), "", jose.ErrKey},
		"x number":          {`{"kty":"EC","crv":"P-256","x":1,"y":1}`, "", jose.ErrKey},
		"X25519":            {`{"kty":"OKP","crv":"X25519","x":"AAAA"}`, "", jose.ErrWrongCurve},
		"Ed25519 short":     {`{"kty":"OKP","crv":"Ed25519","x":"AAAA"}`, "", jose.ErrKey},
		"RSA no n":          {`{"kty":"RSA","e":"AQAB"}`, "", jose.ErrKey},
		"RSA leading zero":  {`{"kty":"RSA","e":"AQAB","n":"` + n(0) + `"}`, "", jose.ErrKey},
		"RSA e leading 0":   {`{"kty":"RSA","e":"AAEAAQ","n":"` + n() + `"}`, "", jose.ErrKey},
		"RSA e huge":        {`{"kty":"RSA","e":"` + n() + `","n":"` + n() + `"}`, "", jose.ErrWeakKey},
		"RSA e even":        {`{"kty":"RSA","e":"AQAA","n":"` + n() + `"}`, "", jose.ErrWeakKey},
		"RSA e 1":           {`{"kty":"RSA","e":"AQ","n":"` + n() + `"}`, "", jose.ErrWeakKey},
		"RSA even n":        {`{"kty":"RSA","e":"AQAB","n":"` + b64(strings.Repeat("\xaa", 256)) + `"}`, "", jose.ErrWeakKey},
		"RSA 2040":          {`{"kty":"RSA","e":"AQAB","n":"` + b64(strings.Repeat("\xab", 255)) + `"}`, "", jose.ErrWeakKey},
		"RSA 4104":          {`{"kty":"RSA","e":"AQAB","n":"` + b64(strings.Repeat("\xab", 513)) + `"}`, "", jose.ErrWeakKey},
		"huge":              {"{" + ec + `,"x5c":"` + strings.Repeat("A", 1<<17) + `"}`, "", jose.ErrKey},
	} {
		t.Run(name, func(t *testing.T) {
			key, _, err := jose.ParseJWK([]byte(tc.jwk), tc.alg)
			if !errors.Is(err, tc.want) || key != nil {
				t.Errorf("%v, want %v", err, tc.want)
			}
		})
	}
}

// TestEd25519Points covers the points of small order, two non-canonical encodings, and one that is
// not on the curve.
func TestEd25519Points(t *testing.T) {
	for name, want := range map[string]error{
		"0100000000000000000000000000000000000000000000000000000000000000": jose.ErrWeakKey, // order 1
		"0100000000000000000000000000000000000000000000000000000000000080": jose.ErrWeakKey,
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f": jose.ErrWeakKey, // order 2
		"0000000000000000000000000000000000000000000000000000000000000000": jose.ErrWeakKey, // order 4
		"0000000000000000000000000000000000000000000000000000000000000080": jose.ErrWeakKey,
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05": jose.ErrWeakKey, // order 8
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85": jose.ErrWeakKey,
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a": jose.ErrWeakKey,
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa": jose.ErrWeakKey,
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f": jose.ErrKey, // p + 1
		"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff": jose.ErrKey,
		"0200000000000000000000000000000000000000000000000000000000000000": jose.ErrKey, // not on the curve
	} {
		raw, err := hex.DecodeString(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jose.NewPublicKey(ed25519.PublicKey(raw), jose.EdDSA); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	for range 200 {
		public, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jose.NewPublicKey(public, jose.EdDSA); err != nil {
			t.Fatalf("%x: %v", public, err)
		}
	}
}

func TestNewPublicKeyRefuses(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		key  crypto.PublicKey
		alg  jose.Alg
		want error
	}{
		"nil":         {nil, jose.ES256, jose.ErrWrongKeyType},
		"text":        {"key", jose.ES256, jose.ErrWrongKeyType},
		"nil EC":      {(*ecdsa.PublicKey)(nil), jose.ES256, jose.ErrWrongCurve},
		"empty EC":    {&ecdsa.PublicKey{}, jose.ES256, jose.ErrWrongCurve},
		"P-384":       {&key.PublicKey, jose.ES256, jose.ErrWrongCurve},
		"EC as RS256": {&key.PublicKey, jose.RS256, jose.ErrWrongKeyType},
		"nil RSA":     {(*rsa.PublicKey)(nil), jose.RS256, jose.ErrKey},
		"empty RSA":   {&rsa.PublicKey{}, jose.PS256, jose.ErrKey},
		"negative N":  {&rsa.PublicKey{N: big.NewInt(-5), E: 65537}, jose.PS256, jose.ErrKey},
		"nil Ed25519": {ed25519.PublicKey(nil), jose.EdDSA, jose.ErrKey},
		"no alg":      {ed25519.PublicKey(nil), "", jose.ErrWrongKeyType},
		"none":        {ed25519.PublicKey(nil), "none", jose.ErrWrongKeyType},
	} {
		if _, err := jose.NewPublicKey(tc.key, tc.alg); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

// TestJWKForms reads our JWK with another library.
func TestJWKForms(t *testing.T) {
	for _, alg := range algs {
		want := newSigner(t, alg, "", "").Public()
		data := want.AppendJWK(nil, `k"é`)
		var theirs josev4.JSONWebKey
		if err := json.Unmarshal(data, &theirs); err != nil {
			t.Fatalf("%s: %v\n%s", alg, err, data)
		}
		if theirs.KeyID != `k"é` || theirs.Algorithm != string(alg) || theirs.Use != "sig" {
			t.Errorf("%s: read as %+v", alg, theirs)
		}
		thumbprint, err := theirs.Thumbprint(crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		if b64(string(thumbprint)) != want.Thumbprint() {
			t.Errorf("%s: thumbprint %s", alg, want.Thumbprint())
		}
		ours, kid, err := jose.ParseJWK(data, alg)
		if err != nil || kid != `k"é` || ours.Thumbprint() != want.Thumbprint() || ours.Alg() != alg {
			t.Errorf("%s: %v, kid %q", alg, err, kid)
		}
	}
}

func TestParseKeySet(t *testing.T) {
	ec := string(newSigner(t, jose.ES256, "", "").Public().AppendJWK(nil, "a"))
	ps := string(newSigner(t, jose.PS256, "", "").Public().AppendJWK(nil, "b"))
	unusable := `{"kty":"EC","crv":"P-521"},{"kty":"AKP","alg":"ML-DSA-44"},{},{"kty":1}`
	set, err := jose.ParseKeySet([]byte(`{"other":1,"keys":[`+ec+","+unusable+","+ps+`]}`), jose.KeySetRules{})
	keys := set.Keys
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) != 2 || keys[0].Kid != "a" || keys[1].Kid != "b" || keys[1].Key.Alg() != jose.PS256 {
		t.Errorf("%+v", keys)
	}
	if set, err := jose.ParseKeySet([]byte(`{"keys":[]}`), jose.KeySetRules{}); err != nil || len(set.Keys) != 0 {
		t.Errorf("empty set: %v, %v", keys, err)
	}
	for name, tc := range map[string]struct {
		data string
		want error
	}{
		"a key":       {ec, jose.ErrKey},
		"array":       {"[" + ec + "]", jose.ErrKey},
		"keys object": {`{"keys":` + ec + `}`, jose.ErrKey},
		"keys twice":  {`{"keys":[],"keys":[]}`, jose.ErrKey},
		"not objects": {`{"keys":[1]} x`, jose.ErrKey},
		"101 keys":    {`{"keys":[` + strings.Repeat("{},", 100) + `{}]}`, jose.ErrKey},
		"huge":        {`{"keys":[` + strings.Repeat(" ", jose.MaxJWKS) + `]}`, jose.ErrKey},
	} {
		if set, err := jose.ParseKeySet([]byte(tc.data), jose.KeySetRules{}); !errors.Is(err, tc.want) || set.Keys != nil {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

func TestPrivateKeys(t *testing.T) {
	for _, alg := range algs {
		key, err := jose.GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		pem, err := jose.MarshalPrivatePEM(key)
		if err != nil {
			t.Fatal(err)
		}
		again, err := jose.ParsePrivate(pem)
		if err != nil {
			t.Fatal(err)
		}
		if !key.(interface{ Equal(crypto.PrivateKey) bool }).Equal(again) {
			t.Errorf("%s: round trip gave another key", alg)
		}
		theirs, err := json.Marshal(josev4.JSONWebKey{Key: key, KeyID: "k", Algorithm: string(alg)})
		if err != nil {
			t.Fatal(err)
		}
		if again, err = jose.ParsePrivate(theirs); err != nil {
			t.Fatalf("%s: %v\n%s", alg, err, theirs)
		}
		if !key.(interface{ Equal(crypto.PrivateKey) bool }).Equal(again) {
			t.Errorf("%s: another key came out of the JWK", alg)
		}
	}
	if _, err := jose.GenerateKey("ES384"); !errors.Is(err, jose.ErrWrongKeyType) {
		t.Error(err)
	}
	if _, err := jose.MarshalPrivatePEM(hardware{}); !errors.Is(err, jose.ErrKey) {
		t.Error(err)
	}
}

func TestParsePrivateRefuses(t *testing.T) {
	one, err := jose.MarshalPrivatePEM(testKey(t, jose.ES256))
	if err != nil {
		t.Fatal(err)
	}
	other := string(newSigner(t, jose.ES256, "", "").Public().AppendJWK(nil, ""))
	mixed := strings.TrimSuffix(other, "}") + `,"d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}`
	for name, tc := range map[string]struct {
		data string
		want error
	}{
		"nothing":       {"", jose.ErrKey},
		"huge":          {strings.Repeat(" ", 1<<20), jose.ErrKey},
		"two":           {string(one) + string(one), jose.ErrKey},
		"public PEM":    {string(newSigner(t, jose.ES256, "", "").Public().PEM()), jose.ErrKey},
		"public JWK":    {other, jose.ErrKey},
		"damaged JWK":   {`{"kty":`, jose.ErrKey},
		"halves differ": {mixed, jose.ErrKey},
		"zero d":        {strings.Replace(rfc7515EC, "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI", b64(strings.Repeat("\x00", 32)), 1), jose.ErrKey},
		"short d":       {strings.Replace(rfc8037OKP, "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", "AAAA", 1), jose.ErrKey},
		"RSA without p": {strings.Replace(rfc7515RSA, `"p":`, `"P":`, 1), jose.ErrKey},
		"RSA wrong p":   {strings.Replace(rfc7515RSA, `"p":"4BzE`, `"p":"4BzF`, 1), jose.ErrKey},
		"use enc":       {strings.Replace(rfc7515EC, `"kty"`, `"use":"enc","kty"`, 1), jose.ErrKey},
		"garbage":       {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", jose.ErrKey},
		"garbage EC":    {"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n", jose.ErrKey},
		"garbage RSA":   {"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n", jose.ErrKey},
		"P-384":         {string(openssl(t, nil, "ecparam", "-name", "secp384r1", "-genkey")), jose.ErrWrongCurve},
		"RSA 1024":      {string(openssl(t, nil, "genrsa", "1024")), jose.ErrWeakKey},
		"X25519":        {string(openssl(t, nil, "genpkey", "-algorithm", "X25519")), jose.ErrWrongKeyType},
		"oct":           {`{"kty":"oct","d":"AAAA","k":"AAAA"}`, jose.ErrWrongKeyType},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := jose.ParsePrivate([]byte(tc.data))
			if !errors.Is(err, tc.want) || key != nil {
				t.Errorf("%v, want %v", err, tc.want)
			}
		})
	}
}

// TestKeySetRules: a key of a set is bound to its own alg, or else to the first of the configured ones
// that fits its type; of a SPIFFE bundle only keys with use jwt-svid and a kid count.
func TestKeySetRules(t *testing.T) {
	rsaKey, ecKey := publicJWK(t, jose.RS256), publicJWK(t, jose.ES256)
	with := func(jwk, members string) string { return strings.TrimSuffix(jwk, "}") + members + "}" }
	for _, test := range []struct {
		name  string
		keys  []string
		rules jose.KeySetRules
		want  string
	}{
		{"own alg", []string{with(rsaKey, `,"kid":"a","alg":"PS256"`)}, jose.KeySetRules{Algs: []jose.Alg{jose.RS256}}, "a PS256"},
		{"configured", []string{with(rsaKey, `,"kid":"a"`), with(ecKey, `,"kid":"b"`)}, jose.KeySetRules{Algs: []jose.Alg{jose.ES256, jose.PS256, jose.RS256}}, "a PS256, b ES256"},
		{"none fits", []string{with(rsaKey, `,"kid":"a"`)}, jose.KeySetRules{Algs: []jose.Alg{jose.ES256}}, "a RS256"},
		{"not for signatures", []string{with(rsaKey, `,"kid":"a","use":"enc"`), with(rsaKey, `,"kid":"b","use":"jwt-svid"`)}, jose.KeySetRules{}, ""},
		{"bundle", []string{with(ecKey, `,"kid":"a","use":"jwt-svid"`), with(ecKey, `,"kid":"b"`), with(ecKey, `,"kid":"c","use":"sig"`),
			with(ecKey, `,"kid":"d","use":"x509-svid"`), with(ecKey, `,"use":"jwt-svid"`)}, jose.KeySetRules{SPIFFE: true}, "a ES256"},
	} {
		set, err := jose.ParseKeySet([]byte(`{"spiffe_refresh_hint":300,"keys":[`+strings.Join(test.keys, ",")+`]}`), test.rules)
		var got []string
		for _, key := range set.Keys {
			got = append(got, key.Kid+" "+string(key.Key.Alg()))
		}
		if err != nil || strings.Join(got, ", ") != test.want || (set.Refresh == 300) != test.rules.SPIFFE {
			t.Errorf("%s: %q, %v, refresh %d, want %q", test.name, got, err, set.Refresh, test.want)
		}
	}
}

// publicJWK returns a new public key without alg, use and kid.
func publicJWK(t *testing.T, alg jose.Alg) string {
	t.Helper()
	private, err := jose.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	public, err := jose.NewPublicKey(private.Public(), alg)
	if err != nil {
		t.Fatal(err)
	}
	members, _, _ := strings.Cut(string(public.AppendJWK(nil, "")), `,"alg"`)
	return members + "}"
}
