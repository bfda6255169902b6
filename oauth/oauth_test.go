package oauth_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"moneyer/oauth"
)

func TestParseScope(t *testing.T) {
	longest := strings.Repeat("a", oauth.MaxScope)
	for _, c := range []struct {
		in   string
		want oauth.Scope
	}{
		{"", nil},
		{" ", nil},
		{"read", oauth.Scope{"read"}},
		{"read write", oauth.Scope{"read", "write"}},
		{"write read", oauth.Scope{"write", "read"}},
		{"  read   write ", oauth.Scope{"read", "write"}},
		{"read write read", oauth.Scope{"read", "write"}},
		{"read Read", oauth.Scope{"read", "Read"}},
		{"d1-s2s:api:merchant-gtw", oauth.Scope{"d1-s2s:api:merchant-gtw"}},
		{"!#[]~", oauth.Scope{"!#[]~"}},
		{longest, oauth.Scope{longest}},
	} {
		if got, err := oauth.ParseScope(c.in); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%.40q: %q, %v, want %q", c.in, got, err, c.want)
		}
	}
	words := make(oauth.Scope, 128)
	for i := range words {
		words[i] = fmt.Sprint(i)
	}
	most := words.String()
	if got, err := oauth.ParseScope(most + " 0"); err != nil || !slices.Equal(got, words) {
		t.Errorf("%d words are refused: %v", len(words), err)
	}
	for _, in := range []string{most + " more", `"`, `a\b`, "a\tb", "a\nb", "\x00", "\x7f", "é", "a\u00a0b", longest + "a", strings.Repeat(" ", oauth.MaxScope+1)} {
		if got, err := oauth.ParseScope(in); oauth.AsError(err).Code != oauth.InvalidScope || got != nil {
			t.Errorf("%.40q: %q, %v, want invalid_scope", in, got, err)
		}
	}
}

func TestParseTokenType(t *testing.T) {
	for s, want := range map[string]oauth.TokenType{
		"Bearer": oauth.TokenTypeBearer, "bearer": oauth.TokenTypeBearer, "BEARER": oauth.TokenTypeBearer,
		"": "", "mac": "", "DPoP": "", " Bearer": "", "Bearer ": "", "N_A": "",
	} {
		if got, ok := oauth.ParseTokenType(s); got != want || ok != (want != "") {
			t.Errorf("%q is %q, %t", s, got, ok)
		}
	}
}

func TestScope(t *testing.T) {
	scope := oauth.Scope{"read", "write"}
	if scope.String() != "read write" || oauth.Scope(nil).String() != "" {
		t.Errorf("String gives %q", scope.String())
	}
	for word, has := range map[string]bool{"read": true, "write": true, "Read": false, "rea": false, "": false, "read write": false} {
		if scope.Has(word) != has {
			t.Errorf("Has(%q) is %v", word, !has)
		}
	}
	for _, c := range []struct {
		allowed oauth.Scope
		want    string
	}{
		{oauth.Scope{"write", "read"}, ""}, {oauth.Scope{"read", "write", "more"}, ""},
		{oauth.Scope{"read"}, "write"}, {oauth.Scope{"write"}, "read"}, {nil, "read"},
	} {
		if got := scope.Missing(c.allowed); got != c.want {
			t.Errorf("of %v, %q is missing, want %q", c.allowed, got, c.want)
		}
	}
	if got := oauth.Scope(nil).Missing(nil); got != "" {
		t.Errorf("the empty scope misses %q", got)
	}
}

func FuzzParseScope(f *testing.F) {
	for _, s := range []string{"", "a b", " a  a ", `a"b`, "é", "\x7f", strings.Repeat("a ", 1025)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		scope, err := oauth.ParseScope(s)
		if err != nil {
			if oauth.AsError(err).Code != oauth.InvalidScope || scope != nil {
				t.Fatalf("%q: %q, %v", s, scope, err)
			}
			return
		}
		again, err := oauth.ParseScope(scope.String())
		if err != nil || !slices.Equal(again, scope) {
			t.Errorf("%q is read as %q, and that as %q, %v", s, scope, again, err)
		}
		for i, word := range scope {
			if word == "" || slices.Contains(scope[:i], word) || strings.ContainsFunc(word, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
				t.Errorf("%q holds the word %q", s, word)
			}
			if !strings.Contains(s, word) {
				t.Errorf("the word %q is not in %q", word, s)
			}
		}
		for _, word := range strings.Fields(s) {
			if !scope.Has(word) {
				t.Errorf("the word %q of %q is lost", word, s)
			}
		}
	})
}

