package main

import (
	"context"
	"moneyer/bearer"
	"strings"
)

// inspectFlags say with which keys to check a signature.
type inspectFlags struct{ key, jwks, issuer, cacert string }

// keySource returns the verification keys, nil when no flag gives any.
func (a *app) keySource(f *inspectFlags, alg string) (bearer.KeySource, error) {
	client, err := httpClient(f.cacert)
	switch {
	case err != nil:
		return nil, err
	case f.issuer != "":
		return &bearer.RemoteKeys{Issuer: f.issuer, HTTPClient: client, Now: a.now}, nil
	case strings.HasPrefix(f.jwks, "https://"), strings.HasPrefix(f.jwks, "http://"):
		return &bearer.RemoteKeys{URL: f.jwks, HTTPClient: client, Now: a.now}, nil
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
