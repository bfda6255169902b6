package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// The second column begins below its heading, whatever the first one holds.
func TestTableIsAligned(t *testing.T) {
	for name, cell := range map[string]string{
		"plain":               "partner",
		"empty":               "",
		"two bytes":           "b\u00e4cker",
		"combining":           "ba\u0308cker",
		"wide":                "\u682a\u5f0f\u4f1a\u793e",
		"wide, combining":     "\u304b\u3099\u304b",
		"zero-width joiner":   "a\u200db",
		"colour":              string(bad) + "disabled" + "\x1b[0m",
		"two colours":         string(good) + "on" + "\x1b[0m" + string(faint) + "off" + "\x1b[0m",
		"longer than heading": strings.Repeat("x", 30),
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := writeTable(&out, [][]string{{"STATE", "NAME"}, {cell, "|"}, {"x", "|"}, {"alone"}}); err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(out.String(), "\n")
			before := func(line, mark string) int {
				head, _, _ := strings.Cut(line, mark)
				return visibleWidth(head)
			}
			if want := before(lines[0], "NAME"); before(lines[1], "|") != want || before(lines[2], "|") != want {
				t.Errorf("not aligned:\n%s", out.String())
			}
			if lines[3] != "alone" {
				t.Errorf("a last cell has blanks behind it: %q", lines[3])
			}
		})
	}
}

func TestVisibleWidth(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "abc": 3, "\u00e9": 1, "e\u0301": 1, "\u6f22\u5b57": 4, "\uff21": 2, "\x1b[31mred\x1b[0m": 3, "a\x1b[1m\x1b[2mb\x1b[0m": 2, "\x1b[31": 0, "\u200b": 0, "\U0001f600": 2,
	} {
		if got := visibleWidth(text); got != want {
			t.Errorf("%q is %d columns wide, want %d", text, got, want)
		}
	}
}

// A list on a terminal with colours is the list without colours, with the colours added.
func TestColoursDoNotMoveColumns(t *testing.T) {
	list := func(color bool) string {
		var out bytes.Buffer
		o := &onboarding{app: &app{out: &out, color: color, now: func() time.Time { return testNow }}}
		rows := [][]string{{"k-1", o.state(false, time.Time{}, time.Time{}), "ES256"}, {"k-2", o.state(true, time.Time{}, time.Time{}), "ES256"},
			{"k-3", o.state(false, testNow.Add(time.Hour), time.Time{}), "RS256"}, {"k-4", o.standing(false, true), "EdDSA"}}
		if err := o.shown(rows, []string{"KID", "STATE", "ALG"}, rows); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	painted := list(true)
	for _, s := range []string{string(good), string(bad), "\x1b[0m"} {
		if !strings.Contains(painted, s) {
			t.Fatalf("no colour in %q", painted)
		}
		painted = strings.ReplaceAll(painted, s, "")
	}
	if plain := list(false); painted != plain {
		t.Errorf("with colours, without their codes:\n%s\nwithout colours:\n%s", painted, plain)
	}
}
