// Package stricttoml decodes TOML files that are written by hand. It refuses every key that the
// destination struct does not have; the error names the line and the most similar key.
//
// It is not a TOML parser (only this package imports github.com/BurntSushi/toml) and does not
// interpret the files.
package stricttoml

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"moneyer/internal/nearest"
)

// Document holds the line of each key of a file, so that later validation can report it.
type Document struct {
	name  string
	lines map[string][]int
	keys  map[string]bool
}

// Decode decodes data, the content of the file called name, into the struct that v points to. An
// unknown key, a value of the wrong type or a syntax error is an error that names the line.
func Decode(name string, data []byte, v any) (*Document, error) {
	doc := &Document{name: name, lines: lineIndex(string(data)), keys: map[string]bool{}}
	text, keys, err := doc.withoutDays(string(data), reflect.TypeOf(v))
	if err != nil {
		return nil, err
	}
	meta, err := toml.Decode(text, v)
	if err != nil {
		if text != string(data) { // its lines are others
			return nil, doc.relocated(err)
		}
		return nil, located(name, err)
	}
	undecoded := map[string]bool{}
	for _, key := range meta.Undecoded() {
		undecoded[key.String()] = true
	}
	for _, key := range keys {
		if undecoded[key.String()] || !spelledExactly(reflect.TypeOf(v), key) {
			return nil, doc.unknown(key, keysAt(reflect.TypeOf(v), key[:len(key)-1]))
		}
		doc.keys[key.String()] = true
	}
	return doc, nil
}

// typeError matches the parser's message for a value of the wrong type, for which it has no error
// type.
var typeError = regexp.MustCompile(`^toml: line (\d+) \(last key "([^"]*)"\): (.*)`)

// located rewrites the parser's error into this package's format, with the line in front.
func located(name string, err error) error {
	var syntax toml.ParseError
	if errors.As(err, &syntax) {
		return fmt.Errorf("%s:%d: %s", name, syntax.Position.Line, strings.TrimPrefix(syntax.Message, "toml: "))
	}
	if m := typeError.FindStringSubmatch(err.Error()); m != nil {
		return fmt.Errorf("%s:%s: %s: %s", name, m[1], m[2], m[3])
	}
	return fmt.Errorf("%s: %w", name, err)
}

// relocated is located for an error whose line is that of another text.
func (d *Document) relocated(err error) error {
	if m := typeError.FindStringSubmatch(err.Error()); m != nil {
		return d.Errorf(m[2], "%s", m[3])
	}
	return fmt.Errorf("%s: %w", d.name, err)
}

// unknown returns the error for a key that is not among the known ones.
func (d *Document) unknown(key toml.Key, known []string) error {
	fix := "remove it"
	if near := nearest.Word(key[len(key)-1], known); near != "" {
		fix = fmt.Sprintf("did you mean %q?", near)
	} else if len(known) > 0 {
		fix = "known here: " + strings.Join(known, ", ")
	}
	return d.Errorf(key.String(), "unknown setting; %s", fix)
}

// Has reports whether the file sets key (a dotted path), even to a zero value.
func (d *Document) Has(key string) bool { return d.keys[key] }

// Errorf returns an error about key (a dotted path such as "issuers.d1.url") that names the file
// and the line of the key or of the innermost table around it.
func (d *Document) Errorf(key, format string, args ...any) error {
	message := fmt.Sprintf(format, args...)
	for path := key; path != ""; path = parentOf(path) {
		if at := d.lines[path]; len(at) > 0 {
			return fmt.Errorf("%s:%d: %s: %s", d.name, at[0], key, message)
		}
	}
	return fmt.Errorf("%s: %s: %s", d.name, key, message)
}

func parentOf(path string) string {
	i := strings.LastIndexByte(path, '.')
	return path[:max(i, 0)]
}

var (
	tableLine = regexp.MustCompile(`^\s*\[\[?\s*([^\]]+?)\s*\]`)
	keyLine   = regexp.MustCompile(`^\s*([A-Za-z0-9_.'"-]+)\s*=`)
)

// lineIndex finds the lines of keys with regular expressions. It serves error messages only: an
// unusual spelling costs the line number, nothing else.
func lineIndex(text string) map[string][]int {
	index := map[string][]int{}
	table := ""
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		n++
		if m := tableLine.FindStringSubmatch(line); m != nil {
			table = strings.NewReplacer(`"`, "", `'`, "", " ", "").Replace(m[1])
			index[table] = append(index[table], n)
			continue
		}
		if m := keyLine.FindStringSubmatch(line); m != nil {
			key := strings.NewReplacer(`"`, "", `'`, "").Replace(m[1])
			if table != "" {
				key = table + "." + key
			}
			index[key] = append(index[key], n)
		}
	}
	return index
}

// spelledExactly reports whether each part of a key equals a field's name exactly: the parser also accepts
// names that differ in case.
func spelledExactly(t reflect.Type, key toml.Key) bool {
	for _, part := range key {
		t = deref(t)
		switch t.Kind() {
		case reflect.Map:
			t = t.Elem()
		case reflect.Struct:
			field, ok := fieldByTag(t, part)
			if !ok {
				return false
			}
			t = field
		default:
			return true
		}
	}
	return true
}

// keysAt returns the TOML names of the fields of the struct at path.
func keysAt(t reflect.Type, path toml.Key) []string {
	for _, part := range path {
		t = deref(t)
		switch t.Kind() {
		case reflect.Map:
			t = t.Elem()
		case reflect.Struct:
			field, ok := fieldByTag(t, part)
			if !ok {
				return nil
			}
			t = field
		default:
			return nil
		}
	}
	if t = deref(t); t.Kind() != reflect.Struct {
		return nil
	}
	var names []string
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("toml"); tag != "" && tag != "-" {
			names = append(names, tag)
		}
	}
	slices.Sort(names)
	return names
}

func deref(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t
}

func fieldByTag(t reflect.Type, tag string) (reflect.Type, bool) {
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("toml") == tag {
			return t.Field(i).Type, true
		}
	}
	return nil, false
}
