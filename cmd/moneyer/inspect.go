package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"moneyer/bearer"
	"moneyer/internal/authority"
	"moneyer/internal/jose"
	"moneyer/internal/registry"
	"moneyer/internal/strictjson"
	"moneyer/oauth"
)

// inspectFlags say by which keys to check a signature.
type inspectFlags struct{ key, jwks, issuer string }

// inspectCommand shows what a token or key is.
func (a *app) inspectCommand() *cobra.Command {
	var f inspectFlags
	c := &cobra.Command{
		Use:   "inspect [FILE|TOKEN|-]",
		Short: "Show what a token, assertion, key or key set says, and check it",
		Long: `Show what a token, an assertion, a key file (PEM or JWK) or a JWK set says, with
times in words and the thumbprints of keys. What issuers sign beside tokens, the
list at {issuer}/revocations and signed answers of {issuer}/introspect, is judged
by what it is.

Without an argument, or with '-', read standard input: a live token is better
piped in than written on the command line, where others on this machine can see
it.

The signature is checked when one of --key, --jwks or --issuer says by which
keys; otherwise it is NOT CHECKED and nothing that the token says can be
believed. The exit code is 1 when what was checked is bad: the signature, the
form or the time of a token, or a key that nobody should use.`,
		Example: `  moneyer token ... | moneyer inspect --issuer https://d1.example/authz/v1
  moneyer inspect key.pem.pub
  moneyer assert ... | moneyer inspect --key key.pem.pub
  moneyer inspect --jwks https://api.example/.well-known/jwks.json token.txt`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%s takes one file or token; quote it if it holds blanks", c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			arg := "-"
			if len(args) == 1 {
				arg = args[0]
			}
			return a.inspect(c.Context(), &f, arg)
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.key, "key", "", "check the signature by the public key in this file (PEM or JWK)")
	flags.StringVar(&f.jwks, "jwks", "", "check the signature by the JWK set in this file or at this URL")
	flags.StringVar(&f.issuer, "issuer", "", "check the signature by the keys that this issuer's metadata name (RFC 8414)")
	complete(c, "issuer")
	c.MarkFlagsMutuallyExclusive("key", "jwks", "issuer")
	return c
}

// inspected is what was found out about something.
type inspected struct {
	Kind      string          `json:"kind"`
	Header    json.RawMessage `json:"header,omitempty"`
	Claims    json.RawMessage `json:"claims,omitempty"`
	Signature string          `json:"signature,omitempty"`
	Keys      []keyShown      `json:"keys,omitempty"`
	// Problems that make the answer no.
	Problems []string `json:"problems,omitempty"`
	// Notes do not.
	Notes []string `json:"notes,omitempty"`
	// checked tells whether problems count.
	checked bool
}

// keyShown is what is said of a public key.
type keyShown struct {
	Kid        string   `json:"kid,omitempty"`
	Alg        jose.Alg `json:"alg"`
	Thumbprint string   `json:"thumbprint"`
}

// The states of a signature.
const (
	sigVerified   = "verified"
	sigBad        = "bad"
	sigNotChecked = "not checked"
)

func (a *app) inspect(ctx context.Context, f *inspectFlags, arg string) error {
	data, err := a.readArgument(arg)
	if err != nil {
		return err
	}
	i := &inspected{}
	text := bytes.TrimSpace(data)
	switch {
	case len(text) == 0:
		return usagef("there is nothing to inspect: the input is empty")
	case bytes.Contains(text, []byte("-----BEGIN")):
		i.key(text)
	case text[0] == '{':
		err = i.json(text)
	default:
		err = a.inspectToken(ctx, f, i, string(text))
	}
	if err != nil {
		return err
	}
	if i.Kind == kindPrivateKey && arg != "-" {
		a.warnIfOpen(arg)
	}
	if err := a.printInspected(i); err != nil {
		return err
	}
	if i.checked && len(i.Problems) > 0 {
		return refused(errSilent)
	}
	return nil
}

const kindPrivateKey = "private key"

