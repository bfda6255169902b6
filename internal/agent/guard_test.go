package agent

import (
	"net/url"
	"path"
	"strings"
	"testing"
)

// FuzzDotted: a path that is not dotted stays in its folder, however often it is decoded.
func FuzzDotted(f *testing.F) {
	for _, seed := range []string{"/a", "/..", "/%2e%2e/x", "/a%2f..%2fb", "/%", "/%2", "/%u00", "/%u002e.", "/..%20/", "/%c0%ae./", "/..;a/b", "/%25252e%25252e"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		decoded, err := url.PathUnescape(in)
		if err != nil || dotted(decoded) {
			return
		}
		for range 10 {
			if clean := path.Clean("/folder/" + strings.ReplaceAll(decoded, `\`, "/")); clean != "/folder" && !strings.HasPrefix(clean, "/folder/") {
				t.Fatalf("%q leads to %q", in, clean)
			}
			if decoded, err = url.PathUnescape(decoded); err != nil {
				return
			}
		}
	})
}
