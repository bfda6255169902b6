package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"moneyer/oauth"
	"moneyer/tokensource"
)

// TestDescribeScope: -v tells what was asked for and what was granted where they differ.
func TestDescribeScope(t *testing.T) {
	for _, row := range []struct {
		asked, granted oauth.Scope
		want           string
	}{
		{oauth.Scope{"a", "b"}, oauth.Scope{"b", "a"}, "\nscope b a\n"},
		{oauth.Scope{"a", "b"}, oauth.Scope{"a"}, "\nscope requested a b, granted a\n"},
		{oauth.Scope{"a"}, oauth.Scope{}, "\nscope requested a, granted nothing\n"},
		{nil, oauth.Scope{"a"}, "\nscope a\n"},
	} {
		var out bytes.Buffer
		a := &app{err: &out, now: time.Now}
		a.describe(&tokensource.Token{Scope: row.granted}, row.asked)
		if !strings.Contains(out.String(), row.want) {
			t.Errorf("%v of %v: %q, want %q", row.granted, row.asked, out.String(), row.want)
		}
	}
}
