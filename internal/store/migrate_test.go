package store

import (
	"errors"
	"strings"
	"testing"
)

func TestMigrateFile(t *testing.T) {
	url := newFile(t)
	_, err := Migrate(t.Context(), url, Newest)
	if !errors.Is(err, ErrNoStore) {
		t.Errorf("a file that is not there: %v", err)
	}
	d := openURL(t, url)
	_, err = Migrate(t.Context(), url, Newest)
	wantError(t, err, "in use by process")
	must(t, d.Close())
	if m, err := Migrate(t.Context(), url, Newest); err != nil || m != (Migration{From: 1, To: 1}) {
		t.Errorf("%+v, %v", m, err)
	}
	_, err = Migrate(t.Context(), url, Back)
	wantError(t, err, "restore a backup")
	_, err = Migrate(t.Context(), "mysql:x", Newest)
	if !errors.Is(err, errURL) {
		t.Error(err)
	}
}

func wantError(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("%v, want %q", err, text)
	}
}