// key judges a PEM text, or a JWK.
func (i *inspected) key(text []byte) {
	i.checked = true
	public, kid, err := jose.ParsePublic(text, "")
	i.Kind = "public key"
	if errors.Is(err, jose.ErrPrivateKey) {
		public, err = i.privateKey(text)
	}
	if err != nil {
		i.Problems = append(i.Problems, keyAdvice(err).Error())
		return
	}
	i.show(public, kid)
}

// privateKey judges a private key and returns its public half.
func (i *inspected) privateKey(text []byte) (*jose.PublicKey, error) {
	i.Kind = kindPrivateKey
	i.Notes = append(i.Notes, "a PRIVATE key: keep it secret; only its public half goes to the platform")
	key, err := jose.ParsePrivate(text)
	if err != nil {
		return nil, err
	}
	alg, err := jose.KeyAlg(key.Public())
	if err != nil {
		return nil, err
	}
	return jose.NewPublicKey(key.Public(), alg)
}

// show lists a key, and says so if no platform should take it.
func (i *inspected) show(key *jose.PublicKey, kid string) {
	i.Keys = append(i.Keys, keyShown{Kid: kid, Alg: key.Alg(), Thumbprint: key.Thumbprint()})
	if err := registry.Blocked(key, nil); err != nil {
		i.Problems = append(i.Problems, err.Error())
	}
}

// keyAdvice adds the way out to what is wrong with a key.
func keyAdvice(err error) error {
	switch {
	case errors.Is(err, jose.ErrWrongCurve):
		return fmt.Errorf("%w: make a new pair with 'moneyer keygen', or with openssl ecparam -name prime256v1 -genkey -noout -out key.pem", err)
	case errors.Is(err, jose.ErrWeakKey):
		return fmt.Errorf("%w: make a new pair with 'moneyer keygen'", err)
	}
	return err
}

// json judges a JWK or a JWK set.
func (i *inspected) json(text []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return usagef("the input begins like JSON and is not: %w", err)
	}
	switch {
	case members["kty"] != nil:
		i.key(text)
	case members["keys"] != nil:
		i.keySet(text, members["keys"])
	default:
		return usagef("JSON that is neither a JWK (kty) nor a JWK set (keys)")
	}
	return nil
}

func (i *inspected) keySet(text []byte, entries json.RawMessage) {
	i.Kind, i.checked = "key set", true
	named, err := jose.ParseJWKS(text)
	if err != nil {
		i.Problems = append(i.Problems, err.Error())
		return
	}
	for _, n := range named {
		i.show(n.Key, n.Kid)
	}
	var all []json.RawMessage
	if json.Unmarshal(entries, &all) == nil && len(all) > len(named) {
		i.Notes = append(i.Notes, fmt.Sprintf("%d more, of another type or not for signatures, left out", len(all)-len(named)))
	}
}

// inspectToken takes a token apart and checks what can be checked.
func (a *app) inspectToken(ctx context.Context, f *inspectFlags, i *inspected, raw string) error {
	token, mistakes := repair(raw)
	i.Kind, i.Signature = "token", sigNotChecked
	for _, m := range mistakes {
		i.Notes = append(i.Notes, m.found+": "+m.fix)
	}
	jws, kind, err := parseSigned(token)
	if err != nil {
		return i.malformed(token, err)
	}
	i.Header, _ = decodeSegment(token[:strings.IndexByte(token, '.')])
	i.Claims = jsonOrNil(jws.Payload)
	if kind != nil {
		return a.inspectDocument(ctx, f, i, kind, token, jws)
	}
	claims, err := jose.ParseClaims(jws.Payload)
	if err != nil {
		i.Problems = append(i.Problems, err.Error())
	} else {
		i.Problems = append(i.Problems, timeProblems(claims, a.now())...)
	}
	return a.checkSignature(ctx, f, i, token, jws)
}

// malformed shows what can be read of something that is not a strict JWS.
func (i *inspected) malformed(token string, problem error) error {
	parts := strings.Split(token, ".")
	i.Header, _ = decodeSegment(parts[0])
	if i.Header == nil {
		return usagef("this is no JWT, no key and no JWK set; if it is an opaque token, only its issuer knows what it says")
	}
	if len(parts) > 1 {
		i.Claims, _ = decodeSegment(parts[1])
	}
	i.checked = true
	i.Problems = append(i.Problems, problem.Error())
	return nil
}

