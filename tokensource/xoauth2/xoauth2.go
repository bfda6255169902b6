// Package xoauth2 lets a tokensource.Source stand where a library wants an
// oauth2.TokenSource of golang.org/x/oauth2.
//
// It adds nothing else: programs that are free to choose take the Source or its
// Transport themselves, which respect the caller's context.
package xoauth2

import (
	"context"

	"golang.org/x/oauth2"

	"moneyer/tokensource"
)

// TokenSource returns the token of source for each call of Token. ctx ends the
// waiting in all of them. Do not wrap it in oauth2.ReuseTokenSource: the Source
// keeps and renews by itself, and earlier.
func TokenSource(ctx context.Context, source *tokensource.Source) oauth2.TokenSource {
	return adapter(func() (*tokensource.Token, error) { return source.Token(ctx) })
}

// adapter gets a token in the way that it closes over.
type adapter func() (*tokensource.Token, error)

// Token implements oauth2.TokenSource.
func (get adapter) Token() (*oauth2.Token, error) {
	token, err := get()
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: token.AccessToken, TokenType: string(token.Type), Expiry: token.Expiry}, nil
}
