package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moneyer/bearer"
	"moneyer/internal/evidence"
	"moneyer/internal/jose"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

func (a *app) inspectCommand() *cobra.Command {
	var f inspectFlags
	c := &cobra.Command{
		Use:   "inspect [FILE|TOKEN|-]",
		Short: "Show what a token, assertion, key or key set says, and check it",
		Long: `Show the content of a token, an assertion, a key file (PEM or JWK) or a JWK set,
with times in words and the thumbprints of keys. It also reads the list at
{issuer}/revocations and the signed responses of {issuer}/introspect.

Without an argument, or with '-', read standard input: a live token is better
piped in than written on the command line, where others on this machine can see
it.

The signature is checked when --key, --jwks or --issuer gives the keys; otherwise
it is NOT CHECKED and the content of the token cannot be trusted. The exit code is
1 when a check fails: the signature, the form or the time of a token, or a key
that is unsafe to use.`,
		Example: `  moneyer token ... | moneyer inspect --issuer https://d1.example/authz/v1
  moneyer inspect key.pem.pub
  moneyer assert ... | moneyer inspect --key key.pem.pub
  moneyer inspect --jwks https://api.example/.well-known/jwks.json token.txt`,
		Args: atMostOne,
		RunE: func(c *cobra.Command, args []string) error {
			return a.inspect(c.Context(), &f, append(args, "-")[0])
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.key, "key", "", "check the signature by the public key in this file (PEM or JWK)")
	flags.StringVar(&f.jwks, "jwks", "", "check the signature by the JWK set in this file or at this URL")
	flags.StringVar(&f.issuer, "issuer", "", "check the signature by the keys that this issuer's metadata name (RFC 8414)")
	addCAFlag(flags, &f.cacert)
	completeNothing(c, "issuer")
	c.MarkFlagsMutuallyExclusive("key", "jwks", "issuer")
	return c
}

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
	case !bytes.HasPrefix(text, []byte("eyJ")) && !errors.Is(jose.NearMiss(data, jose.WantPublic), jose.ErrUnknownForm):
		i.Kind, i.checked = "a key or a certificate, perhaps", true
		i.Problems = append(i.Problems, jose.NearMiss(data, jose.WantPublic).Error())
	default:
		err = a.inspectToken(ctx, f, i, string(text))
	}
	if err != nil {
		return err
	}
	if i.Kind == kindPrivateKey && arg != "-" {
		a.warnIfReadable(arg)
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

// key checks a key in PEM or a JWK.
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

// privateKey checks a private key and returns its public key.
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

// show lists a key, with a problem if no platform should accept it.
func (i *inspected) show(key *jose.PublicKey, kid string) {
	i.Keys = append(i.Keys, keyShown{Kid: kid, Alg: key.Alg(), Thumbprint: key.Thumbprint()})
	if err := registry.Blocked(key, nil); err != nil {
		i.Problems = append(i.Problems, err.Error())
	}
}

// json checks a JWK or a JWK set.
func (i *inspected) json(text []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return usagef("the input begins like JSON and is not: %w", err)
	}
	switch {
	case members["kty"] != nil:
		i.key(text)
	case members["keys"] != nil:
		i.keySet(text)
	default:
		return usagef("JSON that is neither a JWK (kty) nor a JWK set (keys)")
	}
	return nil
}

// keySet lists the keys of a set, and those that whoever reads it leaves out.
func (i *inspected) keySet(text []byte) {
	i.Kind, i.checked = "key set", true
	set, err := jose.ParseKeySet(text, jose.KeySetRules{})
	if err != nil {
		i.Problems = append(i.Problems, err.Error())
		return
	}
	for _, n := range set.Keys {
		i.show(n.Key, n.Kid)
	}
	for _, skipped := range set.Skipped {
		words := "left out: " + skipped.String()
		if errors.Is(skipped.Reason, jose.ErrPrivateKey) {
			i.Problems = append(i.Problems, words)
		} else {
			i.Notes = append(i.Notes, words)
		}
	}
}

// inspectToken decodes a token and checks what can be checked.
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

// malformed decodes what it can of a malformed JWS.
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

// decodeSegment decodes JSON in base64url; nil when it is neither.
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

// signatureVerifier checks the signature and iss, and leaves the times to
// timeProblems, whose messages are more detailed.
func signatureVerifier(issuer string, jws *jose.JWS, keys bearer.KeySource, now func() time.Time) *bearer.Verifier {
	const noTimeLimit = 200 * 365 * 24 * time.Hour
	return &bearer.Verifier{Issuer: issuer, AnyAudience: true, Typ: []string{jws.Header.Typ}, Leeway: noTimeLimit, Keys: keys, Now: now}
}

// checkSignature checks the signature and, with --issuer, iss as an API does.
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
	_, err = verifyShown(ctx, signatureVerifier(cmp.Or(f.issuer, claims.Issuer, "-"), jws, keys, a.now), token, boundTo(claims))
	cause := errors.Unwrap(err)
	switch {
	case err == nil:
		i.Signature = sigVerified
	case oauth.AsError(err).Code != oauth.InvalidToken:
		return unavailable(fmt.Errorf("the verification keys are unavailable: %w", cmp.Or(cause, err)))
	case errors.Is(err, jose.ErrSignature):
		i.Signature = sigBad
		i.Problems = append(i.Problems, evidence.SignatureHint(jws))
	case errors.Is(err, jose.ErrAlgMismatch), errors.Is(err, bearer.ErrUnknownKey):
		i.Signature = sigBad
		i.Problems = append(i.Problems, cause.Error())
	default: // the signature verified, but another check failed
		i.Signature = sigVerified
		if claims.Present != 0 || len(i.Problems) == 0 {
			i.Problems = append(i.Problems, cause.Error())
		}
	}
	return nil
}