// decodeSegment reads JSON in base64url; nil when it is neither.
func decodeSegment(segment string) (json.RawMessage, error) {
	data, err := base64.RawURLEncoding.DecodeString(segment)
	return jsonOrNil(data), err
}

func jsonOrNil(data []byte) json.RawMessage {
	if !json.Valid(data) {
		return nil
	}
	return data
}

// noTimeLimit keeps a Verifier from judging time, which timeProblems does in words.
const noTimeLimit = 200 * 365 * 24 * time.Hour

// checkSignature lets an API's own verifier judge the signature and, with
// --issuer, iss.
func (a *app) checkSignature(ctx context.Context, f *inspectFlags, i *inspected, token string, jws *jose.JWS) error {
	keys, err := a.keySource(f, jws.Header.Alg)
	if err != nil || keys == nil {
		return err
	}
	i.checked = true
	claims, _ := jose.ParseClaims(jws.Payload)
	if claims == nil {
		claims = &jose.Claims{}
	}
	v := &bearer.Verifier{
		Issuer: cmp.Or(f.issuer, claims.Issuer, "-"), AnyAudience: true, Typ: []string{jws.Header.Typ},
		Leeway: noTimeLimit, Keys: keys, Now: a.now,
	}
	_, err = v.Verify(ctx, token)
	cause := errors.Unwrap(err)
	switch {
	case err == nil:
		i.Signature = sigVerified
	case oauth.AsError(err).Code != oauth.InvalidToken:
		return trouble(fmt.Errorf("the keys to check by cannot be had: %w", cmp.Or(cause, err)))
	case errors.Is(err, jose.ErrSignature):
		i.Signature = sigBad
		i.Problems = append(i.Problems, authority.SignatureHint(jws))
	case errors.Is(err, jose.ErrAlgMismatch), errors.Is(err, bearer.ErrUnknownKey):
		i.Signature = sigBad
		i.Problems = append(i.Problems, cause.Error())
	default: // it verified, and then something else was wrong
		i.Signature = sigVerified
		if claims.Present != 0 || len(i.Problems) == 0 {
			i.Problems = append(i.Problems, cause.Error())
		}
	}
	return nil
}

// keySource finds the keys to check by; nil when none were given.
func (a *app) keySource(f *inspectFlags, alg string) (bearer.KeySource, error) {
	switch {
	case f.issuer != "":
		return &bearer.RemoteKeys{Issuer: f.issuer, Now: a.now}, nil
	case strings.HasPrefix(f.jwks, "https://"), strings.HasPrefix(f.jwks, "http://"):
		return &bearer.RemoteKeys{URL: f.jwks, Now: a.now}, nil
	case f.jwks != "":
		data, err := a.readFile(f.jwks)
		if err != nil {
			return nil, usagef("--jwks: %w", err)
		}
		keys, err := bearer.ParseKeys(data)
		if err != nil {
			return nil, usagef("--jwks %s: %w", f.jwks, plain(err))
		}
		return keys, nil
	case f.key != "":
		public, err := a.readPublicKey("--key", f.key, alg)
		if err != nil {
			return nil, err
		}
		key, err := bearer.NewKey(public.CryptoKey(), string(public.Alg()))
		return bearer.KeyFunc(func(context.Context, string) (bearer.Key, error) { return key, nil }), err
	}
	return nil, nil
}

// readPublicKey reads a public key. PEM does not say whether an RSA key is for
// RS256 or PS256: alg settles that.
func (a *app) readPublicKey(flag, name, alg string) (*jose.PublicKey, error) {
	data, err := a.readFile(name)
	if err != nil {
		return nil, usagef("%s: %w", flag, err)
	}
	key, _, err := jose.ParsePublic(data, "")
	if err == nil && key.Alg() == jose.RS256 && alg == string(jose.PS256) {
		key, _, err = jose.ParsePublic(data, jose.PS256)
	}
	if err != nil {
		return nil, usagef("%s %s: %w", flag, name, keyAdvice(err))
	}
	return key, nil
}