// A hostile list of as many short words as fit costs little.
func BenchmarkParseScopeHostile(b *testing.B) {
	var s strings.Builder
	for c := '!'; s.Len() < oauth.MaxScope-3; c++ {
		for d := 'a'; d <= 'z' && s.Len() < oauth.MaxScope-3; d++ {
			if c != '"' && c != '\\' {
				fmt.Fprintf(&s, "%c%c ", c, d)
			}
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := oauth.ParseScope(s.String()); err == nil {
			b.Fatal("not refused")
		}
	}
}

func TestErrorTellsTheLogEverything(t *testing.T) {
	cause := fmt.Errorf("disk: %w", io.ErrUnexpectedEOF)
	plain := oauth.Errorf(oauth.InvalidGrant, "the %s is bad", "assertion")
	for want, e := range map[string]*oauth.Error{
		"invalid_grant: the assertion is bad":                       plain,
		"invalid_grant: the assertion is bad: disk: unexpected EOF": plain.Because(cause),
		"server_error: disk: unexpected EOF":                        oauth.AsError(cause),
		"server_error":                                              oauth.Errorf(oauth.ServerError, ""),
	} {
		if e.Error() != want {
			t.Errorf("%q, want %q", e.Error(), want)
		}
	}
	if !errors.Is(plain.Because(cause), io.ErrUnexpectedEOF) || errors.Is(plain, io.ErrUnexpectedEOF) {
		t.Error("Because must give a copy with its cause and leave the original alone")
	}
	after := plain.After(time.Second)
	if after.RetryAfter != time.Second || plain.RetryAfter != 0 || after.Description != plain.Description {
		t.Errorf("After gives %+v and leaves %+v", after, plain)
	}
}

func TestAsError(t *testing.T) {
	e := oauth.Errorf(oauth.InvalidScope, "x")
	for _, c := range []struct {
		err  error
		want oauth.Code
	}{
		{e, oauth.InvalidScope}, {fmt.Errorf("wrapped: %w", e), oauth.InvalidScope}, {errors.Join(io.EOF, e), oauth.InvalidScope},
		{io.EOF, oauth.ServerError},
	} {
		got := oauth.AsError(c.err)
		if got.Code != c.want {
			t.Errorf("%v becomes %v", c.err, got)
		}
		if c.want == oauth.ServerError && got.Description != "" {
			t.Errorf("%v is told as %q", c.err, got.Description)
		}
	}
	if !errors.Is(oauth.AsError(io.EOF), io.EOF) {
		t.Error("the cause is lost")
	}
	if e := oauth.AsError(nil); e != nil {
		t.Errorf("no error becomes %v", e)
	}
}

// RFC 6749 §5.2: %x20-21 / %x23-5B / %x5D-7E.
func TestDescriptionsArePrintable(t *testing.T) {
	for in, want := range map[string]string{
		`say "no"`: "say 'no'", `a\b`: "a?b", "line\nbreak\ttab": "line?break?tab", "é€": "??", "\x7f\x00": "??", "bad \xff": "bad ?",
		" !#[]^~": " !#[]^~", "": "",
	} {
		if got := oauth.Errorf(oauth.InvalidRequest, "%s", in).Description; got != want {
			t.Errorf("%q is told as %q, want %q", in, got, want)
		}
	}
	for c := range 256 {
		told := oauth.Errorf(oauth.InvalidRequest, "%c", rune(c)).Description
		allowed := c >= 0x20 && c <= 0x7E && c != '"' && c != '\\'
		if allowed != (told == string(rune(c))) || len(told) != 1 {
			t.Errorf("%#x is told as %q", c, told)
		}
	}
}

func TestRetryable(t *testing.T) {
	retryable := []oauth.Code{oauth.RateLimited, oauth.TemporarilyUnavailable}
	for _, c := range []oauth.Code{
		oauth.InvalidRequest, oauth.InvalidClient, oauth.InvalidGrant, oauth.UnauthorizedClient, oauth.UnsupportedGrantType, oauth.InvalidScope,
		oauth.ServerError, oauth.TemporarilyUnavailable, oauth.InvalidToken, oauth.InsufficientScope, oauth.NotFound, oauth.RateLimited,
		oauth.TooLarge, oauth.UnsupportedMediaType, oauth.MethodNotAllowed,
	} {
		if c.Retryable() != slices.Contains(retryable, c) {
			t.Errorf("%s: retryable is %v", c, c.Retryable())
		}
	}
}
