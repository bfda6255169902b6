package admin

import (
	"errors"
	"slices"
	"time"

	"moneyer/internal/adminapi"
	"moneyer/internal/authority"
	"moneyer/internal/keyring"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/revocation"
	"moneyer/internal/strictjson"
)

// inFlight is the note of a revocation that lists tokens one by one. They come from
// the ledger, and a request in flight may issue another.
const inFlight = "a token that was being minted just then may not be among them: with the credential disabled or removed, revoke once more when limits.request_timeout has passed"

func viewRevocation(v *revocation.Revocation) adminapi.Revocation {
	return adminapi.Revocation{ID: v.ID, Reason: v.Reason, Tokens: len(v.JTIs), Before: v.Before, Until: v.Until, Created: v.Created, Unverified: v.Unverified}
}

// listRevocations lists the active revocations, those of revoked signing keys
// included, in the order of their expiry. A page begins after the named one; those
// before it expire earlier.
func (a *API) listRevocations(c *call) error {
	list, err := a.Revocations.Revocations(c.r.Context(), c.issuer.Name)
	if err != nil && !registry.IsUnverified(err) {
		return err
	}
	keys, err := a.Keyring.Keys(c.r.Context(), c.issuer.Name)
	if err != nil && !registry.IsUnverified(err) {
		return err
	}
	now := a.Now()
	list = slices.DeleteFunc(list, func(v revocation.Revocation) bool { return !v.Unverified && !now.Before(v.Until) }) // over, and not removed yet
	all := views(list, viewRevocation)
	for i := range keys {
		if k := &keys[i]; now.Before(k.RevokedUntil()) {
			all = append(all, adminapi.Revocation{ID: k.Kid, Reason: "revoked signing key " + k.Kid, Until: k.RevokedUntil(), Created: k.RevokedAt})
		}
	}
	slices.SortStableFunc(all, func(a, b adminapi.Revocation) int { return a.Until.Compare(b.Until) })
	return replyCut(c, all, func(v *adminapi.Revocation) string { return v.ID })
}

// revoke adds a revocation. A credential should be disabled or removed before its
// tokens are revoked, else it can get new ones.
func (a *API) revoke(c *call) error {
	target, err := c.target()
	if err == nil {
		err = a.checkTarget(c, &target)
	}
	if err != nil {
		return err
	}
	planned, err := a.Authority.Revocations.Plan(c.r.Context(), c.issuer, target, a.Now())
	if err != nil {
		return err
	}
	done := change{"revoke", revoked(&target), target.Client}
	e := a.entry(c, done)
	e.JTI = target.JTI
	answer := viewRevocation(planned)
	if target.JTI == "" && answer.Tokens > 0 {
		e.Count, answer.Note = int64(answer.Tokens), inFlight
	}
	if err := a.Authority.Revocations.Add(c.r.Context(), planned, e); err != nil {
		return err
	}
	a.logged(c, done)
	return c.reply(answer)
}

// target reads what to revoke.
func (c *call) target() (authority.Target, error) {
	var t authority.Target
	err := c.decode(members{
		"jti":         named(&t.JTI),
		"client":      named(&t.Client),
		"credential":  named(&t.Credential),
		"subject":     named(&t.Subject),
		"signing_kid": named(&t.SigningKid),
		"all":         flag(&t.All),
		"at":          moment(&t.At),
	})
	if err != nil {
		return t, err
	}
	ways := 0
	for _, given := range []bool{t.JTI != "", t.Client != "", t.SigningKid != "", t.All} {
		if given {
			ways++
		}
	}
	switch {
	case ways != 1:
		return t, invalid("say what to revoke by one of jti, client, signing_kid and all")
	case t.Credential+t.Subject != "" && t.Client == "":
		return t, invalid("credential and subject come with the client that they belong to")
	case !t.At.IsZero() && t.Client == "" && !t.All:
		return t, invalid("at comes with client or all")
	}
	return t, nil
}

// named reads a name. An empty one is refused: the target would match more tokens
// than intended.
func named(to *string) func(strictjson.Value) error {
	return func(v strictjson.Value) (err error) {
		if *to, err = v.Text(); err == nil && *to == "" {
			err = invalid("want a name that is not empty")
		}
		return err
	}
}

// checkTarget refuses an unknown name, which would match no token, and a signing key
// whose future tokens would be revoked too.
func (a *API) checkTarget(c *call, t *authority.Target) error {
	switch {
	case t.SigningKid != "":
		return a.checkSigningKid(c, t.SigningKid)
	case t.Client != "" && t.Credential+t.Subject == "":
		return a.checkClientSeen(c, t.Client)
	default:
		return nil
	}
}

func (a *API) checkSigningKid(c *call, kid string) error {
	key, err := a.signingKey(c, kid)
	if err == nil && (key.State == keyring.Signing || key.State == keyring.Announced) {
		err = refuse("signing key %s is %s, and what it signs from now on would be revoked too: activate another first, or revoke the key", kid, key.State)
	}
	return err
}

// recently is longer than the lifetime of any access token.
const recently = 25 * time.Hour

// checkClientSeen requires a client that is registered, or that got a token
// recently.
func (a *API) checkClientSeen(c *call, id string) error {
	_, unknown := a.Clients.Client(c.r.Context(), c.issuer.Name, id)
	if !errors.Is(unknown, registry.ErrNotFound) {
		return unknown
	}
	seen := false
	err := a.Ledger.Entries(c.r.Context(), ledger.Query{Kind: ledger.KindToken, Issuer: c.issuer.Name, Client: id,
		Since: a.Now().Add(-recently), Limit: 1}, func(*ledger.Record) error {
		seen = true
		return nil
	})
	if err == nil && !seen {
		err = unknown
	}
	return err
}

// revoked names a target in the form of the ledger.
func revoked(t *authority.Target) string {
	object := "tokens"
	switch {
	case t.JTI != "":
		object = "tokens/" + t.JTI
	case t.Client != "":
		object = "clients/" + t.Client
		if t.Credential != "" {
			object += "/credentials/" + t.Credential
		}
		if t.Subject != "" {
			object += "/subjects/" + t.Subject
		}
		object += "/tokens"
	case t.SigningKid != "":
		object = "signing-keys/" + t.SigningKid + "/tokens"
	}
	if !t.At.IsZero() {
		object += " before " + t.At.Format(time.RFC3339Nano)
	}
	return object
}
