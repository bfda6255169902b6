package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"moneyer/internal/adminapi"
	"moneyer/internal/ledger"
	"moneyer/internal/store"
)

func (o *onboarding) ledgerCommand() *cobra.Command {
	return o.noun(&cobra.Command{
		Use:   "ledger",
		Short: "Read and verify the record of every token minted and every change made",
		Long: `The ledger has an entry for every access token minted, every refusal of a known
client, and every change made by an administrator. Each entry is chained to the
one before by a hash, so that changing or removing one can be detected.

A single server has one chain, 0. Each of several replicas writes its own chain:
entry 3-1201 is the 1201st of chain 3. Once a minute each replica signs a
checkpoint that names the ends of all chains.`,
		Example: `  moneyer ledger list --client merchant01 --since 1d
  moneyer ledger export --kind token > tokens.ndjson
  moneyer ledger verify`,
	}, o.ledgerList(), o.ledgerExport(), o.ledgerVerify(), o.ledgerKey())
}

func (o *onboarding) ledgerExport() *cobra.Command {
	var f ledgerFlags
	c := &cobra.Command{
		Use:   "export",
		Short: "Write entries as lines of JSON, with their hashes",
		Long: `Write entries to standard output as lines of JSON, each with its number, its hash
and that of the entry before, one chain after the other. Without filters the export
can be verified without a server by 'moneyer ledger verify --file'. The number of an
entry is chain * 2^40 + its position in the chain; --after takes the number or
CHAIN-POSITION.`,
		Example: `  moneyer ledger export > ledger.ndjson
  moneyer ledger export --after 120000 >> ledger.ndjson
  moneyer ledger export --after 1-5077,3-1201 >> ledger.ndjson`,
		RunE: func(c *cobra.Command, _ []string) error {
			out := bufio.NewWriter(o.out)
			err := o.entries(c.Context(), &f, func(line []byte) error {
				_, err := out.Write(append(line, '\n'))
				return err
			})
			return errors.Join(err, out.Flush())
		},
	}
	f.add(c, o)
	c.Flags().StringSliceVar(&f.After, "after", nil, "entries after that `number`; of several chains, after the number given for each")
	return c
}

// verification is what `ledger verify` verifies.
type verification struct {
	file, store, keyText, headFile string

	key   ed25519.PublicKey
	heads []ledger.Head
}

func (o *onboarding) ledgerVerify() *cobra.Command {
	var v verification
	c := &cobra.Command{
		Use:   "verify",
		Short: "Verify the chains of hashes and the checkpoints, and name the first broken entry",
		Long: `Verify the whole ledger, on the server, in an export or in a backup, and name the
first entry of each chain that is not as it was recorded. The exit code is

  0  the ledger is whole, and the signed checkpoints confirm it; what was recorded
     in the last minutes need not be confirmed yet
  1  it is broken: an entry or a checkpoint was changed or removed, entries have
     had no checkpoint for more than five minutes, old entries were removed
     before their time, or a head is not in it
  4  it is whole as far as it goes, but not confirmed: it has no checkpoint yet,
     it is an export that begins in the middle, no checkpoint key was given, or a
     chain has no checkpoint of its own, with which a server begins one

Each chain's checkpoints are numbered, and each names the one before. With the
checkpoint key (public; 'moneyer ledger key' shows it) their signatures must verify.
The signing key is derived from the master key, so write access to the database is
not enough to rewrite a chain before the last checkpoint, nor to remove one.

What a ledger cannot show by itself is that its end was cut off and that a server
went on from there. So compare it with heads that were noted elsewhere: the server
logs them once a minute ("checkpoint"), and 'heads' below is their form. --head
takes a file of lines of the log (JSON), or of such heads.`,
		Example: `  moneyer ledger verify
  moneyer ledger verify --head /var/log/moneyer.log
  moneyer ledger verify --file ledger.ndjson     without a server
  moneyer ledger verify --store backup.db        without a server
  moneyer ledger verify --store backup.db --checkpoint-key 4V9vZ3u0DTGoCvk1TWMSLQ-SScT5Z8Y8lka6P_mjJgY`,
		RunE: func(c *cobra.Command, _ []string) error {
			found, err := o.verify(c.Context(), &v)
			if err != nil {
				return err
			}
			return o.verified(&found)
		},
	}
	c.Flags().StringVar(&v.file, "file", "", "verify that export, or standard input when it is called '-', not the server's ledger")
	c.Flags().StringVar(&v.store, "store", "", "verify the ledger in that `file`, a backup or a store whose server is down")
	c.Flags().StringVar(&v.keyText, "checkpoint-key", "", "check the signatures of checkpoints with that `key`; without it only a server checks them, with its own key")
	c.Flags().StringVar(&v.headFile, "head", "", "compare with the heads in that `file`: lines of the server's log, or heads in the form CHAIN-N:HASH")
	c.MarkFlagsMutuallyExclusive("file", "store")
	return c
}

