package moneyer

import (
	"cmp"
	"fmt"
	"strings"

	"moneyer/bench/subject"
)

// The issuers, by short name.
const (
	d1      = "d1"
	banking = "d1-banking"
	plain   = "oauth2"
	bolt    = "boltpay"
	etp     = "etp"
	reusing = "reuse"
)

const (
	audienceName = "stg"
	d1Scope      = "d1-s2s:api:merchant-gtw"
	bankingScope = "d1-api:account:full d1-api:consumer:read"
	plainScope   = "bench:read bench:write"
	boltScope    = "openid accountId username roles"
	etpScope     = "PAYMENT_PASSKEY"
)

// issuerSettings are the settings of each issuer beside its URL.
const issuerSettings = `
[issuers.d1]
url = "%[1]s/d1/authz/v1"
profile = "thales-d1"
environment = "bench"
audience_names = ["stg"]
resource_audience = "https://api.example.com/d1"

[issuers.d1-banking]
url = "%[1]s/d1-banking/authz/v1"
profile = "thales-d1-banking"
environment = "bench"
audience_names = ["stg"]
resource_audience = "https://api.example.com/d1-banking"

[issuers.oauth2]
url = "%[1]s/oauth2"
profile = "oauth2"
environment = "bench"
resource_audience = "https://api.example.com/oauth2"
%[2]s
[issuers.boltpay]
url = "%[1]s/boltpay"
profile = "boltpay"
environment = "bench"

[issuers.etp]
url = "%[1]s/tsh-cof"
profile = "thales-etp"
environment = "bench"
resource_audience = "https://api.example.com/etp"

[issuers.reuse]
url = "%[1]s/reuse"
profile = "oauth2"
environment = "bench"
resource_audience = "https://api.example.com/reuse"
reuse = 0.5
`

// configuration of a server: the defaults, except as changed by Options, and for TLS if there are
// certificates.
func configuration(o *Options, address, admin string, c *subject.Certificates) string {
	var b strings.Builder
	fmt.Fprintf(&b, "store = %q\nmaster_key = \"file:master.key\"\n\n", cmp.Or(o.store, "sqlite:"+storeFile))
	// All connections come from one address.
	fmt.Fprintf(&b, "[listen]\naddress = %q\ntrusted_proxies = [\"127.0.0.0/8\"]\n%s\n[admin]\naddress = %q\n\n[limits]\ndrain_delay = \"0s\"\n", address, listenTLS(c), admin)
	if !o.Limits {
		// One client and one address send all requests.
		fmt.Fprint(&b, "client_rate = -1\naddress_rate = -1\n")
	}
	if o.Retention > 0 {
		fmt.Fprintf(&b, "\n[ledger]\nretention = %q\n", o.Retention)
	}
	base := "http://" + address
	if c != nil {
		base = "https://" + address
	}
	fmt.Fprintf(&b, issuerSettings, base, issuerTLS(c))
	return b.String()
}
