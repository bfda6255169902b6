package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"moneyer/internal/jose"
	"moneyer/internal/strictjson"
	"time"
)

// inspected is the result of inspect.
type inspected struct {
	Kind      string          `json:"kind"`
	Header    json.RawMessage `json:"header,omitempty"`
	Claims    json.RawMessage `json:"claims,omitempty"`
	Signature string          `json:"signature,omitempty"`
	Keys      []keyShown      `json:"keys,omitempty"`
	// Problems make the exit code 1, if checked is set.
	Problems []string `json:"problems,omitempty"`
	// Notes do not change the exit code.
	Notes []string `json:"notes,omitempty"`
	// checked: problems count.
	checked bool
}

// keyShown is a public key as inspect shows it.
type keyShown struct {
	Kid        string   `json:"kid,omitempty"`
	Alg        jose.Alg `json:"alg"`
	Thumbprint string   `json:"thumbprint"`
}

// The states of a signature.
const (
	sigVerified   = "verified"
	sigBad        = "bad"
	sigNotChecked = "not checked"
)

func (a *app) printInspected(i *inspected) error {
	if a.json {
		return a.printJSON(i)
	}
	fmt.Fprintln(a.out, a.paint(bold, i.Kind))
	if err := errors.Join(a.printMembers("header", i.Header), a.printMembers("claims", i.Claims), a.printKeys(i)); err != nil {
		return err
	}
	switch i.Signature {
	case sigVerified:
		fmt.Fprintln(a.out, a.paint(good, "✓ signature verified"))
	case sigBad:
		fmt.Fprintln(a.out, a.paint(bad, "✗ signature BAD"))
	case sigNotChecked:
		fmt.Fprintln(a.out, a.paint(bold, "? signature NOT CHECKED")+": give --key FILE, --jwks FILE|URL or --issuer URL")
	}
	for _, note := range i.Notes {
		fmt.Fprintln(a.out, "! "+visible(note))
	}
	for _, problem := range i.Problems {
		fmt.Fprintln(a.out, a.paint(bad, "✗ "+visible(problem)))
	}
	return nil
}

func (a *app) printKeys(i *inspected) error {
	if i.Kind != "key set" {
		for _, key := range i.Keys {
			rows := [][]string{{"  alg", string(key.Alg)}, {"  thumbprint", key.Thumbprint}}
			if key.Kid != "" {
				rows = append(rows, []string{"  kid", visible(key.Kid)})
			}
			if err := writeTable(a.out, rows); err != nil {
				return err
			}
		}
		return nil
	}
	rows := [][]string{{"  KID", "ALG", "THUMBPRINT"}}
	for _, key := range i.Keys {
		rows = append(rows, []string{"  " + visible(key.Kid), string(key.Alg), key.Thumbprint})
	}
	return writeTable(a.out, rows)
}

// printMembers prints a JSON object, one member per line, with times in words.
func (a *app) printMembers(title string, object json.RawMessage) error {
	if object == nil {
		return nil
	}
	fmt.Fprintln(a.out, title)
	var rows [][]string
	err := strictjson.Object(object, strictjson.Limits{Members: 1 << 10, Depth: 1 << 10}, func(name string, v strictjson.Value) error {
		row := []string{"  " + visible(name), visible(abridged(v.Raw()))}
		if words := a.timeWords(name, v); words != "" {
			row = append(row, words)
		}
		rows = append(rows, row)
		return nil
	})
	if err != nil {
		rows = append(rows, []string{"  " + visible(err.Error())})
	}
	return writeTable(a.out, rows)
}

// timeWords describes a claim that is a time.
func (a *app) timeWords(name string, v strictjson.Value) string {
	seconds, err := v.NumericDate()
	switch name {
	case "exp", "iat", "nbf", "auth_time":
	default:
		return ""
	}
	if err != nil || seconds >= maxPlausible {
		return ""
	}
	t := time.Unix(seconds, 0)
	return a.paint(faint, t.UTC().Format(time.RFC3339)+", "+inWords(t.Sub(a.now())))
}
