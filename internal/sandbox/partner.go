package sandbox

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"moneyer/assertion"
	"moneyer/internal/jose"
	"moneyer/internal/ledger"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// Registry stores the demo clients. A missing client is registry.ErrNotFound.
type Registry interface {
	Client(ctx context.Context, issuer, id string) (*registry.Client, error)
	PutClient(ctx context.Context, c *registry.Client, e *ledger.Entry) error
	Account(ctx context.Context, issuer, id string) (*registry.Account, error)
	PutAccounts(ctx context.Context, accounts []registry.Account, e *ledger.Entry) error
	Items(ctx context.Context, issuer string, ids []string) ([]registry.Item, error)
	PutItems(ctx context.Context, items []registry.Item, e *ledger.Entry) error
}

// partner is the sandbox's client of one issuer.
type partner struct {
	registry Registry
	pepper   registry.Pepper
	now      time.Time
	issuer   *registry.Issuer
	demo     *platform.Demo
	dir      string // of the credentials
}

// kid is the name of every demo key.
const kid = "demo-1"

// credential is the file with the partner's private key or secret.
func (p *partner) credential() string {
	if p.demo.Credential == platform.KeyCredential {
		return filepath.Join(p.dir, p.issuer.Name+".pem")
	}
	return filepath.Join(p.dir, p.issuer.Name+".secret")
}

// onboard registers what is missing of the partner. A lost credential is replaced.
func (p *partner) onboard(ctx context.Context) error {
	known, err := p.registry.Client(ctx, p.issuer.Name, p.demo.Client)
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		return err
	}
	if _, err := os.Lstat(p.credential()); known == nil || errors.Is(err, fs.ErrNotExist) {
		if err := p.register(ctx, known); err != nil {
			return err
		}
	}
	return p.onboardAccount(ctx)
}

// register gives the partner a new credential and writes its private key or secret.
func (p *partner) register(ctx context.Context, known *registry.Client) error {
	policy := &p.issuer.Profile.Policy
	client := &registry.Client{Issuer: p.issuer.Name, ID: p.demo.Client, Name: "Demo partner", Created: p.now,
		Scope: oauth.Scope(p.demo.Scope), Attributes: attributes(p.demo.Attributes, policy.Token.ClientAttributes())}
	if p.demo.Subject != "" {
		client.Subjects = []string{p.demo.Subject}
	}
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
	if err := p.registry.PutClient(ctx, client, p.entry("client.add", "clients/"+client.ID)); err != nil {
		return errors.Join(err, os.Remove(p.credential())) // the next start tries again
	}
	return nil
}

// giveCredential adds a new key or secret to client and returns the private key or the
// secret.
func (p *partner) giveCredential(client *registry.Client) ([]byte, error) {
	if p.demo.Credential != platform.KeyCredential {
		kind := registry.ClientSecret
		if p.demo.Credential == platform.APIKeyCredential {
			kind = registry.APIKey
		}
		_, text, err := client.NewSecret(p.issuer, p.pepper, kind, p.now.AddDate(1, 0, 0), p.now)
		return []byte(text), err
	}
	alg := p.issuer.Profile.Policy.Assertion.Algs[0]
	signer, err := assertion.GenerateKey(alg)
	if err != nil {
		return nil, err
	}
	public, err := jose.NewPublicKey(signer.Public(), jose.Alg(alg))
	if err != nil {
		return nil, err
	}
	if err := client.AddKey(p.issuer, nil, registry.Key{Kid: kid, Public: public, Created: p.now}); err != nil {
		return nil, err
	}
	return assertion.MarshalKey(signer)
}

// onboardAccount registers the account and the items that the demo's requests name.
func (p *partner) onboardAccount(ctx context.Context) error {
	policy := p.issuer.Profile.Policy.Account
	if policy.Param == "" {
		return nil
	}
	id := p.demo.Params[policy.Param][0]
	_, err := p.registry.Account(ctx, p.issuer.Name, id)
	if errors.Is(err, registry.ErrNotFound) {
		account := registry.Account{Issuer: p.issuer.Name, ID: id, Client: p.demo.Client,
			Attributes: attributes(p.demo.AccountAttributes, p.issuer.Profile.Policy.Token.AccountAttributes())}
		err = p.registry.PutAccounts(ctx, []registry.Account{account}, p.entry("account.add", "accounts/"+id))
	}
	if err != nil {
		return err
	}
	for _, item := range p.demo.Params[policy.Items] {
		if err := p.onboardItem(ctx, registry.Item{Issuer: p.issuer.Name, ID: item, Account: id, Kind: policy.Kinds[0]}); err != nil {
			return err
		}
	}
	return nil
}

func (p *partner) onboardItem(ctx context.Context, item registry.Item) error {
	known, err := p.registry.Items(ctx, item.Issuer, []string{item.ID})
	if err != nil || len(known) > 0 {
		return err
	}
	return p.registry.PutItems(ctx, []registry.Item{item}, p.entry("item.add", "items/"+item.ID))
}

func (p *partner) entry(action, object string) *ledger.Entry {
	return &ledger.Entry{Kind: ledger.KindAdmin, Time: p.now, Issuer: p.issuer.Name,
		Actor: "moneyer sandbox", Action: action, Object: object}
}

// attributes converts the texts of a demo to the types of the claims that use them.
func attributes(texts map[string]platform.Texts, claims map[string]platform.Claim) map[string]registry.Attribute {
	typed := map[string]registry.Attribute{}
	for name, list := range texts {
		if claims[name].Type == platform.TypeStrings {
			typed[name] = registry.Attribute{List: list, IsList: true}
		} else {
			typed[name] = registry.Attribute{Text: list[0]}
		}
	}
	return typed
}
