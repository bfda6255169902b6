package main

import (
	"fmt"
	"moneyer/internal/jose"
	"strings"
	"time"
	"unicode"
)

// inWords formats a time relative to now.
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

// shortDuration writes 15m for what Go writes as 15m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func listed[T ~string](words []T, separator string) string {
	texts := make([]string, len(words))
	for i, word := range words {
		texts[i] = string(word)
	}
	return strings.Join(texts, separator)
}

func presence(required bool) string {
	if required {
		return "required"
	}
	return "optional"
}

// count formats a number of things.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprint(n, " ", thing)
}

// maxPlausible is a NumericDate (the year 5138). A larger value is taken to be in
// milliseconds.
const maxPlausible = 100_000_000_000

// timeProblems lists the errors in a token's times by the local clock.
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

// visible escapes control characters, which a terminal would execute.
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

// abridged returns the beginning of a long value.
func abridged(raw []byte) string {
	const most = 1000
	if len(raw) <= most {
		return string(raw)
	}
	return fmt.Sprintf("%s... (%d bytes; --json shows all)", strings.ToValidUTF8(string(raw[:most]), ""), len(raw))
}

// formatBytes formats a size.
func formatBytes(n int64) string {
	const unit = 1024
	switch {
	case n >= unit*unit*unit:
		return fmt.Sprintf("%.1f GB", float64(n)/unit/unit/unit)
	case n >= unit*unit:
		return fmt.Sprintf("%.1f MB", float64(n)/unit/unit)
	}
	return fmt.Sprintf("%.0f KB", float64(n)/unit)
}
