package platform

import (
	"testing"
	"time"
)

func TestTimes(t *testing.T) {
	now := time.Date(2026, time.December, 1, 12, 0, 0, 0, time.UTC)
	for name, row := range map[string]struct {
		policy                  Assertion
		lifetime                time.Duration
		iat, nbf, exp           time.Duration // from now; none for zero times
		hasIssued, hasNotBefore bool
	}{
		"as usual":              {Assertion{MaxLifetime: 15 * time.Minute}, 3 * time.Minute, -5 * time.Second, 0, 3*time.Minute - 5*time.Second, true, false},
		"all that is allowed":   {Assertion{MaxLifetime: 15 * time.Minute}, 15 * time.Minute, -5 * time.Second, 0, 15*time.Minute - 5*time.Second, true, false},
		"seconds alone":         {Assertion{MaxLifetime: 15 * time.Second}, time.Minute, 0, 0, 15 * time.Second, true, false},
		"nbf is required":       {Assertion{MaxLifetime: time.Hour, Require: []string{"nbf"}}, time.Minute, -5 * time.Second, -5 * time.Second, 55 * time.Second, true, true},
		"iat must not be there": {Assertion{MaxLifetime: time.Hour, Forbid: []string{"iat"}}, time.Minute, 0, 0, 55 * time.Second, false, false},
	} {
		iat, nbf, exp := row.policy.Times(now, row.lifetime)
		if !exp.Equal(now.Add(row.exp)) || iat.IsZero() == row.hasIssued || nbf.IsZero() == row.hasNotBefore ||
			row.hasIssued && !iat.Equal(now.Add(row.iat)) || row.hasNotBefore && !nbf.Equal(now.Add(row.nbf)) {
			t.Errorf("%s: iat %s, nbf %s, exp %s", name, iat, nbf, exp)
		}
	}
}
