package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"moneyer/bearer"
	"moneyer/internal/evidence"
	"moneyer/internal/jose"
	"moneyer/internal/strictjson"
)

// documentKind is a kind of JWT that an issuer signs beside access tokens.
type documentKind struct {
	name string
	// read decodes the payload; the notes describe its content.
	read func(payload []byte, now time.Time) (document, error)
}

// document is the decoded content of such a JWT.
type document struct {
	issuer string
	issued int64
	notes  []string
}

// documentKinds by the typ of the header.
var documentKinds = map[string]*documentKind{
	"revocations+jwt":         {"list of revocations", readRevocations},
	"token-introspection+jwt": {"answer about a token (RFC 9701)", readIntrospection},
}

// parseSigned parses a JWS within the length limit of its kind. The kind is nil
// for a token or an assertion.
func parseSigned(compact string) (*jose.JWS, *documentKind, error) {
	jws, err := jose.ParseDocument(compact)
	if err != nil {
		return nil, nil, err
	}
	typ := strings.TrimPrefix(strings.ToLower(jws.Header.Typ), "application/")
	if kind := documentKinds[typ]; kind != nil {
		return jws, kind, nil
	}
	jws, err = jose.Parse(compact)
	return jws, nil, err
}

// inspectDocument checks a document that is not a token.
func (a *app) inspectDocument(ctx context.Context, f *inspectFlags, i *inspected, kind *documentKind, compact string, jws *jose.JWS) error {
	i.Kind = kind.name
	d, err := kind.read(jws.Payload, a.now())
	switch {
	case err != nil:
		i.Problems = append(i.Problems, err.Error())
	case d.issuer == "" || d.issued == 0:
		i.Problems = append(i.Problems, "iss or iat is missing")
	case f.issuer != "" && d.issuer != f.issuer:
		i.Problems = append(i.Problems, fmt.Sprintf("iss is %.100q", d.issuer))
	}
	i.Notes = append(i.Notes, d.notes...)
	return a.checkDocumentSignature(ctx, f, i, compact, jws)
}

func (a *app) checkDocumentSignature(ctx context.Context, f *inspectFlags, i *inspected, compact string, jws *jose.JWS) error {
	keys, err := a.keySource(f, jws.Header.Alg)
	if err != nil || keys == nil {
		return err
	}
	i.checked = true
	key, err := keys.Key(ctx, jws.Header.Kid)
	if err != nil && !errors.Is(err, bearer.ErrUnknownKey) {
		return unavailable(fmt.Errorf("the verification keys are unavailable: %w", err))
	}
	if err == nil {
		_, err = key.Signed(compact)
	}
	switch {
	case err == nil:
		i.Signature = sigVerified
		return nil
	case errors.Is(err, jose.ErrSignature):
		err = errors.New(evidence.SignatureHint(jws))
	}
	i.Signature = sigBad
	i.Problems = append(i.Problems, err.Error())
	return nil
}

// readRevocations reads a list of revocations, as bearer.RevocationList polls it.
func readRevocations(payload []byte, now time.Time) (document, error) {
	var d document
	var expiry, before int64
	named := map[string]int{}
	err := strictjson.Object(payload, strictjson.Limits{}, func(name string, v strictjson.Value) (err error) {
		switch name {
		case "iss":
			d.issuer, err = v.Text()
		case "iat":
			d.issued, err = v.Seconds()
		case "exp":
			expiry, err = v.Seconds()
		case "before":
			before, err = v.Seconds()
		case "jti", "kid", "claim":
			err = v.Elements(func(strictjson.Value) error {
				named[name]++
				return nil
			})
		default:
			err = fmt.Errorf("unknown member %.64q: an API refuses a list with a member that it does not understand", name)
		}
		return err
	})
	if err != nil {
		return d, err
	}
	d.notes = append(d.notes, fmt.Sprintf("it revokes %s by their jti, all tokens of %s, and all that match %s",
		count(named["jti"], "token"), count(named["kid"], "signing key"), count(named["claim"], "claim")))
	if before > 0 {
		d.notes = append(d.notes, "it revokes every token issued before "+time.Unix(before, 0).UTC().Format(time.RFC3339))
	}
	switch left := time.Unix(expiry, 0).Sub(now); {
	case expiry == 0:
		return d, errors.New("exp is missing")
	case left <= 0:
		return d, fmt.Errorf("it expired %s: an API must fetch a newer one", inWords(left))
	}
	return d, nil
}

// readIntrospection reads a signed introspection response. It has no exp: it states
// whether the token was active at iat.
func readIntrospection(payload []byte, now time.Time) (document, error) {
	var d document
	said := "nothing"
	err := strictjson.Object(payload, strictjson.Limits{}, func(name string, v strictjson.Value) (err error) {
		switch name {
		case "iss":
			d.issuer, err = v.Text()
		case "iat":
			d.issued, err = v.Seconds()
		case "token_introspection":
			said, err = activeWord(v)
		}
		return err
	})
	if err == nil && said == "nothing" {
		err = errors.New("token_introspection does not say whether the token is active")
	}
	if err == nil {
		d.notes = []string{fmt.Sprintf("the token was %s when this was made, %s; this is not an access token", said, inWords(time.Unix(d.issued, 0).Sub(now)))}
	}
	return d, err
}

// activeWord returns the state of a token in an introspection response (RFC 7662
// section 2.2).
func activeWord(answer strictjson.Value) (string, error) {
	word := "nothing"
	err := strictjson.Object(answer.Raw(), strictjson.Limits{}, func(name string, v strictjson.Value) error {
		if name != "active" {
			return nil
		}
		active, err := v.Bool()
		if word = "not active"; active {
			word = "active"
		}
		return err
	})
	return word, err
}