// maxPlausible is a NumericDate (the year 5138) beyond which a value must be
// meant in milliseconds.
const maxPlausible = 100_000_000_000

// timeProblems says what is wrong with a token's times by our clock.
func timeProblems(c *jose.Claims, now time.Time) []string {
	var problems []string
	for _, t := range []struct {
		name    string
		claim   jose.ClaimSet
		seconds int64
	}{{"exp", jose.ClaimExpiry, c.Expiry}, {"nbf", jose.ClaimNotBefore, c.NotBefore}, {"iat", jose.ClaimIssuedAt, c.IssuedAt}} {
		ahead := time.Unix(t.seconds, 0).Sub(now)
		switch {
		case !c.Has(t.claim):
		case t.seconds >= maxPlausible:
			problems = append(problems, t.name+" looks like milliseconds: a NumericDate counts seconds (RFC 7519 section 2)")
		case t.claim == jose.ClaimExpiry && ahead <= 0:
			problems = append(problems, "it expired "+inWords(ahead))
		case t.claim == jose.ClaimNotBefore && ahead > 0:
			problems = append(problems, "it is valid only from "+inWords(ahead)+" on (nbf)")
		}
	}
	return problems
}

// inWords says how far away an instant is.
func inWords(d time.Duration) string {
	size := d.Abs()
	count, unit := int64(size.Round(24*time.Hour)/(24*time.Hour)), "day"
	switch {
	case size < time.Second:
		return "now"
	case size < 2*time.Minute:
		count, unit = int64(size.Round(time.Second)/time.Second), "second"
	case size < 2*time.Hour:
		count, unit = int64(size.Round(time.Minute)/time.Minute), "minute"
	case size < 48*time.Hour:
		count, unit = int64(size.Round(time.Hour)/time.Hour), "hour"
	}
	if count != 1 {
		unit += "s"
	}
	if d < 0 {
		return fmt.Sprintf("%d %s ago", count, unit)
	}
	return fmt.Sprintf("in %d %s", count, unit)
}

func (a *app) printInspected(i *inspected) error {
	if a.json {
		return a.printJSON(i)
	}
	fmt.Fprintln(a.out, a.paint(bold, i.Kind))
	if err := errors.Join(a.printMembers("header", i.Header), a.printMembers("claims", i.Claims), a.printKeys(i)); err != nil {
		return err
	}
	switch i.Signature {
	case sigVerified:
		fmt.Fprintln(a.out, a.paint(good, "✓ signature verified"))
	case sigBad:
		fmt.Fprintln(a.out, a.paint(bad, "✗ signature BAD"))
	case sigNotChecked:
		fmt.Fprintln(a.out, a.paint(bold, "? signature NOT CHECKED")+": give --key FILE, --jwks FILE|URL or --issuer URL")
	}
	for _, note := range i.Notes {
		fmt.Fprintln(a.out, "! "+visible(note))
	}
	for _, problem := range i.Problems {
		fmt.Fprintln(a.out, a.paint(bad, "✗ "+visible(problem)))
	}
	return nil
}

func (a *app) printKeys(i *inspected) error {
	if i.Kind != "key set" {
		for _, key := range i.Keys {
			rows := [][]string{{"  alg", string(key.Alg)}, {"  thumbprint", key.Thumbprint}}
			if key.Kid != "" {
				rows = append(rows, []string{"  kid", visible(key.Kid)})
			}
			if err := writeTable(a.out, rows); err != nil {
				return err
			}
		}
		return nil
	}
	rows := [][]string{{"  KID", "ALG", "THUMBPRINT"}}
	for _, key := range i.Keys {
		rows = append(rows, []string{"  " + visible(key.Kid), string(key.Alg), key.Thumbprint})
	}
	return writeTable(a.out, rows)
}

