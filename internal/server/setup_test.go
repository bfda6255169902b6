package server_test

import (
	"crypto"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/ledger"
	"moneyer/internal/overload"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/internal/server"
	"moneyer/internal/store"
	"moneyer/oauth"
	"moneyer/profile"
)

// setup is what the file "setup" of a transcript directory says, and what the
// transcript itself adds before its first exchange. Each line is a word and what
// it makes; an issuer has the clients below it, a client the keys, secrets, API
// keys and accounts below it, an account the items below it:
//
//	profile  NAME, or FILE.toml beside the setup
//	issuer   NAME URL [environment= names=A,B resource= replay= lifetime=] [disabled] [keyless]
//	client   ID [scope= grants=A,B subjects=A,B assertion-audience= ATTRIBUTE=TEXT ATTRIBUTE=[A,B]] [disabled] [introspects]
//	key      KID [alg= not-before= not-after=] [disabled]
//	secret   ID TEXT [not-after=] [disabled]
//	apikey   ID TEXT [not-after=] [disabled]
//	account  ID [ATTRIBUTE=] [disabled]
//	item     ID KIND
//	limit    [client=RATE/BURST] [address=RATE/BURST]
//	sdk      client= [issuer= key= secret= apikey= auth= subject= audience= scope= PARAM=A,B]
//
// Values in quotes hold blanks. Times are offsets from noon, such as -1s.
type setup struct {
	dir                     string
	profile                 *profile.Profile
	issuers                 []*issuerSetup
	keys                    map[string]*clientKey // by kid
	secrets                 []string              // texts that nobody may see again
	clientRate, addressRate overload.Rate
	proxies                 []netip.Prefix
	certificates            *server.Certificates
	sdk                     []*fields // one for each way in
}

type issuerSetup struct {
	registry.Issuer
	keyless  bool
	clients  []*registry.Client
	texts    map[*registry.Client][]string // of Secrets, in their order
	accounts []registry.Account
	items    []registry.Item
}

// clientKey is a key with its private half.
type clientKey struct {
	kid, alg, client string
	issuer           *registry.Issuer
	private          crypto.Signer
}

// fields are a line's words: those with an = by name, the others in their order.
type fields struct {
	words []string
	named map[string]string
}

// readSetup reads a directory's setup, and more lines after it.
func readSetup(t testing.TB, dir, more string) *setup {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "setup"))
	must(t, err)
	s := &setup{dir: dir, keys: map[string]*clientKey{}}
	for n, line := range strings.Split(string(text)+"\n"+more, "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		if err := s.line(t, splitFields(line)); err != nil {
			t.Fatalf("%s/setup:%d: %s: %v", dir, n+1, line, err)
		}
	}
	return s
}

// splitFields splits at blanks outside of quotes, and takes the quotes off.
func splitFields(line string) *fields {
	f := &fields{named: map[string]string{}}
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		var word strings.Builder
		name, named := "", false
		for line != "" && line[0] != ' ' {
			switch c := line[0]; {
			case c == '"' || c == '\'':
				end := 1 + strings.IndexByte(line[1:], c)
				word.WriteString(line[1:end])
				line = line[end+1:]
				continue
			case c == '=' && !named:
				name, named = word.String(), true
				word.Reset()
			default:
				word.WriteByte(c)
			}
			line = line[1:]
		}
		if named {
			f.named[name] = word.String()
		} else {
			f.words = append(f.words, word.String())
		}
	}
	return f
}

// take removes and returns a named value.
func (f *fields) take(name string) string {
	value := f.named[name]
	delete(f.named, name)
	return value
}

// flag removes a word, and reports whether it was there.
func (f *fields) flag(word string) bool {
	for i, w := range f.words {
		if i > 1 && w == word {
			f.words = append(f.words[:i:i], f.words[i+1:]...)
			return true
		}
	}
	return false
}

func (f *fields) list(name string) []string {
	if value := f.take(name); value != "" {
		return strings.Split(value, ",")
	}
	return nil
}

// at removes a time that is an offset from noon.
func (f *fields) at(name string) time.Time {
	value := f.take(name)
	if value == "" {
		return time.Time{}
	}
	offset, err := time.ParseDuration(value)
	if err != nil {
		panic(err)
	}
	return noon.Add(offset)
}

// attributes takes all named values that are left.
func (f *fields) attributes() map[string]registry.Attribute {
	all := map[string]registry.Attribute{}
	for name, value := range f.named {
		if inner, isList := strings.CutPrefix(value, "["); isList {
			list := strings.FieldsFunc(strings.TrimSuffix(inner, "]"), func(r rune) bool { return r == ',' })
			all[name] = registry.Attribute{IsList: true, List: list}
		} else {
			all[name] = registry.Attribute{Text: value}
		}
	}
	clear(f.named)
	return all
}

