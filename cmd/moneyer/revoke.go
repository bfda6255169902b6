package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"moneyer/internal/adminapi"
	"moneyer/internal/adminclient"
	"moneyer/internal/jose"
	"moneyer/internal/registry"
)

// revokeFlags say what to revoke.
type revokeFlags struct {
	token, client, key, secret, certificate, identity, subject, signingKey, allBefore string
	keep                                                                              bool
}

func (o *onboarding) revokeCommand() *cobra.Command {
	var f revokeFlags
	c := &cobra.Command{
		Use:   "revoke",
		Short: "Revoke access tokens before they expire",
		Long: `Revoke access tokens before they expire: one token, all tokens of a client, those
issued for one of its credentials or about one subject, those signed by a signing key,
or all that were issued before a time.

Introspection and /check of the server refuse them at once. APIs that poll its
list of revocations refuse them after the next poll. All other APIs accept them
until they expire.

A client that is not disabled still gets new tokens. With --key, --secret,
--certificate or --identity that credential is disabled first, unless --keep is given.
The tokens that it obtained are found in the ledger; a token issued at the same moment
may be missed, so revoke again after the server's limits.request_timeout.

A token itself is read from standard input only, with --token -. Only its jti is
sent.`,
		Example: `  moneyer revoke --issuer d1 --token PGhOJGbTVwNuzbBNRhdEz
  moneyer revoke --issuer d1 --token - < token.txt
  moneyer revoke --issuer d1 --client merchant01
  moneyer revoke --issuer d1 --client merchant01 --key key-1
  moneyer revoke --issuer acme --client d1 --subject customer01
  moneyer revoke --issuer d1 --signing-key KID
  moneyer revoke --issuer d1 --all-before now
  moneyer revoke list --issuer d1`,
		RunE: func(c *cobra.Command, _ []string) error { return o.revoke(c, &f) },
	}
	f.add(c)
	o.ofIssuer(c, o.verb("list", "List the revocations of tokens that have not expired yet", "revoke list --issuer d1", o.listRevocations))
	completeBy(c, "client", o.completeClients)
	completeBy(c, "signing-key", o.completeSigningKeys)
	return c
}

func (f *revokeFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.token, "token", "", "one token by its `jti`, or '-' to read the token itself from standard input")
	flags.StringVar(&f.client, "client", "", "all tokens of the client with that `id`")
	flags.StringVar(&f.key, "key", "", "of the client's tokens those issued for its key with that `kid`; the key is disabled first")
	flags.StringVar(&f.secret, "secret", "", "of the client's tokens those issued for its secret or API key with that `id`; it is disabled first")
	flags.StringVar(&f.certificate, "certificate", "", "of the client's tokens those issued for its certificate with that `id`; it is disabled first")
	flags.StringVar(&f.identity, "identity", "", "of the client's tokens those issued for its identity with that `id`; it is disabled first")
	flags.StringVar(&f.subject, "subject", "", "of the client's tokens those about that `subject` (their sub)")
	flags.BoolVar(&f.keep, "keep", false, "do not disable the credential first")
	flags.StringVar(&f.signingKey, "signing-key", "", "all tokens that the issuer's key with that `kid` signed")
	flags.StringVar(&f.allBefore, "all-before", "", "all tokens issued before that `time`: a time, a date, a span from now such as -1h, or now")
	completeNothing(c, "token", "key", "secret", "certificate", "identity", "subject", "all-before")
	c.MarkFlagsOneRequired("token", "client", "signing-key", "all-before")
	c.MarkFlagsMutuallyExclusive("token", "client", "signing-key", "all-before")
	c.MarkFlagsMutuallyExclusive("key", "secret", "certificate", "identity")
}

// check refuses flags that exclude each other, and empty ones: an empty --key is
// an unset variable, and must not revoke all tokens of the client.
func (f *revokeFlags) check(c *cobra.Command) error {
	for _, flag := range []string{"token", "client", "key", "secret", "certificate", "identity", "subject", "signing-key", "all-before"} {
		if c.Flags().Changed(flag) && c.Flag(flag).Value.String() == "" {
			return usagef("--%s is empty", flag)
		}
	}
	switch _, credential := f.credential(); {
	case credential+f.subject != "" && f.client == "":
		return usagef("--key, --secret, --certificate, --identity and --subject require --client")
	case credential == "" && f.keep:
		return usagef("--keep requires --key, --secret, --certificate or --identity")
	}
	return nil
}

