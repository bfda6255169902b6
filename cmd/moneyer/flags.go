package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moneyer/internal/duration"
	"moneyer/internal/platform"
	"moneyer/profile"
)

// complete registers a flag's values for shell completion.
func complete(c *cobra.Command, flag string, values ...string) {
	completeBy(c, flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// completeNothing disables the completion of file names for flags that take none.
func completeNothing(c *cobra.Command, flags ...string) {
	for _, flag := range flags {
		complete(c, flag)
	}
}

func completeBy(c *cobra.Command, flag string, values cobra.CompletionFunc) {
	if err := c.RegisterFlagCompletionFunc(flag, values); err != nil {
		panic(err) // there is no such flag: a bug
	}
}

// atMostOne accepts one file or token, or none.
func atMostOne(c *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usagef("%s takes one file or token; quote it if it holds blanks", c.CommandPath())
	}
	return nil
}

// noArguments refuses arguments. The error does not repeat them: they may be
// secrets.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes flags only, not %d arguments; see '%s --help'", c.CommandPath(), len(args), c.CommandPath())
	}
	return nil
}

// exactArgs requires one argument for each name.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usagef("%s takes %s, not %d arguments; see '%s --help'", c.CommandPath(), strings.Join(names, " "), len(args), c.CommandPath())
		}
		return nil
	}
}

const momentWords = "a `time`, a date, a span from now such as 90d, or never"

// day is the format of a date in a flag.
const day = "2006-01-02"

// parseMoment reads a time in a flag: a point in time, a date, a span from now
// such as 90d or 12h, or never, which is the zero time.
func parseMoment(flag, text string, now time.Time) (time.Time, error) {
	if text == "" || text == "never" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, day} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	span, err := duration.Parse(text)
	if err != nil {
		return time.Time{}, usagef("--%s takes a time such as 2026-12-31T23:59:59Z, a date, a span from now such as 90d or 12h, or never", flag)
	}
	return now.Add(span).UTC().Truncate(time.Second), nil
}

// given returns the value of a flag, nil when the flag was not given.
func given[T any](c *cobra.Command, flag string, value T) *T {
	if !c.Flags().Changed(flag) {
		return nil
	}
	return &value
}

// profileFlag adds --profile to a command.
func profileFlag(c *cobra.Command, name *string) {
	c.Flags().StringVar(name, "profile", "", "the platform: "+strings.Join(profile.BuiltinNames(), ", ")+", or a .toml file")
	completeBy(c, "profile", completeProfiles)
}

// loadProfile finds the profile that --profile or an argument names.
func loadProfile(name string) (*platform.Profile, error) {
	p, err := publicProfile(name)
	if err != nil {
		return nil, err
	}
	return p.Definition(), nil
}

// publicProfile is a profile as package tokensource takes it.
func publicProfile(name string) (*profile.Profile, error) {
	if name == "" {
		return nil, usagef("--profile is missing: it names the platform, one of %s, or a .toml file", strings.Join(profile.BuiltinNames(), ", "))
	}
	p, err := profile.Load(name)
	if err != nil {
		return nil, usage(err)
	}
	return p, nil
}

func completeProfiles(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return profile.BuiltinNames(), cobra.ShellCompDirectiveDefault // which adds files
}
