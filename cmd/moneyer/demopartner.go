package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"moneyer/assertion"
	"moneyer/internal/jose"
	"moneyer/internal/ledger"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// demoPartner is the sandbox's client of one issuer. What it needs follows from
// the issuer's profile alone.
type demoPartner struct {
	*estate
	issuer *registry.Issuer
	dir    string
}

const (
	demoClient   = "demo-gtw01" // as long as a D1 identifier
	demoKid      = "demo-1"
	demoMerchant = "demo-merchant"
	demoCard     = "demo-visa-1"
)

// credential is the file that holds the partner's own private key or secret.
func (p *demoPartner) credential() string {
	if p.usesKeys() {
		return filepath.Join(p.dir, p.issuer.Name+".pem")
	}
	return filepath.Join(p.dir, p.issuer.Name+".secret")
}

// usesKeys: a profile that takes assertions as grants gets a key, any other a
// secret or an API key.
func (p *demoPartner) usesKeys() bool { return p.issuer.Profile.Policy.Grant(oauth.JWTBearer) != nil }

// onboard registers what is not known yet of the partner. One whose credential
// was lost gets another.
func (p *demoPartner) onboard(ctx context.Context) error {
	known, err := p.db.Client(ctx, p.issuer.Name, demoClient)
	if err != nil && !missing(err) {
		return err
	}
	there, err := exists(p.credential())
	if err != nil {
		return err
	}
	if known == nil || !there {
		if err := p.register(ctx, known); err != nil {
			return err
		}
	}
	return p.onboardMerchant(ctx)
}

