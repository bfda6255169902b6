package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"moneyer/assertion"
	"moneyer/internal/authority"
	"moneyer/internal/jose"
	"moneyer/oauth"
	"moneyer/profile"
)

// demoPartner is the sandbox's client of one issuer. What it needs follows from
// the issuer's profile alone.
type demoPartner struct {
	app     *app
	running *running
	issuer  *authority.Issuer
	dir     string
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

// onboard registers the partner, unless it is known already.
func (p *demoPartner) onboard(ctx context.Context) error {
	db := p.running.db
	if _, err := db.Client(ctx, p.issuer.Name, demoClient); !missing(err) {
		return err
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return err
	}
	client := &authority.Client{Issuer: p.issuer.Name, ID: demoClient, Name: "Demo partner", Created: p.running.now().UTC(),
		Scope: p.scope(), Attributes: demoAttributes(p.issuer.Profile.Policy.Token.ClientAttributes())}
	secret, err := p.giveCredential(client)
	if err != nil {
		return err
	}
	if err := client.Check(p.issuer); err != nil {
		return err
	}
	if err := db.PutClient(ctx, client, p.entry("client.add", "clients/"+demoClient)); err != nil {
		return err
	}
	if err := os.WriteFile(p.credential(), secret, 0o600); err != nil {
		return err
	}
	return p.onboardMerchant(ctx)
}

// giveCredential makes a key pair or a secret and returns the half that the
// partner keeps.
func (p *demoPartner) giveCredential(client *authority.Client) ([]byte, error) {
	now := p.running.now().UTC()
	if !p.usesKeys() {
		kind := authority.ClientSecret
		if p.issuer.Profile.Policy.Uses(oauth.AuthAPIKey) {
			kind = authority.APIKey
		}
		_, text, err := client.NewSecret(p.running.master.Pepper(), kind, now.AddDate(1, 0, 0), now)
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
	if err := client.AddKey(p.issuer, nil, authority.Key{Kid: demoKid, Public: public, Created: now}); err != nil {
		return nil, err
	}
	return assertion.MarshalKey(signer)
}

func (p *demoPartner) onboardMerchant(ctx context.Context) error {
	policy := p.issuer.Profile.Policy.Merchant
	if policy.Param == "" {
		return nil
	}
	merchant := authority.Merchant{Issuer: p.issuer.Name, ID: demoMerchant, Client: demoClient,
		Attributes: demoAttributes(p.issuer.Profile.Policy.Token.MerchantAttributes())}
	if err := p.running.db.PutMerchants(ctx, []authority.Merchant{merchant}, p.entry("merchant.add", "merchants/"+demoMerchant)); err != nil {
		return err
	}
	if policy.Cards == "" {
		return nil
	}
	card := authority.CardToken{Issuer: p.issuer.Name, ID: demoCard, Merchant: demoMerchant, Scheme: policy.Schemes[0]}
	return p.running.db.PutCardTokens(ctx, []authority.CardToken{card}, p.entry("card-token.add", "card-tokens/"+demoCard))
}

func (p *demoPartner) entry(action, object string) *authority.Entry {
	return &authority.Entry{Kind: authority.EntryAdmin, Time: p.running.now().UTC(), Issuer: p.issuer.Name,
		Actor: "moneyer sandbox", Action: action, Object: object}
}

func (p *demoPartner) scope() oauth.Scope {
	if words := p.issuer.Profile.Policy.Scope.Words; len(words) > 0 {
		return words
	}
	return strings.Fields(demoIssuerOf(p.issuer.Profile.Name).scope)
}

// demoAttributes fills in every attribute that the profile's claims use.
func demoAttributes(claims map[string]profile.Claim) map[string]authority.Attribute {
	attributes := map[string]authority.Attribute{}
	for name, claim := range claims {
		switch {
		case claim.Type == profile.Strings:
			attributes[name] = authority.Attribute{List: []string{"demo"}, IsList: true}
		case name == "trId":
			attributes[name] = authority.Attribute{Text: "40000000001"} // 11 digits
		default:
			attributes[name] = authority.Attribute{Text: "demo"}
		}
	}
	return attributes
}

// tokenCommand is the call of the SDK's command that gets a token.
func (p *demoPartner) tokenCommand() string {
	args := []string{os.Args[0], "token", "--profile", p.issuer.Profile.Name, "--issuer", p.issuer.URL}
	wire := &p.issuer.Profile.Wire
	switch {
	case p.usesKeys():
		args = append(args, "--client", demoClient, "--key", p.credential(), "--kid", demoKid)
	case wire.APIKey.Header != "":
		args = append(args, "--api-key-file", p.credential(), "--param", p.issuer.Profile.Policy.Merchant.Param+"="+demoMerchant,
			"--param", p.issuer.Profile.Policy.Merchant.Cards+"="+demoCard, "--scope", p.scope().String())
	default:
		args = append(args, "--client", demoClient, "--secret-file", p.credential(), "--scope", "'"+p.scope().String()+"'")
	}
	return strings.Join(args, " ")
}

// curl is the plain command that gets a token, as a partner's own program would.
func (p *demoPartner) curl() string {
	endpoint := p.issuer.Endpoints()[0]
	wire, scope := &p.issuer.Profile.Wire, p.scope().String()
	switch {
	case p.usesKeys():
		assert := fmt.Sprintf("%s assert --profile %s --issuer %s --client %s --key %s --kid %s",
			os.Args[0], p.issuer.Profile.Name, p.issuer.URL, demoClient, p.credential(), demoKid)
		return fmt.Sprintf("curl -s %s -d grant_type=%s -d assertion=$(%s)", endpoint, oauth.JWTBearer, assert)
	case wire.APIKey.Header != "":
		body := fmt.Sprintf(`{"%s":"%s","%s":["%s"],"scope":"%s"}`,
			p.issuer.Profile.Policy.Merchant.Param, demoMerchant, p.issuer.Profile.Policy.Merchant.Cards, demoCard, scope)
		return fmt.Sprintf(`curl -s %s -H "%s: %s $(cat %s)" -H "%s: try-1" -H "Content-Type: application/json" -d '%s'`,
			endpoint, wire.APIKey.Header, wire.APIKey.Scheme, p.credential(), wire.Correlation.Header, body)
	default:
		return fmt.Sprintf("curl -s %s -d grant_type=%s -d client_id=%s --data-urlencode client_secret@%s -d 'scope=%s'",
			endpoint, oauth.ClientCredentials, demoClient, p.credential(), scope)
	}
}
