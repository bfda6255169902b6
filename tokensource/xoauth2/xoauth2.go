// Package xoauth2 adapts a tokensource.Source to the oauth2.TokenSource of
// golang.org/x/oauth2, for libraries that want one.
//
// It does nothing else. A program that can choose uses the Source or its Client,
// which respect the context of each call.
package xoauth2

import (
	"context"

	"golang.org/x/oauth2"

	"moneyer/tokensource"
)

// TokenSource returns an oauth2.TokenSource whose Token method returns the token of
// source. The calls end with ctx. Do not wrap it in oauth2.ReuseTokenSource: the
// Source caches tokens itself, and renews them earlier.
func TokenSource(ctx context.Context, source *tokensource.Source) oauth2.TokenSource {
	return adapter(func() (*tokensource.Token, error) { return source.Token(ctx) })
}

// adapter is an oauth2.TokenSource made of a function.
type adapter func() (*tokensource.Token, error)

// Token implements oauth2.TokenSource.
func (get adapter) Token() (*oauth2.Token, error) {
	token, err := get()
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: token.AccessToken, TokenType: string(token.Type), Expiry: token.Expiry}, nil
}
