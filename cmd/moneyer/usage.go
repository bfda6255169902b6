package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"moneyer/internal/nearest"
)

// groupCommand marks a command that only has subcommands.
const groupCommand = "holds-others"

// setDefaultArgs makes each command require the arguments that its Use names, unless
// Args is set. A command that only has subcommands is a usage error: cobra would print
// the help and exit with 0.
func (a *app) setDefaultArgs(c *cobra.Command) {
	for _, child := range c.Commands() {
		a.setDefaultArgs(child)
	}
	if c.Runnable() {
		if c.Args == nil {
			c.Args = named(c.Use)
		}
		return
	}
	c.Annotations = map[string]string{groupCommand: "true"}
	c.SuggestionsMinimumDistance = 2
	c.Args = requireCommand
	c.RunE = func(c *cobra.Command, _ []string) error {
		c.SetOut(a.err)
		return errors.Join(usage(errSilent), c.Help())
	}
}

// named requires the arguments that a command's Use names before the first flag.
func named(use string) cobra.PositionalArgs {
	words, _, _ := strings.Cut(use, " --")
	if names := strings.Fields(words)[1:]; len(names) > 0 {
		return exactArgs(names...)
	}
	return noArguments
}

// usageTemplate is cobra's, without the usage line for commands that only have
// subcommands.
func usageTemplate(c *cobra.Command) string {
	return strings.Replace(c.UsageTemplate(), "{{if .Runnable}}", `{{if and .Runnable (not (index .Annotations "`+groupCommand+`"))}}`, 1)
}

// requireCommand refuses an argument that is not a subcommand of c.
func requireCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !repeatable(args[0]) {
		return usagef("unknown command; run '%s --help' for the commands", c.CommandPath())
	}
	advice := fmt.Sprintf("run '%s --help' for the commands", c.CommandPath())
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		advice = fmt.Sprintf("did you mean '%s %s'?", c.CommandPath(), strings.Join(near, "' or '"+c.CommandPath()+" "))
	}
	return usagef("unknown command %q; %s", args[0], advice)
}

// helpRefuses makes 'help' refuse a command that there is not: cobra would print the help of
// what stands before it and exit with 0.
func helpRefuses(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help, _, err := root.Find([]string{"help"})
	if err != nil {
		return
	}
	help.Short, help.Example = "Show the help of a command", "  moneyer help token"
	help.RunE = func(_ *cobra.Command, args []string) error {
		c, rest, err := root.Find(args)
		if err != nil {
			return usage(err)
		}
		if err := requireCommand(c, rest); err != nil {
			return err
		}
		c.InitDefaultHelpFlag()
		return c.Help()
	}
}

// repeatable reports whether a word may be repeated in an error. A word that does not
// look like the name of a command or flag may be a token or a secret.
func repeatable(word string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-"
	return len(word) <= 32 && !strings.HasPrefix(word, "eyJ") && strings.Trim(word, letters) == ""
}

// quietFlagError adds the flag that was meant to an unknown one. It omits what follows an
// unknown short flag, which may be a secret, as in -pSECRET, and a long flag that does
// not look like the name of one.
func quietFlagError(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	switch {
	case !errors.As(err, &unknown):
		return err
	case unknown.GetSpecifiedShortnames() != "":
		return usagef("unknown flag -%s", unknown.GetSpecifiedName())
	case !repeatable(unknown.GetSpecifiedName()):
		return usagef("unknown flag")
	}
	var known []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			known = append(known, f.Name)
		}
	})
	advice := fmt.Sprintf("run '%s --help' for the flags", c.CommandPath())
	if near := nearest.Word(unknown.GetSpecifiedName(), known); near != "" {
		advice = fmt.Sprintf("did you mean --%s?", near)
	}
	return usagef("%w; %s", err, advice)
}

// notKnown says that a word is none of the known ones, and which was meant or which
// there are.
func notKnown(what, word string, known []string) string {
	text := fmt.Sprintf("%s %q is not known", what, word)
	if len(known) > 0 {
		text += ": there is " + strings.Join(known, ", ")
	}
	if near := nearest.Word(word, known); near != "" {
		text += fmt.Sprintf(" (did you mean %s?)", near)
	}
	return text
}