// credential returns the kind and the ID of the credential whose tokens are revoked, empty if
// there is none.
func (f *revokeFlags) credential() (*credential, string) {
	for _, of := range []struct {
		noun *credential
		id   string
	}{{keyNoun, f.key}, {secretNouns[registry.ClientSecret], f.secret}, {certificateNoun, f.certificate}, {identityNoun, f.identity}} {
		if of.id != "" {
			return of.noun, of.id
		}
	}
	return nil, ""
}

func (o *onboarding) revoke(c *cobra.Command, f *revokeFlags) error {
	if err := f.check(c); err != nil {
		return err
	}
	target, err := o.target(f)
	if err != nil {
		return err
	}
	at, err := o.at(c.Context())
	if err != nil {
		return err
	}
	if noun, id := f.credential(); noun != nil && !f.keep {
		if err := o.disableFirst(c.Context(), at, noun, f.client, id); err != nil {
			return err
		}
	}
	revoked, err := at.Revoke(c.Context(), target)
	if err != nil {
		return err
	}
	if revoked.Note != "" {
		o.note("%s", visible(revoked.Note))
	}
	return o.done(revoked, "revoked at issuer %s: %s (tokens: %s)", at.Name, revoked.Reason, tokenCount(&revoked))
}

// target returns what the flags select.
func (o *onboarding) target(f *revokeFlags) (adminapi.Target, error) {
	switch {
	case f.token != "":
		jti, err := o.tokenID(f.token)
		return adminapi.Target{JTI: jti}, err
	case f.client != "":
		_, id := f.credential()
		return adminapi.Target{Client: f.client, Credential: id, Subject: f.subject}, nil
	case f.signingKey != "":
		return adminapi.Target{SigningKid: f.signingKey}, nil
	case f.allBefore == "now":
		return adminapi.Target{All: true}, nil
	}
	at, err := parseMoment("all-before", f.allBefore, o.now())
	if err == nil && at.IsZero() {
		err = usagef("--all-before takes a time, or now")
	}
	return adminapi.Target{All: true, At: &adminapi.Moment{Time: at}}, err
}

// tokenID returns the given jti, or that of the token on standard input, whose
// signature is not checked. Errors do not repeat what was given: it may be a live
// token.
func (o *onboarding) tokenID(given string) (string, error) {
	if given != "-" {
		if strings.HasPrefix(given, "eyJ") || strings.Contains(given, ".") {
			return "", usagef("--token takes a jti, and this is a token: other users can read the command line, and the shell records it; pipe the token into --token -")
		}
		return given, nil
	}
	data, err := o.readFile("-")
	if err != nil {
		return "", usagef("standard input: %w", err)
	}
	text, _ := repair(string(data))
	token, err := jose.Parse(text)
	if err != nil {
		return "", usagef("standard input is not an access token: %w", err)
	}
	claims, err := jose.ParseClaims(token.Payload)
	if err != nil {
		return "", usagef("standard input is not an access token: %w", err)
	}
	if claims.ID == "" {
		return "", usagef("the token on standard input has no jti")
	}
	return claims.ID, nil
}

// disableFirst disables a credential before its tokens are revoked.
func (o *onboarding) disableFirst(ctx context.Context, at *adminclient.Issuer, noun *credential, client, id string) error {
	disabled := true
	_, _, err := noun.set(ctx, at, []string{client, id}, adminapi.CredentialChange{Disabled: &disabled})
	var refusal *adminclient.RefusedError
	if errors.As(err, &refusal) {
		return fmt.Errorf("%w; nothing was revoked (--keep revokes without disabling first)", err)
	}
	if err == nil {
		o.note("%s", visible(fmt.Sprintf("%s %s of client %s is disabled: it gets no more tokens", noun.command, id, client)))
	}
	return err
}

// tokenCount formats the number of revoked tokens, where they were counted.
func tokenCount(r *adminapi.Revocation) string {
	if r.Tokens == 0 {
		return "all"
	}
	return strconv.Itoa(r.Tokens)
}

func (o *onboarding) listRevocations(ctx context.Context, at *adminclient.Issuer, _ []string) error {
	revocations, err := at.Revocations(ctx)
	return show(o, revocations, err, []string{"REVOCATION", "OF", "TOKENS", "MADE", "EXPIRES"}, func(r *adminapi.Revocation) []string {
		reason := visible(r.Reason)
		if r.Unverified {
			reason = strings.TrimSpace(o.standing(false, true) + " " + reason)
		}
		return []string{r.ID, reason, tokenCount(r), o.when(r.Created, ""), o.when(r.Until, "")}
	})
}
