// Package duration reads and writes spans of time as configuration files, profiles and flags have
// them: what package time takes, and days.
//
// A day is 24 hours. It does not read points in time, and knows no unit whose length varies, such as months.
package duration

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Parse reads a span such as "90s", "1h30m", "30d" or "1d12h". Days come first. An error shows the
// text and what can be written.
func Parse(text string) (time.Duration, error) {
	sign := text[:len(text)-len(strings.TrimLeft(text, "+-"))]
	days, rest, found := strings.Cut(text[len(sign):], "d")
	if !found {
		days, rest = "0", text[len(sign):]
	}
	hours, err := time.ParseDuration(days + "h")
	if err != nil || strings.Trim(days, "0123456789.") != "" || hours > math.MaxInt64/24 || len(sign) > 1 {
		return 0, malformed(text)
	}
	d := hours * 24
	if rest != "" || !found {
		more, err := time.ParseDuration(rest)
		if err != nil || strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "+") || d+more < d {
			return 0, malformed(text)
		}
		d += more
	}
	if sign == "-" {
		d = -d
	}
	return d, nil
}

func malformed(text string) error {
	return fmt.Errorf(`%.40q is not a duration such as "90s", "15m", "24h" or "30d"`, text)
}

// Value is a flag of package flag or pflag that Parse reads.
type Value time.Duration

// Set implements flag.Value.
func (v *Value) Set(text string) error {
	d, err := Parse(text)
	if err == nil {
		*v = Value(d)
	}
	return err
}

// String implements flag.Value.
func (v *Value) String() string {
	if *v == 0 {
		return "0"
	}
	return time.Duration(*v).String()
}

// Type is shown in the help of pflag.
func (v *Value) Type() string { return "duration" }
