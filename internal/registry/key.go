package registry

import (
	"encoding/json"
	"slices"
	"time"

	"moneyer/internal/jose"
)

// Key is a public key of a client (RFC 7517), bound to one algorithm.
type Key struct {
	Kid string
	// Public is never nil in a Key that came out of a Registry.
	Public *jose.PublicKey
	// Environment of the issuer for which it was registered.
	Environment string
	// NotBefore and NotAfter bound its use; zero means no bound. NotAfter is the
	// first instant at which it is no longer good.
	NotBefore, NotAfter time.Time
	Disabled            bool
	Created             time.Time
}

// keyRecord is how a Key is stored.
type keyRecord struct {
	Kid         string          `json:"kid"`
	JWK         json.RawMessage `json:"jwk"`
	Environment string          `json:"environment,omitempty"`
	NotBefore   time.Time       `json:"not_before,omitzero"`
	NotAfter    time.Time       `json:"not_after,omitzero"`
	Disabled    bool            `json:"disabled,omitempty"`
	Created     time.Time       `json:"created"`
}

// MarshalJSON writes the key with its public JWK.
func (k Key) MarshalJSON() ([]byte, error) {
	return json.Marshal(keyRecord{
		Kid: k.Kid, JWK: k.Public.AppendJWK(nil, k.Kid), Environment: k.Environment,
		NotBefore: k.NotBefore, NotAfter: k.NotAfter, Disabled: k.Disabled, Created: k.Created,
	})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (k *Key) UnmarshalJSON(data []byte) error {
	var r keyRecord
	if err := json.Unmarshal(data, &r); err != nil {
		return err
	}
	public, _, err := jose.ParseJWK(r.JWK, "")
	if err != nil {
		return err
	}
	*k = Key{Kid: r.Kid, Public: public, Environment: r.Environment,
		NotBefore: r.NotBefore, NotAfter: r.NotAfter, Disabled: r.Disabled, Created: r.Created}
	return nil
}

// LiveAt reports whether the key may be used at that instant.
func (k *Key) LiveAt(now time.Time) bool {
	return !k.Disabled && live(now, k.NotBefore, k.NotAfter)
}

func live(now, notBefore, notAfter time.Time) bool {
	return !now.Before(notBefore) && (notAfter.IsZero() || now.Before(notAfter))
}

// blockedKeys are RFC 7638 thumbprints of keys whose private halves are on
// public pages: the samples of two payment platforms, and of the RFCs that
// people copy from.
var blockedKeys = []string{
	"VQuxBeR-8wKbnpwhah3azvW8jmcrRPX_Gk62fS7o9Jo", // Thales D1, OAuth page
	"r1LkbBo3925Rb2ZFFrKyU3MVex9T2817Kx0vbi6i_Kc", // Thales D1, sample code
	"oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U", // RFC 7515 appendix A.3
	"IsUn6_e04MaShXFIISMp4kG62LWzMIPy_MvSA5pJgX8", // RFC 7515 appendix A.2
	"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", // RFC 8037 appendix A
}

// Blocked returns why a key may not be registered or used, by any client: its
// private half is public, or its thumbprint is one of more, which configuration
// lists. It is nil for every other key.
func Blocked(key *jose.PublicKey, more []string) error {
	thumbprint := key.Thumbprint()
	if slices.Contains(blockedKeys, thumbprint) || slices.Contains(more, thumbprint) {
		return Invalidf("the private half of this key (thumbprint %s) is published or refused by configuration: make a new pair with 'moneyer keygen'", thumbprint)
	}
	return nil
}
