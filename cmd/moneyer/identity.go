package main

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moneyer/internal/adminapi"
	"moneyer/internal/adminclient"
)

var identityHeading = []string{"ID", "TRUSTED ISSUER", "CLAIMS", "STATE", "UNTIL", "LAST USED"}

func (o *onboarding) identityRow(i *adminapi.Identity) []string {
	state := o.state(i.Disabled, time.Time{}, i.NotAfter)
	if i.Unused != "" {
		state = o.paint(bad, "unused")
		o.note("identity %s: %s", i.ID, visible(i.Unused))
	}
	return []string{i.ID, visible(i.Trusted), claimWords(i.Claims), state, o.when(i.NotAfter, "no end"), o.when(i.LastUsed, "never")}
}

func claimWords(claims map[string]string) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		words = append(words, visible(name+"="+claims[name]))
	}
	return strings.Join(words, " ")
}

var identityNoun = by((*adminclient.Issuer).Identities, identityHeading, (*onboarding).identityRow, credential{command: "identity", id: "ID", words: "identity", one: "an identity", plural: "identities",
	bounds: "until when", flags: "--not-after", client: "merchant01 --issuer d1", example: "merchant01 --issuer d1 ID"})

func (o *onboarding) identityCommand() *cobra.Command {
	return o.ofIssuer(&cobra.Command{
		Use:   "identity",
		Short: "Register what trusted issuers call clients, such as Keycloak",
		Long: `A trusted issuer is an identity provider whose tokens the issuer accepts as
assertions ([issuers.NAME.trusted.T] of the configuration). It tells its clients apart
by certain claims, such as azp, sub or repository_id. An identity says which values of
them, and of any further claims, name this client: all must hold, each exactly.`,
		Example: `  moneyer identity add merchant01 --issuer d1 --trusted keycloak --claim azp=merchant
  moneyer identity list merchant01 --issuer d1`,
	}, o.credentialVerbs(identityNoun, untilTimes, o.identityAdd())...)
}

func (o *onboarding) identityAdd() *cobra.Command {
	var trusted string
	var pairs []string
	c := &cobra.Command{
		Use:   "add CLIENT",
		Short: "Register claims of a trusted issuer that name the client",
		Example: `  moneyer identity add merchant01 --issuer d1 --trusted keycloak --claim azp=merchant
  moneyer identity add build --issuer oauth2 --trusted github --claim repository_id=74 --claim environment=production
  moneyer identity add gateway --issuer oauth2 --trusted mesh --claim sub=spiffe://acme.example/gateway --not-after 365d`,
		RunE: func(c *cobra.Command, args []string) error {
			claims, err := readClaims(pairs)
			if err != nil {
				return err
			}
			at, times, err := o.atTimes(c)
			if err != nil {
				return err
			}
			made, err := at.Identities().Add(c.Context(), args[0], adminapi.NewIdentity{Trusted: trusted, Claims: claims, NotAfter: times.NotAfter})
			return o.outcome(made, err, "identity %s (%s of trusted issuer %s) is registered for client %s of issuer %s",
				made.ID, claimWords(made.Claims), made.Trusted, args[0], o.issuer)
		},
	}
	c.Flags().StringVar(&trusted, "trusted", "", "the trusted issuer by its `name` in the configuration")
	c.Flags().StringArrayVar(&pairs, "claim", nil, "a claim that must have that value, `name=value`; repeat for more")
	completeNothing(c, "trusted", "claim")
	c.MarkFlagsRequiredTogether("trusted", "claim")
	c.MarkFlagsOneRequired("trusted")
	return c
}

// readClaims reads name=value pairs.
func readClaims(pairs []string) (map[string]string, error) {
	claims := map[string]string{}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		if name == "" || value == "" {
			return nil, usagef("--claim is written name=value")
		}
		if _, twice := claims[name]; twice {
			return nil, usagef("--claim %s is given twice: all claims of an identity must hold, so this one never does", visible(name))
		}
		claims[name] = value
	}
	return claims, nil
}