// verify verifies an export, a store, or else the server's ledger.
func (o *onboarding) verify(ctx context.Context, v *verification) (found adminapi.Verified, err error) {
	if v.keyText != "" {
		if v.key, err = adminapi.ParseCheckpointKey(v.keyText); err != nil {
			return found, usagef("--checkpoint-key: %w", err)
		}
	}
	if v.headFile != "" {
		if v.heads, err = o.readHeads(v.headFile); err != nil {
			return found, usagef("--head: %s: %w", v.headFile, err)
		}
	}
	switch {
	case v.file != "":
		return o.verifyFile(ctx, v.file, v.key, v.heads)
	case v.store != "":
		return verifyStore(ctx, v.store, v.key, v.heads...)
	}
	api, err := o.open()
	if err != nil {
		return found, err
	}
	found, err = api.VerifyLedger(ctx, v.heads)
	if err == nil && v.key != nil && found.CheckpointKey != v.keyText {
		return found, usagef("--checkpoint-key differs from the server's key, %s", visible(found.CheckpointKey))
	}
	return found, err
}

func (o *onboarding) readHeads(name string) ([]ledger.Head, error) {
	file, err := o.openInput(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return ledger.ReadHeads(file)
}

// verified prints the result of a verification.
func (o *onboarding) verified(v *adminapi.Verified) error {
	if o.json {
		if err := o.printJSON(v); err != nil {
			return err
		}
	} else {
		o.printVerifiedLedger(v)
	}
	switch {
	case !v.Whole:
		return refused(errSilent)
	case v.Unconfirmed != "":
		return &failure{exitUnconfirmed, errSilent}
	}
	return nil
}

func (o *onboarding) printVerifiedLedger(v *adminapi.Verified) {
	for i := range v.Chains {
		o.printChain(&v.Chains[i])
	}
	switch {
	case v.Checkpoints == 0:
	case v.CheckpointKey == "":
		fmt.Fprintf(o.out, "%s, signatures not checked: --checkpoint-key was not given\n", count(int(v.Checkpoints), "checkpoint"))
	default:
		fmt.Fprintf(o.out, "%s, signatures checked with key %s\n", count(int(v.Checkpoints), "checkpoint"), visible(v.CheckpointKey))
	}
	if v.HeadsCompared > 0 {
		fmt.Fprintf(o.out, "compared with %s noted elsewhere\n", count(int(v.HeadsCompared), "head"))
	}
	if v.Heads != "" {
		fmt.Fprintf(o.out, "the heads, to be noted elsewhere:\n%s\n", v.Heads)
	}
	switch {
	case !v.Whole:
	case v.Unconfirmed != "":
		fmt.Fprintf(o.out, "%s: %s\n", "not confirmed", visible(v.Unconfirmed))
	default:
		fmt.Fprintln(o.out, o.paint(good, "confirmed"))
	}
}

// printChain prints what was found of one chain.
func (o *onboarding) printChain(c *adminapi.VerifiedChain) {
	if c.Broken != 0 {
		fmt.Fprintf(o.out, "%s: entry %s: %s\n", o.paint(bad, "broken"), ledger.ShowSeq(c.Broken), visible(c.How))
	} else {
		fmt.Fprintf(o.out, "%s: entries %s to %s; the head is %s\n", o.paint(good, "whole"), ledger.ShowSeq(c.First), ledger.ShowSeq(c.Last), c.Head)
	}
	confirmed := "nothing is confirmed by a checkpoint"
	if c.Confirmed != 0 {
		confirmed = "confirmed up to entry " + ledger.ShowSeq(c.Confirmed)
	}
	fmt.Fprintf(o.out, "  %s, %d not confirmed yet; %d before were pruned\n", confirmed, c.Open, c.Pruned)
}

func (o *onboarding) ledgerKey() *cobra.Command {
	return &cobra.Command{
		Use:   "key",
		Short: "Show the public key that checks the signatures of checkpoints",
		Long: `Show the public Ed25519 key that verifies checkpoints. It is derived from the
master key and changes only with that. Give it to the auditors of the ledger:
'moneyer ledger verify --checkpoint-key KEY' needs nothing else.`,
		Example: `  moneyer ledger key`,
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := o.open()
			if err != nil {
				return err
			}
			key, err := api.CheckpointKey(c.Context())
			return o.outcome(key, err, "%s", visible(key.Key))
		},
	}
}

// verifyStore verifies the ledger in a store's file.
func verifyStore(ctx context.Context, path string, key ed25519.PublicKey, heads ...ledger.Head) (adminapi.Verified, error) {
	report, err := store.VerifyFile(ctx, path, key, heads...)
	if errors.Is(err, fs.ErrNotExist) {
		return adminapi.Verified{}, usage(err)
	}
	if err != nil {
		return adminapi.Verified{}, unavailable(err)
	}
	return adminapi.ShowVerified(&report, key), nil
}
