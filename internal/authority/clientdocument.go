package authority

import (
	"math"
	"strings"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/strictjson"
	"moneyer/oauth"
)

// UnmarshalJSON reads what json.Marshal made of a client. Members that it does not
// know are passed over.
func (c *Client) UnmarshalJSON(data []byte) error {
	decoded, err := DecodeClient(data)
	if err == nil {
		*c = *decoded
	}
	return err
}

// DecodeClient reads what json.Marshal made of a client, as UnmarshalJSON does. It
// is what the first request of each client waits for.
func DecodeClient(document []byte) (*Client, error) {
	var k keeper
	c := &Client{}
	err := strictjson.Object(document, strictjson.Limits{Members: math.MaxInt}, func(name string, v strictjson.Value) error {
		return k.client(c, name, v)
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (k *keeper) client(c *Client, name string, v strictjson.Value) (err error) {
	switch name {
	case "issuer":
		err = k.text(&c.Issuer, v)
	case "id":
		err = k.text(&c.ID, v)
	case "name":
		err = k.text(&c.Name, v)
	case "revision":
		c.Revision, err = v.Int()
	case "disabled":
		c.Disabled, err = v.Bool()
	case "grants":
		c.Grants, err = each(v, func(g *oauth.GrantType, v strictjson.Value) error { return k.text((*string)(g), v) })
	case "scope":
		c.Scope, err = each(v, k.text)
	case "introspects":
		c.Introspects, err = v.Bool()
	case "attributes":
		c.Attributes = map[string]Attribute{}
		err = v.Members(func(name string, v strictjson.Value) (err error) {
			c.Attributes[k.keep(name)], err = k.attribute(v)
			return err
		})
	case "keys":
		c.Keys, err = each(v, k.key)
	case "jwks_uri":
		err = k.text(&c.JWKSURI, v)
	case "secrets":
		c.Secrets, err = each(v, k.secret)
	case "created":
		err = readTime(&c.Created, v)
	}
	return err
}

func (k *keeper) attribute(v strictjson.Value) (a Attribute, err error) {
	if v.Kind() == strictjson.KindArray {
		a.IsList = true
		a.List, err = each(v, k.text)
		return a, err
	}
	return a, k.text(&a.Text, v)
}

// key reads what Key.MarshalJSON wrote.
func (k *keeper) key(key *Key, v strictjson.Value) error {
	var jwk []byte
	err := v.Members(func(name string, v strictjson.Value) (err error) {
		switch name {
		case "kid":
			err = k.text(&key.Kid, v)
		case "jwk":
			jwk = v.Raw()
		case "environment":
			err = k.text(&key.Environment, v)
		case "not_before":
			err = readTime(&key.NotBefore, v)
		case "not_after":
			err = readTime(&key.NotAfter, v)
		case "disabled":
			key.Disabled, err = v.Bool()
		case "created":
			err = readTime(&key.Created, v)
		}
		return err
	})
	if err != nil {
		return err
	}
	key.Public, _, err = jose.ParseJWK(jwk, "")
	return err
}

func (k *keeper) secret(s *Secret, v strictjson.Value) error {
	return v.Members(func(name string, v strictjson.Value) (err error) {
		switch name {
		case "id":
			err = k.text(&s.ID, v)
		case "kind":
			err = k.text((*string)(&s.Kind), v)
		case "digest":
			err = readDigest(&s.Digest, v)
		case "not_after":
			err = readTime(&s.NotAfter, v)
		case "disabled":
			s.Disabled, err = v.Bool()
		case "created":
			err = readTime(&s.Created, v)
		}
		return err
	})
}

// each reads the elements of an array.
func each[T any](v strictjson.Value, read func(*T, strictjson.Value) error) ([]T, error) {
	elements := []T{}
	err := v.Elements(func(element strictjson.Value) error {
		elements = append(elements, *new(T))
		return read(&elements[len(elements)-1], element)
	})
	return elements, err
}

func readTime(t *time.Time, v strictjson.Value) error { return t.UnmarshalJSON(v.Raw()) }

func readDigest(d *Digest, v strictjson.Value) error {
	text, err := v.Text()
	if err != nil {
		return err
	}
	return d.UnmarshalText([]byte(text))
}

// keeper copies the texts of a document that a client keeps, one behind the other:
// the document itself is several times as long, and each text by itself would be
// one more thing for the garbage collector to look at.
type keeper struct{ texts strings.Builder }

// keptAtOnce is what the texts of a usual client take, in octets.
const keptAtOnce = 64

func (k *keeper) text(to *string, v strictjson.Value) error {
	text, err := v.Text()
	*to = k.keep(text)
	return err
}

func (k *keeper) keep(text string) string {
	if k.texts.Cap()-k.texts.Len() < len(text) {
		k.texts = strings.Builder{}
		k.texts.Grow(max(len(text), keptAtOnce))
	}
	start := k.texts.Len()
	k.texts.WriteString(text)
	return k.texts.String()[start:]
}
