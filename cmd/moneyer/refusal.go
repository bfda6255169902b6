package main

import (
	"cmp"
	"errors"
	"fmt"

	"moneyer/internal/platform"
	"moneyer/oauth"
)

// classify adds the exit code, wrong usage, refused or unavailable, and what to do.
func (w *requestTracer) classify(f *tokenFlags, p *platform.Profile, err error) error {
	var refusal *oauth.Error
	answered := errors.As(err, &refusal)
	err = plain(err)
	switch {
	case !w.sent:
		return usage(err)
	case answered && refusal.Code != oauth.ServerError && !refusal.Code.Retryable():
		if advice := w.advice(f, p, refusal); advice != "" {
			err = fmt.Errorf("%w; %s", err, advice)
		}
		return refused(err)
	default:
		return unavailable(err)
	}
}

// advice says what to do about a refusal; empty when nothing is known.
func (w *requestTracer) advice(f *tokenFlags, p *platform.Profile, refusal *oauth.Error) string {
	switch refusal.Code {
	case oauth.NotFound, oauth.MethodNotAllowed:
		if refusal.Inferred { // otherwise the platform's own word says it
			return w.notFound(p, refusal)
		}
	case oauth.InvalidGrant, oauth.InvalidClient:
		return explainAdvice(f, p)
	}
	return ""
}

// notFound tells a 404 of a platform that names no codes, which does not know what the
// request names, from one of whatever else serves a wrong URL. The platform's is bare, and
// may have the correlation id of the request.
func (w *requestTracer) notFound(p *platform.Profile, refusal *oauth.Error) string {
	noEndpoint := fmt.Sprintf("there is no token endpoint of %s at %s: compare --issuer and --profile with what the platform says, or name the endpoint by --url", p.Name, w.url)
	account := &p.Policy.Account
	if refusal.Code != oauth.NotFound || p.Wire.Errors != platform.ErrorsStatusOnly || account.Param == "" || refusal.Description != "" {
		return noEndpoint
	}
	unknown := fmt.Sprintf("the platform does not know the %s in %s", cmp.Or(account.Name, "account"), account.Param)
	if account.Items != "" {
		unknown += fmt.Sprintf(", or a %s in %s", cmp.Or(account.ItemName, "item"), account.Items)
	}
	if w.echoed {
		return unknown
	}
	return unknown + "; or " + noEndpoint
}

// explainAdvice names the command that checks what was refused against every rule.
func explainAdvice(f *tokenFlags, p *platform.Profile) string {
	const text = "to check it against every rule, run moneyer "
	switch {
	case f.signer.key != "" && usesAssertions(p):
		clientAuth := ""
		grant, _ := f.grantType() // the request was sent, so it is one
		if chosen, _, ok := p.Policy.Choose(platform.Held{ID: true, Key: true, Certificate: f.tlsCert != ""}, grant, oauth.ClientAuth(f.auth)); ok && chosen.Type != oauth.JWTBearer {
			clientAuth = " --client-auth"
		}
		target := fmt.Sprintf(" --profile %s --issuer %s%s", f.profile, f.issuer, clientAuth)
		return text + "assert" + target + " --client " + f.client + " --key ... | moneyer explain -" + target + " --key PUBLIC.pem"
	case f.assertion.file != "" && usesAssertions(p):
		return "" // the platform knows the provider's keys
	case f.tlsCert != "":
		return text + "explain --cert " + f.tlsCert
	}
	return ""
}
