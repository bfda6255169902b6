package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"moneyer/bench/subject"
)

// choices are the parsed flags.
type choices struct {
	quick       bool
	out         string
	rounds      int
	duration    time.Duration
	connections []int
	servers     []string
	kinds       []string
	peers       bool
	static      bool
	tls         bool
	scale       bool
	further     bool
	replicas    bool
}

func parse(args []string, help io.Writer) (*choices, error) {
	c := &choices{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(help)
	flags.BoolVar(&c.quick, "quick", false, "only Moneyer and the ceiling, few and short rounds, no scale: two minutes")
	flags.StringVar(&c.out, "out", "", "write README.md, results.json and pictures to this `folder`, from the root of the repository")
	flags.IntVar(&c.rounds, "rounds", 3, "how often each is measured")
	flags.DurationVar(&c.duration, "duration", time.Second, "how long each round is")
	connections := flags.String("connections", "1,16,64,256", "numbers of connections")
	servers := flags.String("servers", "", "only servers whose name contains one of these `words`; the ceiling is always measured")
	kinds := flags.String("kinds", "", "only exchanges whose kind or profile contains one of these `words`")
	flags.BoolVar(&c.peers, "peers", true, "measure other servers too")
	flags.BoolVar(&c.static, "static", true, "measure the static build of Moneyer, which signs with Go, too")
	flags.BoolVar(&c.tls, "tls", true, "measure new TLS connections for each request, too")
	flags.BoolVar(&c.scale, "scale", true, "measure Moneyer with many clients and a long ledger too")
	flags.BoolVar(&c.further, "further", true, "measure half load, overload, pruning and the ledger's size too")
	flags.BoolVar(&c.replicas, "replicas", false, "measure only replicas on PostgreSQL with a synchronous standby, in rounds of three times -duration")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if c.quick {
		c.quicken(given, connections)
	}
	var err error
	if c.connections, err = numbers(*connections); err != nil {
		return nil, err
	}
	c.servers, c.kinds = words(*servers), words(*kinds)
	if c.rounds < 1 || c.duration < 50*time.Millisecond {
		return nil, errors.New("at least one round of 50 ms")
	}
	return c, nil
}

// quicken shortens what was not set explicitly.
func (c *choices) quicken(given map[string]bool, connections *string) {
	set := func(name string, do func()) {
		if !given[name] {
			do()
		}
	}
	set("duration", func() { c.duration = 500 * time.Millisecond })
	set("connections", func() { *connections = "1,64" })
	set("peers", func() { c.peers = false })
	set("scale", func() { c.scale = false })
	set("static", func() { c.static = false })
}

func words(text string) []string {
	return slices.DeleteFunc(strings.Split(text, ","), func(w string) bool { return w == "" })
}

func numbers(text string) ([]int, error) {
	var all []int
	for _, word := range words(text) {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is no number of connections", word)
		}
		all = append(all, n)
	}
	if len(all) == 0 {
		return nil, errors.New("no number of connections")
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// server reports whether a server is selected.
func (c *choices) server(name string) bool {
	name = strings.ToLower(name)
	return len(c.servers) == 0 || slices.ContainsFunc(c.servers, func(w string) bool { return strings.Contains(name, strings.ToLower(w)) })
}

// exchange reports whether an exchange is selected. Of the static build one of each signature is
// enough: it differs in nothing else.
func (c *choices) exchange(server string, kind subject.Kind, variant string) bool {
	if server == ownStatic && variant != ownGrant && variant != ownRSA && (kind != subject.ClientCredentialsES256 || variant != ownPlain) {
		return false
	}
	if len(c.kinds) == 0 {
		return !c.quick || !sparse(server, kind, variant)
	}
	return slices.ContainsFunc(c.kinds, func(w string) bool {
		return strings.Contains(string(kind), w) || strings.Contains(variant, w)
	})
}