// line obeys one line; what it does not understand of it is an error.
func (s *setup) line(t testing.TB, f *fields) error {
	word := f.words[0]
	disabled, keyless, introspects := f.flag("disabled"), f.flag("keyless"), f.flag("introspects")
	text := func(i int) string { return append(f.words, "", "", "")[i] }
	used := 2
	var err error
	switch word {
	case "profile":
		s.profile, err = s.load(text(1))
	case "issuer":
		used = 3
		s.addIssuer(text(1), text(2), f, disabled, keyless)
	case "client":
		s.addClient(text(1), f, disabled, introspects)
	case "key":
		err = s.addKey(t, text(1), f, disabled)
	case "secret", "apikey":
		used = 3
		s.addSecret(map[string]registry.SecretKind{"secret": registry.ClientSecret, "apikey": registry.APIKey}[word], text(1), text(2), f, disabled)
	case "account":
		issuer, client := s.current()
		issuer.accounts = append(issuer.accounts, registry.Account{Issuer: issuer.Name, ID: text(1), Client: client.ID, Disabled: disabled, Attributes: f.attributes()})
	case "item":
		used = 3
		issuer, _ := s.current()
		account := issuer.accounts[len(issuer.accounts)-1].ID
		issuer.items = append(issuer.items, registry.Item{Issuer: issuer.Name, ID: text(1), Account: account, Kind: text(2)})
	case "limit":
		used = 1
		s.clientRate, s.addressRate = rateOf(f.take("client")), rateOf(f.take("address"))
	case "sdk":
		used = 1
		s.sdk = append(s.sdk, &fields{named: f.named})
		return err
	default:
		return fmt.Errorf("no such word")
	}
	if err == nil && (len(f.words) != used || len(f.named) > 0) {
		err = fmt.Errorf("wants %d words, and knows nothing of %v", used, f.named)
	}
	return err
}

func (s *setup) load(name string) (*profile.Profile, error) {
	if strings.HasSuffix(name, ".toml") {
		name = filepath.Join(s.dir, name)
	}
	return profile.Load(name)
}

func (s *setup) addIssuer(name, url string, f *fields, disabled, keyless bool) {
	policy := &s.profile.Definition().Policy
	issuer := &issuerSetup{keyless: keyless, texts: map[*registry.Client][]string{}, Issuer: registry.Issuer{
		Name: name, URL: url, Profile: s.profile.Definition(), Environment: f.take("environment"), AudienceNames: f.list("names"),
		ResourceAudience: f.take("resource"), TokenLifetime: policy.Token.Lifetime, Replay: policy.Assertion.Replay,
		Alg: policy.Token.Alg, Disabled: disabled,
	}}
	if replay := f.take("replay"); replay != "" {
		issuer.Replay = platform.Replay(replay)
	}
	if lifetime := f.take("lifetime"); lifetime != "" {
		issuer.TokenLifetime, _ = time.ParseDuration(lifetime)
	}
	s.issuers = append(s.issuers, issuer)
}

// current is the issuer and the client that the next line belongs to.
func (s *setup) current() (*issuerSetup, *registry.Client) {
	issuer := s.issuers[len(s.issuers)-1]
	return issuer, issuer.clients[len(issuer.clients)-1]
}

func (s *setup) addClient(id string, f *fields, disabled, introspects bool) {
	issuer := s.issuers[len(s.issuers)-1]
	c := &registry.Client{Issuer: issuer.Name, ID: id, Disabled: disabled, Introspects: introspects, Created: noon}
	for _, grant := range f.list("grants") {
		c.Grants = append(c.Grants, oauth.GrantType(grant))
	}
	c.Scope, c.Subjects = strings.Fields(f.take("scope")), f.list("subjects")
	c.AssertionAudience = registry.AssertionAudience(f.take("assertion-audience"))
	c.Attributes = f.attributes()
	issuer.clients = append(issuer.clients, c)
}

func (s *setup) addKey(t testing.TB, kid string, f *fields, disabled bool) error {
	issuer, client := s.current()
	alg := f.take("alg")
	if alg == "" {
		alg = "ES256"
	}
	private := keyOf(t, s.dir+" "+issuer.Name+" "+kid, alg)
	public, err := jose.NewPublicKey(private.Public(), jose.Alg(alg))
	if err != nil {
		return err
	}
	s.keys[kid] = &clientKey{kid: kid, alg: alg, client: client.ID, issuer: &issuer.Issuer, private: private}
	return client.AddKey(&issuer.Issuer, nil, registry.Key{Kid: kid, Public: public, NotBefore: f.at("not-before"), NotAfter: f.at("not-after"), Disabled: disabled, Created: noon})
}

func (s *setup) addSecret(kind registry.SecretKind, id, text string, f *fields, disabled bool) {
	issuer, client := s.current()
	client.Secrets = append(client.Secrets, registry.Secret{ID: id, Kind: kind, NotAfter: f.at("not-after"), Disabled: disabled, Created: noon})
	issuer.texts[client] = append(issuer.texts[client], text)
	s.secrets = append(s.secrets, text)
}

func rateOf(text string) overload.Rate {
	perSecond, burst, _ := strings.Cut(text, "/")
	rate := overload.Rate{}
	rate.PerSecond, _ = strconv.ParseFloat(perSecond, 64)
	rate.Burst, _ = strconv.Atoi(burst)
	return rate
}

// register puts all into the store, by the rules of onboarding.
func (s *setup) register(t testing.TB, db *store.DB, pepper registry.Pepper) {
	t.Helper()
	entry := &ledger.Entry{Kind: ledger.KindAdmin, Time: noon, Actor: "test"}
	for _, issuer := range s.issuers {
		for _, c := range issuer.clients {
			for i, text := range issuer.texts[c] {
				c.Secrets[i].Digest = pepper.Digest(text)
			}
			must(t, c.Check(&issuer.Issuer))
			must(t, db.PutClient(t.Context(), c, entry))
		}
		for i := range issuer.accounts {
			must(t, issuer.accounts[i].Check(&issuer.Issuer))
			must(t, db.PutAccounts(t.Context(), issuer.accounts[i:i+1], entry))
		}
		for i := range issuer.items {
			must(t, issuer.items[i].Check(&issuer.Issuer))
			must(t, db.PutItems(t.Context(), issuer.items[i:i+1], entry))
		}
	}
}
