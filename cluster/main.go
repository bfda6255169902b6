// Cluster starts on loopback what examples/cluster describes for real machines: a PostgreSQL
// primary with two synchronous standbys, three replicas of Moneyer, HAProxy in front of them, and a
// registered client, for trying out failures. Ctrl-C stops and removes everything.
//
//	make cluster
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"moneyer/cluster/local"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	binary := flags.String("moneyer", "../bin/moneyer", "the moneyer binary, as built by `make build`")
	replicas := flags.Int("replicas", 3, "how many replicas to run")
	if err := flags.Parse(args); err != nil {
		return err
	}
	path, err := filepath.Abs(*binary)
	if err != nil {
		return err
	}
	s, err := local.Start(ctx, local.Options{Binary: path, Replicas: *replicas, Log: out})
	if err != nil {
		return err
	}
	explain(out, path, s)
	fmt.Fprintln(out, "\nEnter 'promote' after the primary was killed, 'complete' to restart what was killed; Ctrl-C stops everything.")
	obey(ctx, s, os.Stdin, out)
	fmt.Fprintln(out, "\nStopping everything ...")
	return s.Close()
}

// explain prints the addresses and what to try.
func explain(out io.Writer, binary string, s *local.Cluster) {
	fmt.Fprintf(out, "\nThe cluster is ready.\n\n  issuer      %s\n  admin API   %s\n", s.IssuerURL(), s.AdminURL())
	for _, r := range s.Replicas {
		fmt.Fprintf(out, "  %s    http://%s   process %d, admin %s\n", r.Name, r.Public, r.PID(), r.Admin)
	}
	for _, server := range s.Servers {
		fmt.Fprintf(out, "  %-11s %s   process %d\n", server.Name(), server.URL("moneyer"), server.PID())
	}
	fmt.Fprintf(out, `
In another terminal:

  export MONEYER_ADMIN=%[2]s

  # a token, through HAProxy
  %[1]s token --profile oauth2 --issuer %[3]s \
    --client %[4]s --key %[5]s --kid %[6]s

  # the ledger, whichever replica wrote it
  %[1]s ledger list
  %[1]s ledger verify

  # kill a replica: callers notice at most one failed request
  kill -9 %[7]d

  # kill the primary: no tokens until 'promote' is entered here (503 with Retry-After)
  kill -9 %[8]d

  # ... but keys, metadata and /check (of clients that were active before) are still served
  curl -s %[3]s/.well-known/jwks.json
`, binary, s.AdminFile(), s.IssuerURL(), local.Client, s.KeyFile(), local.Kid, s.Replicas[0].PID(), s.Primary.PID())
}

// obey executes entered commands until ctx ends.
func obey(ctx context.Context, s *local.Cluster, in io.Reader, out io.Writer) {
	words := make(chan string)
	go func() {
		defer close(words)
		for {
			var word string
			if _, err := fmt.Fscanln(in, &word); errors.Is(err, io.EOF) {
				return
			}
			select {
			case words <- strings.ToLower(word):
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case word, ok := <-words:
			if !ok { // end of input
				<-ctx.Done()
				return
			}
			answer(ctx, s, word, out)
		}
	}
}

func answer(ctx context.Context, s *local.Cluster, word string, out io.Writer) {
	var err error
	switch word {
	case "":
		return
	case "promote":
		err = s.FailOver(ctx)
	case "complete":
		err = s.Complete(ctx)
	default:
		err = errors.New("enter 'promote' or 'complete'")
	}
	if err != nil {
		fmt.Fprintln(out, err)
		return
	}
	fmt.Fprintf(out, "done: %s is the primary\n", s.Primary.Name())
}
