package stricttoml

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/BurntSushi/toml"

	"moneyer/internal/duration"
)

var durationType = reflect.TypeFor[time.Duration]()

// withoutDays checks the values of all durations, which the parser would take as nanoseconds if
// they are numbers. If one is written in days, which the parser does not know, it returns a text
// with the same values in hours, otherwise text; and the keys of text, in its order.
func (d *Document) withoutDays(text string, t reflect.Type) (string, []toml.Key, error) {
	var values map[string]any
	meta, err := toml.Decode(text, &values)
	if err != nil {
		return "", nil, located(d.name, err)
	}
	c := converter{doc: d}
	if c.table("", values, t); c.err != nil || !c.changed {
		return text, meta.Keys(), c.err
	}
	var b bytes.Buffer
	if err := toml.NewEncoder(&b).Encode(values); err != nil {
		return "", nil, fmt.Errorf("%s: %w", d.name, err)
	}
	return b.String(), meta.Keys(), nil
}

// converter writes durations as the parser reads them. It keeps the first error.
type converter struct {
	doc     *Document
	changed bool
	err     error
}

// table converts the values of a table for the struct or map t.
func (c *converter) table(path string, values map[string]any, t reflect.Type) {
	t = deref(t)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		var of reflect.Type
		switch t.Kind() {
		case reflect.Map:
			of = t.Elem()
		case reflect.Struct:
			of, _ = fieldByTag(t, key)
		}
		if of == nil || c.err != nil {
			continue // unknown settings are reported elsewhere
		}
		at := key
		if path != "" {
			at = path + "." + key
		}
		values[key] = c.value(at, values[key], of)
	}
}

// value converts one value for the type t.
func (c *converter) value(path string, value any, t reflect.Type) any {
	switch value := value.(type) {
	case map[string]any:
		c.table(path, value, t)
	case []map[string]any:
		for _, table := range value {
			c.table(path, table, t)
		}
	case []any:
		for i, one := range value {
			value[i] = c.value(path, one, t)
		}
	default:
		if deref(t) == durationType {
			return c.duration(path, value)
		}
	}
	return value
}

// duration checks a duration. 0 needs no unit.
func (c *converter) duration(path string, value any) any {
	if value == int64(0) {
		return value
	}
	text, isText := value.(string)
	if !isText {
		c.err = c.doc.Errorf(path, `%v is a number without a unit: write a duration such as "90s", "15m", "24h" or "30d"`, value)
		return value
	}
	span, err := duration.Parse(text)
	if err != nil {
		c.err = c.doc.Errorf(path, "%v", err)
		return value
	}
	if _, err := time.ParseDuration(text); err == nil {
		return value
	}
	c.changed = true
	return span.String()
}
