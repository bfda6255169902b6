package server

import (
	"crypto/rand"
	"encoding/base64"
	"math/big"
	"net/http"
	"net/textproto"

	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// wire is a profile's Wire with what the token endpoint computes once.
type wire struct {
	*platform.Wire
	// correlation and apiKey are canonical header names.
	correlation string
	apiKey      string
	// grant is the only grant of a profile that has no grant_type parameter.
	grant oauth.GrantType
	// takesBasic and takesAPIKey say what the headers may hold.
	takesBasic, takesAPIKey bool
	// takesSVID is set where client_assertion may be a JWT-SVID by its own type.
	takesSVID bool
	// takesGet is set where a GET is the same as a POST with an empty form.
	takesGet bool
	// certificates says where client certificates are read; nil for nowhere.
	certificates *Certificates
	// mostCredentials is how many credentials one request may show.
	mostCredentials int
}

func newWire(issuer *registry.Issuer) *wire {
	p := issuer.Profile
	w := &wire{
		Wire:        &p.Wire,
		correlation: textproto.CanonicalMIMEHeaderKey(p.Wire.Correlation.Header),
		apiKey:      textproto.CanonicalMIMEHeaderKey(p.Wire.APIKey.Header),
		takesBasic:  p.Policy.Uses(oauth.AuthBasic),
		takesAPIKey: p.Policy.Uses(oauth.AuthAPIKey),
		takesSVID:   issuer.TrustsSPIFFE(),

		mostCredentials: p.Policy.MostCredentials(),
	}
	if p.Wire.Meaning(platform.MeansGrantType) == nil {
		w.grant = p.Policy.Grants[0].Type
	}
	return w
}

// correlate reads the name that the caller gives its request and echoes it. In
// place of one that is absent or malformed it makes one up, also for a refusal:
// by it the caller and the log's reader find each other. A secret in its place is
// malformed: it would stand in the log and the ledger. A card number is echoed, and
// masked in the result. Of a platform without such a header the made-up name stands in the log alone.
func (w *wire) correlate(rw http.ResponseWriter, r *http.Request) (id string, err error) {
	policy := &w.Correlation
	if policy.Header == "" {
		return newCorrelation(policy), nil
	}
	values := r.Header[w.correlation]
	switch {
	case len(values) == 0 || len(values) == 1 && values[0] == "":
		id = newCorrelation(policy)
		if policy.Required {
			err = oauth.Errorf(oauth.InvalidRequest, "the header %s is missing", policy.Header)
		}
	case len(values) > 1 || len(values[0]) > policy.MaxLength || !policy.Chars.Allow(values[0]) || registry.LooksLikeCredential(values[0]):
		id = newCorrelation(policy)
		err = oauth.Errorf(oauth.InvalidRequest, "the header %s is malformed", policy.Header)
	default:
		id = values[0]
	}
	rw.Header()[w.correlation] = []string{id}
	return registry.MaskCardNumbers(id), err
}

// newCorrelation makes a name up that the policy allows.
func newCorrelation(policy *platform.Correlation) string {
	var random [15]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	id := base64.RawURLEncoding.EncodeToString(random[:])
	if policy.Chars == platform.CharsDigits {
		id = new(big.Int).SetBytes(random[:]).String()
	}
	return id[:min(len(id), policy.MaxLength)]
}
