// Command bench measures Moneyer on this machine, compared with the minimal cost of a token request
// and with alternative servers.
//
// It installs and starts everything itself, runs the servers on one core and the load generator on
// another, alternates between servers, and checks every response. Results go to standard output
// and, with -out, to Markdown, JSON and SVG. Linux only.
//
//	go run -C bench . -quick                     Moneyer and the ceiling, two minutes
//	go run -C bench . -out docs/benchmarks       everything, half an hour
//	go run -C bench . -servers moneyer,dex -kinds client_credentials -connections 64
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"moneyer/bench/subject"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run executes the command. The benchmark uses the first three commands itself, to start child
// processes.
func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return measure(ctx, args)
	}
	switch args[0] {
	case "reference":
		if len(args) < 4 {
			return errors.New("usage: bench reference WORK ADDRESS CLIENT [CERTIFICATE KEY [AUTHORITY]]")
		}
		return subject.ServeReference(ctx, subject.Work(args[1]), args[2], args[3], args[4:]...)
	case "raw":
		if len(args) != 2 {
			return errors.New("usage: bench raw ADDRESS")
		}
		return subject.ServeRaw(ctx, args[1])
	case "micro":
		return micro(ctx, args[1:])
	default:
		return measure(ctx, args)
	}
}

func micro(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: bench micro FOLDER TIME")
	}
	each, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	m, err := subject.MeasureMicro(ctx, args[0], each)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(m)
}
