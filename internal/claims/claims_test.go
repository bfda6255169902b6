package claims_test

import (
	"reflect"
	"testing"
	"time"

	"moneyer/assertion"
	"moneyer/internal/claims"
	"moneyer/internal/platform"
)

func TestFill(t *testing.T) {
	now := time.Date(2026, time.December, 1, 12, 0, 0, 0, time.UTC)
	given := assertion.Assertion{Issuer: "shop", Subject: "shop", Audience: []string{"https://as.example"}, ID: "id"}
	all := given
	all.IssuedAt, all.Expiry = now.Add(-5*time.Second), now.Add(55*time.Second)
	for forbidden, change := range map[string]func(*assertion.Assertion){
		"":    func(*assertion.Assertion) {},
		"sub": func(a *assertion.Assertion) { a.Subject = "" },
		"aud": func(a *assertion.Assertion) { a.Audience = nil },
		"jti": func(a *assertion.Assertion) { a.ID = "" },
		"iat": func(a *assertion.Assertion) { a.IssuedAt = time.Time{} },
	} {
		want := all
		change(&want)
		policy := &platform.Assertion{MaxLifetime: time.Hour, Forbid: []string{forbidden}}
		if got := claims.Fill(policy, given, now, time.Minute); !reflect.DeepEqual(got, want) {
			t.Errorf("%q must not be there: %+v, want %+v", forbidden, got, want)
		}
	}
	policy := &platform.Assertion{MaxLifetime: time.Hour, Require: []string{"nbf"}}
	if got := claims.Fill(policy, given, now, time.Minute); !got.NotBefore.Equal(got.IssuedAt) || got.NotBefore.IsZero() {
		t.Errorf("nbf is required: %+v", got)
	}
}
