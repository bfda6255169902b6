package main

import (
	"context"
	"moneyer/bearer"
	"strings"
)

// inspectFlags say with which keys to check a signature.
type inspectFlags struct{ key, jwks, issuer string }

// keySource returns the verification keys, nil when no flag gives any.
func (a *app) keySource(f *inspectFlags, alg string) (bearer.KeySource, error) {
	switch {
	case f.issuer != "":
		return &bearer.RemoteKeys{Issuer: f.issuer, Now: a.now}, nil
	case strings.HasPrefix(f.jwks, "https://"), strings.HasPrefix(f.jwks, "http://"):
		return &bearer.RemoteKeys{URL: f.jwks, Now: a.now}, nil
	case f.jwks != "":
		data, err := a.readFile(f.jwks)
		if err != nil {
			return nil, usagef("--jwks: %w", err)
		}
		keys, err := bearer.ParseKeys(data)
		if err != nil {
			return nil, usagef("--jwks %s: %w", f.jwks, plain(err))
		}
		return keys, nil
	case f.key != "":
		public, err := a.readPublicKey("--key", f.key, alg)
		if err != nil {
			return nil, err
		}
		key, err := bearer.NewKey(public.CryptoKey(), string(public.Alg()))
		return bearer.KeyFunc(func(context.Context, string) (bearer.Key, error) { return key, nil }), err
	}
	return nil, nil
}
