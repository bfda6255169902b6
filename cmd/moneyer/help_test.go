package main

import (
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Every command has a description, an example, and a description of each flag.
func TestHelpIsComplete(t *testing.T) {
	root := new(app).rootCommand()
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		path := c.CommandPath()
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s lacks Short or Example", path)
		}
		if c.HasParent() && !c.Parent().HasParent() && c.GroupID == "" && c.Name() != "help" {
			t.Errorf("%s is in no group", path)
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: --%s has no description", path, f.Name)
			}
		})
		for _, child := range c.Commands() {
			walk(child)
		}
	}
	walk(root)
}
