package moneyer

import (
	"strings"
	"testing"
)

func TestHeapOf(t *testing.T) {
	got, err := heapOf(strings.NewReader("# HELP x\ngo_gc_gogc_percent 100\ngo_memstats_next_gc_bytes 8.388608e+06\nother 1\n"))
	if err != nil || got != 4<<20 {
		t.Errorf("%d, %v", got, err)
	}
	for _, bad := range []string{"", "go_memstats_next_gc_bytes 1\n", "go_gc_gogc_percent 100\n", "go_gc_gogc_percent -1\ngo_memstats_next_gc_bytes 8\n", "go_gc_gogc_percent x\n"} {
		if got, err := heapOf(strings.NewReader(bad)); err == nil {
			t.Errorf("%q has a heap of %d", bad, got)
		}
	}
}

func TestSignsWith(t *testing.T) {
	for version, want := range map[string]string{"v1; OpenSSL 3.0.20 for signing, Go 1.26.8; linux/amd64": "OpenSSL", "v1; Go 1.26.8": "Go"} {
		if got := signsWith(version); string(got) != want {
			t.Errorf("%s signs with %s", version, got)
		}
	}
}