// register gives the partner a new credential and writes its own half of it.
func (p *demoPartner) register(ctx context.Context, known *registry.Client) error {
	client := &registry.Client{Issuer: p.issuer.Name, ID: demoClient, Name: "Demo partner", Created: p.now().UTC(),
		Scope: p.scope(), Attributes: demoAttributes(p.issuer.Profile.Policy.Token.ClientAttributes())}
	if known != nil {
		client.Revision = known.Revision
	}
	secret, err := p.giveCredential(client)
	if err != nil {
		return err
	}
	if err := client.Check(p.issuer); err != nil {
		return err
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(p.credential(), secret, 0o600); err != nil {
		return err
	}
	if err := p.db.PutClient(ctx, client, p.entry("client.add", "clients/"+demoClient)); err != nil {
		return errors.Join(err, os.Remove(p.credential())) // the next start tries again
	}
	return nil
}

// giveCredential makes a key pair or a secret and returns the half that the
// partner keeps.
func (p *demoPartner) giveCredential(client *registry.Client) ([]byte, error) {
	now := p.now().UTC()
	if !p.usesKeys() {
		kind := registry.ClientSecret
		if p.issuer.Profile.Policy.Uses(oauth.AuthAPIKey) {
			kind = registry.APIKey
		}
		_, text, err := client.NewSecret(p.issuer, p.master.Pepper(), kind, now.AddDate(1, 0, 0), now)
		return []byte(text), err
	}
	signer, err := assertion.GenerateKey(p.issuer.Profile.Policy.Assertion.Algs[0])
	if err != nil {
		return nil, err
	}
	public, err := jose.NewPublicKey(signer.Public(), jose.Alg(p.issuer.Profile.Policy.Assertion.Algs[0]))
	if err != nil {
		return nil, err
	}
	if err := client.AddKey(p.issuer, nil, registry.Key{Kid: demoKid, Public: public, Created: now}); err != nil {
		return nil, err
	}
	return assertion.MarshalKey(signer)
}

// onboardMerchant registers a merchant with a card token, where the profile
// knows such.
func (p *demoPartner) onboardMerchant(ctx context.Context) error {
	policy := p.issuer.Profile.Policy.Merchant
	if policy.Param == "" {
		return nil
	}
	if _, err := p.db.Merchant(ctx, p.issuer.Name, demoMerchant); missing(err) {
		merchant := registry.Merchant{Issuer: p.issuer.Name, ID: demoMerchant, Client: demoClient,
			Attributes: demoAttributes(p.issuer.Profile.Policy.Token.MerchantAttributes())}
		if err := p.db.PutMerchants(ctx, []registry.Merchant{merchant}, p.entry("merchant.add", "merchants/"+demoMerchant)); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if policy.Cards == "" {
		return nil
	}
	cards, err := p.db.CardTokens(ctx, p.issuer.Name, []string{demoCard})
	if err != nil || len(cards) > 0 {
		return err
	}
	card := registry.CardToken{Issuer: p.issuer.Name, ID: demoCard, Merchant: demoMerchant, Scheme: policy.Schemes[0]}
	return p.db.PutCardTokens(ctx, []registry.CardToken{card}, p.entry("card-token.add", "card-tokens/"+demoCard))
}

func (p *demoPartner) entry(action, object string) *ledger.Entry {
	return &ledger.Entry{Kind: ledger.KindAdmin, Time: p.now().UTC(), Issuer: p.issuer.Name,
		Actor: "moneyer sandbox", Action: action, Object: object}
}

func (p *demoPartner) scope() oauth.Scope {
	if words := p.issuer.Profile.Policy.Scope.Words; len(words) > 0 {
		return words
	}
	return strings.Fields(demoIssuerOf(p.issuer.Profile.Name).scope)
}

// demoAttributes fills in every attribute that the profile's claims use.
func demoAttributes(claims map[string]platform.Claim) map[string]registry.Attribute {
	attributes := map[string]registry.Attribute{}
	for name, claim := range claims {
		switch {
		case claim.Type == platform.TypeStrings:
			attributes[name] = registry.Attribute{List: []string{"demo"}, IsList: true}
		case claim.Form.Accepts("demo"):
			attributes[name] = registry.Attribute{Text: "demo"}
		default: // digits are in every set of characters
			attributes[name] = registry.Attribute{Text: strings.Repeat("4", claim.Form.MinLength)}
		}
	}
	return attributes
}

// tokenCommand is the call of the SDK's command that gets a token.
func (p *demoPartner) tokenCommand() string {
	args := []string{os.Args[0], "token", "--profile", p.issuer.Profile.Name, "--issuer", p.issuer.URL}
	merchant := p.issuer.Profile.Policy.Merchant
	switch {
	case p.usesKeys():
		args = append(args, "--client", demoClient, "--key", p.credential(), "--kid", demoKid)
	case p.issuer.Profile.Wire.APIKey.Header != "":
		args = append(args, "--api-key-file", p.credential(), "--param", merchant.Param+"="+demoMerchant,
			"--param", merchant.Cards+"="+demoCard, "--scope", p.scope().String())
	default:
		args = append(args, "--client", demoClient, "--secret-file", p.credential(), "--scope", p.scope().String())
	}
	return command(args...)
}

// curl is the plain command that gets a token, as a partner's own program would.
func (p *demoPartner) curl() string {
	wire, merchant := &p.issuer.Profile.Wire, p.issuer.Profile.Policy.Merchant
	curl := "curl -s " + quote(p.issuer.Endpoints()[0])
	switch {
	case p.usesKeys():
		return fmt.Sprintf("%s -d grant_type=%s -d assertion=$(%s)", curl, oauth.JWTBearer,
			command(os.Args[0], "assert", "--profile", p.issuer.Profile.Name, "--issuer", p.issuer.URL,
				"--client", demoClient, "--key", p.credential(), "--kid", demoKid))
	case wire.APIKey.Header != "":
		return fmt.Sprintf(`%s -H "%s: %s $(cat %s)" -H "%s: try-1" -H "Content-Type: application/json" -d '{"%s":"%s","%s":["%s"],"scope":"%s"}'`,
			curl, wire.APIKey.Header, wire.APIKey.Scheme, quote(p.credential()), wire.Correlation.Header,
			merchant.Param, demoMerchant, merchant.Cards, demoCard, p.scope())
	default:
		return fmt.Sprintf("%s -d grant_type=%s -d client_id=%s --data-urlencode %s -d %s", curl, oauth.ClientCredentials, demoClient,
			quote("client_secret@"+p.credential()), quote("scope="+p.scope().String()))
	}
}

// command is a command line for a shell.
func command(words ...string) string {
	for i := range words {
		words[i] = quote(words[i])
	}
	return strings.Join(words, " ")
}
