package admin

import (
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"moneyer/internal/registry"
	"moneyer/internal/strictjson"
	"moneyer/oauth"
)

// maxBody bounds the body of a request that is one JSON object, in bytes.
const maxBody = 128 << 10

// members maps the allowed members of a JSON object to their readers.
type members map[string]func(strictjson.Value) error

// decode reads one object. An unknown member is refused by name.
func (m members) decode(data []byte) error {
	return strictjson.Object(data, strictjson.Limits{}, func(name string, v strictjson.Value) error { return assign(m, "member", name, v) })
}

// assign passes v to the reader for name. Its error names the member.
func assign[V any](takers map[string]func(V) error, what, name string, v V) error {
	take, known := takers[name]
	if !known {
		return invalid("unknown %s %.64q; known here are: %s", what, name, strings.Join(slices.Sorted(maps.Keys(takers)), ", "))
	}
	if err := take(v); err != nil {
		return invalid("%s: %s", name, publicError(err).Description)
	}
	return nil
}

// orNull reads a value with read, and null as the zero value.
func orNull[T any](to *T, read func(strictjson.Value) (T, error)) func(strictjson.Value) error {
	return func(v strictjson.Value) (err error) {
		*to = *new(T)
		if v.Kind() != strictjson.KindNull {
			*to, err = read(v)
		}
		return err
	}
}

// text reads a string.
func text[T ~string](to *T) func(strictjson.Value) error {
	return orNull(to, func(v strictjson.Value) (T, error) {
		s, err := v.Text()
		return T(s), err
	})
}

// flag reads a boolean.
func flag(to *bool) func(strictjson.Value) error { return orNull(to, strictjson.Value.Bool) }

// moment reads a time in RFC 3339 form.
func moment(to *time.Time) func(strictjson.Value) error {
	return orNull(to, func(v strictjson.Value) (time.Time, error) {
		s, err := v.Text()
		if err != nil {
			return time.Time{}, err
		}
		return parseTime(s)
	})
}

// parseTime parses a time and returns it in UTC.
func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.Unix() <= 0 {
		return time.Time{}, invalid("want a time such as 2026-12-31T23:59:59Z (RFC 3339)")
	}
	return t.UTC(), nil
}

// scope reads a space-delimited list (RFC 7591 §2).
func scope(to *oauth.Scope) func(strictjson.Value) error {
	return orNull(to, func(v strictjson.Value) (oauth.Scope, error) {
		words, err := v.Text()
		if err != nil {
			return nil, err
		}
		return oauth.ParseScope(words)
	})
}

// texts reads an array of strings.
func texts[T ~string](to *[]T) func(strictjson.Value) error {
	return orNull(to, func(v strictjson.Value) (list []T, err error) {
		err = v.Elements(func(element strictjson.Value) error {
			s, err := element.Text()
			list = append(list, T(s))
			return err
		})
		return list, err
	})
}

// attributes merges an object of strings and arrays of strings into a copy of the
// current attributes (RFC 7396): null removes one.
func attributes(to *map[string]registry.Attribute) func(strictjson.Value) error {
	merged := maps.Clone(*to)
	return orNull(to, func(v strictjson.Value) (map[string]registry.Attribute, error) {
		if merged == nil {
			merged = map[string]registry.Attribute{}
		}
		return merged, strictjson.Object(v.Raw(), strictjson.Limits{}, func(name string, v strictjson.Value) error {
			attribute, err := attributeOf(v)
			if v.Kind() == strictjson.KindNull {
				delete(merged, name)
				return nil
			}
			merged[name] = attribute
			return err
		})
	})
}

func attributeOf(v strictjson.Value) (a registry.Attribute, err error) {
	if v.Kind() == strictjson.KindArray {
		a.IsList = true
		a.List, err = v.Texts()
		return a, err
	}
	a.Text, err = v.Text()
	return a, err
}

// textOrObject reads a string, or an object as its JSON text.
func textOrObject(to *string) func(strictjson.Value) error {
	return func(v strictjson.Value) error {
		if v.Kind() == strictjson.KindObject {
			*to = string(v.Raw())
			return nil
		}
		return text(to)(v)
	}
}

// body reads the request's JSON, once.
func (c *call) body() ([]byte, error) {
	if c.sent != nil {
		return c.sent, nil
	}
	if err := requireMediaType(c.r, "application/json", "application/merge-patch+json"); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	if err != nil {
		return nil, unreadable(err)
	}
	c.sent = data
	return data, nil
}

// decode reads the body's one object.
func (c *call) decode(m members) error {
	data, err := c.body()
	if err != nil {
		return err
	}
	return m.decode(data)
}

// wantType refuses a body of another media type than those that it names.
func requireMediaType(r *http.Request, types ...string) error {
	given, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || !slices.Contains(types, given) {
		return oauth.Errorf(oauth.UnsupportedMediaType, "the body's media type must be %s", types[0])
	}
	return nil
}

// unreadable is the error of a body that could not be read to its end.
func unreadable(err error) error {
	if publicError(err).Code == oauth.TooLarge {
		return err
	}
	return oauth.Errorf(oauth.InvalidRequest, "the body ends early").Because(err)
}

// parameters maps the allowed query parameters to their readers.
type parameters map[string]func(string) error

// query reads the query. An unknown or repeated parameter is refused by name.
func (c *call) query(p parameters) error {
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return invalid("the query is not form-encoded")
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if p[name] != nil && len(values[name]) > 1 {
			return invalid("parameter %s comes more than once", name)
		}
		if err := assign(p, "parameter", name, values[name][0]); err != nil {
			return err
		}
	}
	return nil
}

// number reads an integer from least to most.
func number(to *int, least, most int) func(string) error {
	return func(s string) error {
		n, err := strconv.Atoi(s)
		if err != nil || n < least || n > most {
			return invalid("want a number from %d to %d", least, most)
		}
		*to = n
		return nil
	}
}

// word reads a text.
func word[T ~string](to *T) func(string) error {
	return func(s string) error {
		*to = T(s)
		return nil
	}
}

// instant reads a time in RFC 3339 form.
func instant(to *time.Time) func(string) (err error) {
	return func(s string) (err error) {
		*to, err = parseTime(s)
		return err
	}
}
