package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"moneyer/internal/tlsfiles"
)

const caFlag = "cacert"

// addCAFlag adds --cacert, which curl has, too.
func addCAFlag(flags *pflag.FlagSet, file *string) {
	flags.StringVar(file, caFlag, "", "trust the authorities in this `file` (PEM) for https, instead of the system's")
}

// httpClient trusts the authorities in a file, or the system's when there is none.
func httpClient(caFile string) (*http.Client, error) {
	base, err := tlsfiles.Transport(caFile, "", "")
	if err != nil {
		return nil, usagef("--%s: %w", caFlag, err)
	}
	return &http.Client{Transport: base}, nil
}

// adviseCA adds --cacert to an error of a command that has it: the server's certificate is
// by an unknown authority.
func adviseCA(c *cobra.Command, f *failure) *failure {
	var unknown x509.UnknownAuthorityError
	if c == nil || c.Flag(caFlag) == nil || !errors.As(f.cause, &unknown) {
		return f
	}
	return &failure{f.code, fmt.Errorf("%w; if a private authority made it, name the file of its certificate by --%s", f.cause, caFlag)}
}
