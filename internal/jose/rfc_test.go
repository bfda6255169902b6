package jose_test

import (
	_ "embed"
	"errors"
	"testing"

	"moneyer/internal/jose"
)

// The keys of RFC 7515 appendix A.2.1 and A.3.1 and RFC 8037 appendix A.1, in files that
// interop/differential uses too.
var (
	//go:embed testdata/rfc7515-rsa.json
	rfc7515RSA string
	//go:embed testdata/rfc7515-ec.json
	rfc7515EC string
	//go:embed testdata/rfc8037-okp.json
	rfc8037OKP string
)

// The keys of RFC 7638 section 3.1 and RFC 7520 section 3.1.
const (
	rfc7638RSA = `{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`
	rfc7520EC  = `{"kty":"EC","kid":"bilbo.baggins@hobbiton.example","use":"sig","crv":"P-521","x":"AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt","y":"AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1"}`
)

// The tokens of RFC 7515 appendix A.2 and A.3 and RFC 8037 appendix A.4. The token of RFC 7520
// section 4.1 is among the Wycheproof vectors.
const (
	rfc7515Payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
	rfc7515RS256   = "eyJhbGciOiJSUzI1NiJ9." + rfc7515Payload + ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
	rfc7515ES256   = "eyJhbGciOiJFUzI1NiJ9." + rfc7515Payload + ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
	rfc8037EdDSA   = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
)

func TestRFCTokens(t *testing.T) {
	for name, tc := range map[string]struct {
		jwk, token    string
		alg           jose.Alg
		deterministic bool
	}{
		"RFC 7515 A.2": {rfc7515RSA, rfc7515RS256, jose.RS256, true},
		"RFC 7515 A.3": {rfc7515EC, rfc7515ES256, jose.ES256, false},
		"RFC 8037 A.4": {rfc8037OKP, rfc8037EdDSA, jose.EdDSA, true},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := jose.ParsePrivate([]byte(tc.jwk))
			if err != nil {
				t.Fatal(err)
			}
			signer, err := jose.NewSigner(key, tc.alg, "", "")
			if err != nil {
				t.Fatal(err)
			}
			j, err := jose.Parse(tc.token)
			if err != nil {
				t.Fatal(err)
			}
			if err := j.Verify(signer.Public()); err != nil {
				t.Error(err)
			}
			again := sign(t, signer, string(j.Payload))
			if tc.deterministic && again != tc.token {
				t.Errorf("signed again:\n%s\nwant\n%s", again, tc.token)
			}
			if j, err = jose.Parse(again); err != nil {
				t.Fatal(err)
			}
			if err := j.Verify(signer.Public()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRFCThumbprints(t *testing.T) {
	public8037 := `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	for name, tc := range map[string]struct{ jwk, want string }{
		"RFC 7638 3.1": {rfc7638RSA, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
		"RFC 8037 A.3": {public8037, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
	} {
		key, _, err := jose.ParseJWK([]byte(tc.jwk), "")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if key.Thumbprint() != tc.want {
			t.Errorf("%s: %s, want %s", name, key.Thumbprint(), tc.want)
		}
	}
}

// TestRFC7520WrongCurve uses the key of the ES512 example in section 4.3.
func TestRFC7520WrongCurve(t *testing.T) {
	if _, _, err := jose.ParseJWK([]byte(rfc7520EC), ""); !errors.Is(err, jose.ErrWrongCurve) {
		t.Error(err)
	}
}
