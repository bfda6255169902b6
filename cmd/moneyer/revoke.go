package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"moneyer/internal/adminapi"
	"moneyer/internal/adminclient"
	"moneyer/internal/jose"
)

// revokeFlags say what to revoke.
type revokeFlags struct {
	token, client, key, secret, signingKey, allBefore string
	keep                                              bool
}

func (o *onboarding) revokeCommand() *cobra.Command {
	var f revokeFlags
	c := &cobra.Command{
		Use:   "revoke",
		Short: "Withdraw access tokens before their end",
		Long: `Withdraw access tokens before their end: one token, all of a client, those that
one of its keys or secrets bought, those that a signing key signed, or all that
were issued before an instant.

The server refuses them at once, where it is asked: introspection and /check. APIs
that poll its list of revocations refuse them when they next do. All other APIs
take them to their end: what ends soon needs no list.

A client that is not disabled gets new tokens all the while. With --key and
--secret the key or secret is disabled first, unless --keep is given. The ledger
tells which tokens it bought; one that was being minted just then may be missed,
so revoke once more when the server's limits.request_timeout has passed.

A token itself is taken from standard input only, by --token -: its jti is read
here, and nothing but the jti is sent.`,
		Example: `  moneyer revoke --issuer d1 --token PGhOJGbTVwNuzbBNRhdEz
  moneyer revoke --issuer d1 --token - < token.txt
  moneyer revoke --issuer d1 --client merchant01
  moneyer revoke --issuer d1 --client merchant01 --key key-1
  moneyer revoke --issuer d1 --signing-key KID
  moneyer revoke --issuer d1 --all-before now
  moneyer revoke list --issuer d1`,
		RunE: func(c *cobra.Command, _ []string) error { return o.revoke(c, &f) },
	}
	f.add(c)
	o.ofIssuer(c, o.verb("list", "List what is revoked, until the last token of it has ended", "revoke list --issuer d1", o.listRevocations))
	completeBy(c, "client", o.completeClients)
	completeBy(c, "signing-key", o.completeSigningKeys)
	return c
}

func (f *revokeFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.token, "token", "", "one token by its `jti`, or '-' to read the token itself from standard input")
	flags.StringVar(&f.client, "client", "", "all tokens of the client with that `id`")
	flags.StringVar(&f.key, "key", "", "of the client's tokens those that its key with that `kid` bought; the key is disabled first")
	flags.StringVar(&f.secret, "secret", "", "of the client's tokens those that its secret or API key with that `id` bought; it is disabled first")
	flags.BoolVar(&f.keep, "keep", false, "do not disable the key or secret first")
	flags.StringVar(&f.signingKey, "signing-key", "", "all tokens that the issuer's key with that `kid` signed")
	flags.StringVar(&f.allBefore, "all-before", "", "all tokens issued before that `time`: a time, a date, a span from now such as -1h, or now")
	completeNothing(c, "token", "key", "secret", "all-before")
	c.MarkFlagsOneRequired("token", "client", "signing-key", "all-before")
	c.MarkFlagsMutuallyExclusive("token", "client", "signing-key", "all-before")
	c.MarkFlagsMutuallyExclusive("key", "secret")
}

// check refuses flags that do not go together, and empty ones: an empty --key is
// a variable that was not set, not a wish to revoke all of the client's tokens.
func (f *revokeFlags) check(c *cobra.Command) error {
	for _, flag := range []string{"token", "client", "key", "secret", "signing-key", "all-before"} {
		if c.Flags().Changed(flag) && c.Flag(flag).Value.String() == "" {
			return usagef("--%s is empty", flag)
		}
	}
	switch credential := f.key + f.secret; {
	case credential != "" && f.client == "":
		return usagef("--key and --secret come with --client, whose they are")
	case credential == "" && f.keep:
		return usagef("--keep comes with --key or --secret")
	}
	return nil
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
	if f.key+f.secret != "" && !f.keep {
		if err := o.disableFirst(c.Context(), at, f); err != nil {
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

// target is the request that the flags ask for.
func (o *onboarding) target(f *revokeFlags) (adminapi.Target, error) {
	switch {
	case f.token != "":
		jti, err := o.tokenID(f.token)
		return adminapi.Target{JTI: jti}, err
	case f.client != "":
		return adminapi.Target{Client: f.client, Credential: cmp.Or(f.key, f.secret)}, nil
	case f.signingKey != "":
		return adminapi.Target{SigningKid: f.signingKey}, nil
	case f.allBefore == "now":
		return adminapi.Target{All: true}, nil
	}
	at, err := parseMoment("all-before", f.allBefore, o.now())
	if err == nil && at.IsZero() {
		err = usagef("--all-before wants an instant, or now")
	}
	return adminapi.Target{All: true, At: &adminapi.Moment{Time: at}}, err
}

// tokenID is the jti of a token: what was given, or that of the token on standard
// input, whose signature is the server's business. Errors do not repeat what was
// given: it may be a live token.
func (o *onboarding) tokenID(given string) (string, error) {
	if given != "-" {
		if strings.HasPrefix(given, "eyJ") || strings.Contains(given, ".") {
			return "", usagef("--token takes a jti, and this is a token: on a command line others on this machine can read it, and the shell keeps it; pipe it into --token -")
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
		return "", usagef("standard input holds no access token: %w", err)
	}
	claims, err := jose.ParseClaims(token.Payload)
	if err != nil {
		return "", usagef("standard input holds no access token: %w", err)
	}
	if claims.ID == "" {
		return "", usagef("the token on standard input has no jti")
	}
	return claims.ID, nil
}

// disableFirst lets the key or secret buy no more tokens.
func (o *onboarding) disableFirst(ctx context.Context, at *adminclient.Issuer, f *revokeFlags) (err error) {
	disabled := true
	change := adminapi.CredentialChange{Disabled: &disabled}
	noun, id := "key", f.key
	if f.secret != "" {
		noun, id = "secret", f.secret
		_, err = at.SetSecret(ctx, f.client, id, change)
	} else {
		_, err = at.SetKey(ctx, f.client, id, change)
	}
	var no *adminclient.RefusedError
	if errors.As(err, &no) {
		return fmt.Errorf("%w; nothing was revoked (--keep revokes without disabling first)", err)
	}
	if err == nil {
		o.note("%s", visible(fmt.Sprintf("%s %s of client %s is disabled: it gets no more tokens", noun, id, f.client)))
	}
	return err
}

// tokenCount tells how many tokens were revoked, where somebody counted.
func tokenCount(r *adminapi.Revocation) string {
	if r.Tokens == 0 {
		return "all"
	}
	return strconv.Itoa(r.Tokens)
}

func (o *onboarding) listRevocations(ctx context.Context, at *adminclient.Issuer, _ []string) error {
	revocations, err := at.Revocations(ctx)
	return show(o, revocations, err, []string{"REVOCATION", "OF", "TOKENS", "MADE", "OVER"}, func(r *adminapi.Revocation) []string {
		return []string{r.ID, visible(r.Reason), tokenCount(r), o.when(r.Created, ""), o.when(r.Until, "")}
	})
}
