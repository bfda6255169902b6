package evidence

import (
	"moneyer/internal/jose"
)

// EqualizeTiming spends what verifying a signature costs, so that the time of an
// answer does not tell which clients and kids exist.
func (p *Assertion) EqualizeTiming() { p.verifies(dummyKeyFor(p.jws.Header.Alg)) }

// dummyKeyFor is a key of the header's algorithm: what a check costs depends on that
// alone, as it does with a key that was found.
func dummyKeyFor(alg string) *jose.PublicKey {
	if dummy, ok := dummyKeys[jose.Alg(alg)]; ok {
		return dummy
	}
	return dummyKeys[jose.ES256]
}

// dummyKeys are the public example keys of RFC 7515 appendix A and RFC 8037
// appendix A. What they verify is refused.
var dummyKeys = func() map[jose.Alg]*jose.PublicKey {
	const rsa = `{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}`
	keys := map[jose.Alg]*jose.PublicKey{}
	for alg, jwk := range map[jose.Alg]string{
		jose.ES256: `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`,
		jose.RS256: rsa,
		jose.PS256: rsa,
		jose.EdDSA: `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
	} {
		key, _, err := jose.ParseJWK([]byte(jwk), alg)
		if err != nil {
			panic(err) // constants
		}
		keys[alg] = key
	}
	return keys
}()