// printMembers shows a JSON object, a member to a line, times also in words.
func (a *app) printMembers(title string, object json.RawMessage) error {
	if object == nil {
		return nil
	}
	fmt.Fprintln(a.out, title)
	var rows [][]string
	err := strictjson.Object(object, strictjson.Limits{Members: 1 << 10, Depth: 1 << 10}, func(name string, v strictjson.Value) error {
		row := []string{"  " + visible(name), visible(abridged(v.Raw()))}
		if words := a.timeWords(name, v); words != "" {
			row = append(row, words)
		}
		rows = append(rows, row)
		return nil
	})
	if err != nil {
		rows = append(rows, []string{"  " + visible(err.Error())})
	}
	return writeTable(a.out, rows)
}

// abridged shows as much of a value as a person reads.
func abridged(raw []byte) string {
	const most = 1000
	if len(raw) <= most {
		return string(raw)
	}
	return fmt.Sprintf("%s... (%d octets; --json shows all)", strings.ToValidUTF8(string(raw[:most]), ""), len(raw))
}

// timeWords explains a claim that is a time.
func (a *app) timeWords(name string, v strictjson.Value) string {
	seconds, err := v.Seconds()
	switch name {
	case "exp", "iat", "nbf", "auth_time":
	default:
		return ""
	}
	if err != nil || seconds >= maxPlausible {
		return ""
	}
	t := time.Unix(seconds, 0)
	return a.paint(faint, t.UTC().Format(time.RFC3339)+", "+inWords(t.Sub(a.now())))
}

// visible escapes what could play tricks on a terminal.
func visible(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "\\u%04x", r)
		}
	}
	return b.String()
}

// mistake is something about the spelling of a token that is not to be sent.
type mistake struct{ found, fix string }

// repair takes off a token what does not belong to it, and says what that was.
func repair(raw string) (string, []mistake) {
	var mistakes []mistake
	token := strings.TrimSpace(raw)
	took := func(rest, found, fix string) {
		if rest != token {
			mistakes = append(mistakes, mistake{found, fix})
			token = rest
		}
	}
	unquoted := strings.Trim(token, `"'`)
	took(unquoted, "quotes around it", "send the bare text")
	bare := token
	for _, prefix := range []string{"authorization:", "bearer "} {
		if len(bare) >= len(prefix) && strings.EqualFold(bare[:len(prefix)], prefix) {
			bare = strings.TrimSpace(bare[len(prefix):])
		}
	}
	took(bare, `"Bearer " before it`, "that belongs in the Authorization header of an API call, not into the assertion")
	took(strings.Join(strings.Fields(token), ""), "blanks or line breaks inside", "send it as one line")
	took(strings.NewReplacer("+", "-", "/", "_").Replace(token), "base64 with + and /", "use the URL alphabet with - and _ (base64url, RFC 4648 section 5)")
	took(strings.ReplaceAll(token, "=", ""), "padding (=)", "leave it out: a JWS has none (RFC 7515 section 2)")
	return token, mistakes
}

// readArgument reads an argument that is a file, '-' for standard input, or the
// thing itself. Errors do not repeat it: it may be a live token.
func (a *app) readArgument(arg string) ([]byte, error) {
	if arg == "-" {
		return a.readFile(arg)
	}
	data, err := a.readFile(arg)
	if err == nil {
		return data, nil
	}
	token, _ := repair(arg)
	if strings.HasPrefix(token, "eyJ") || strings.HasPrefix(token, "{") || strings.Count(token, ".") == 2 && len(token) > 32 {
		return []byte(arg), nil
	}
	return nil, usagef("the argument is neither a token nor a file that can be read (%w)", withoutPath(err))
}

// maxInput bounds what is read from a file or standard input, in octets: a list of
// revocations may be as long.
const maxInput = jose.MaxDocument + 1<<10

// readFile reads a small file, or standard input when it is called '-'.
func (a *app) readFile(name string) ([]byte, error) {
	in := a.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	} else if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		a.note("reading what you type or paste; end it with Ctrl-D on a line of its own")
	}
	data, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err == nil && len(data) > maxInput {
		err = fmt.Errorf("longer than %d octets", maxInput)
	}
	return data, err
}
