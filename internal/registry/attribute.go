package registry

import (
	"encoding/json"

	"moneyer/internal/strictjson"
)

// Attribute is a registered value of a client or account: one text or a list.
type Attribute struct {
	Text string
	List []string
	// IsList distinguishes an empty list from an empty text.
	IsList bool
}

// MarshalJSON writes a string or an array of strings.
func (a Attribute) MarshalJSON() ([]byte, error) {
	if a.IsList {
		return json.Marshal(append([]string{}, a.List...))
	}
	return json.Marshal(a.Text)
}

// UnmarshalJSON reads a string or an array of strings.
func (a *Attribute) UnmarshalJSON(data []byte) error {
	*a = Attribute{IsList: len(data) > 0 && data[0] == '['}
	if a.IsList {
		return json.Unmarshal(data, &a.List)
	}
	return json.Unmarshal(data, &a.Text)
}

// AppendJSON appends the attribute as MarshalJSON writes it.
func (a Attribute) AppendJSON(dst []byte) []byte {
	if !a.IsList {
		return strictjson.AppendString(dst, a.Text)
	}
	dst = append(dst, '[')
	for i, text := range a.List {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strictjson.AppendString(dst, text)
	}
	return append(dst, ']')
}
