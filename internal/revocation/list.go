package revocation

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"moneyer/internal/strictjson"
)

// ListType is the typ of a signed list. No RFC has it.
const ListType = "revocations+jwt"

// listLifetime is how long a published list may be believed.
const listLifetime = 24 * time.Hour

// AppendList appends the claims of the list that an issuer publishes: the set, and
// the kids of the signing keys that were revoked with all of their tokens. Its iat is
// complete, the instant until which the list is complete: it holds whatever was
// revoked before, on any replica. What only matches tokens that have ended is in the
// list until Sweep: complete is by a clock that may have jumped.
func (s *Set) AppendList(dst []byte, issuer string, complete time.Time, revokedKeys ...string) []byte {
	var jtis, kids, claims []string
	for _, kid := range revokedKeys {
		kids = append(kids, quote(kid))
	}
	s.jtis.Range(func(jti, _ any) bool {
		name, _ := jti.(string)
		jtis = append(jtis, quote(name))
		return true
	})
	before := int64(0)
	s.groups.Range(func(key, value any) bool {
		g, _ := key.(group)
		e, _ := value.(extent)
		switch {
		case g.kid != "":
			kids = append(kids, quote(g.kid))
		case e.before.Unix() <= 0: // matches nothing, and no reader takes it
		case g.all:
			before = e.before.Unix()
		default:
			claims = append(claims, fmt.Sprintf(`{"claim":%s,"value":%s,"before":%d}`, quote(g.claim), quote(g.value), e.before.Unix()))
		}
		return true
	})
	for _, names := range [][]string{jtis, kids, claims} {
		slices.Sort(names)
	}
	kids = slices.Compact(kids)
	return fmt.Appendf(dst, `{"iss":%s,"iat":%d,"exp":%d,"before":%d,"jti":[%s],"kid":[%s],"claim":[%s]}`,
		quote(issuer), complete.Unix(), complete.Add(listLifetime).Unix(), before,
		strings.Join(jtis, ","), strings.Join(kids, ","), strings.Join(claims, ","))
}

func quote(s string) string { return string(strictjson.AppendString(nil, s)) }

// List is a published list as it was read.
type List struct {
	Issuer string
	// IssuedAt is its iat in seconds, Expiry its exp.
	IssuedAt int64
	Expiry   time.Time
	Set
}

// ParseList reads the claims of a list. Unknown members are refused: they might
// revoke tokens.
func ParseList(payload []byte) (*List, error) {
	l := &List{}
	err := strictjson.Object(payload, strictjson.Limits{}, func(name string, v strictjson.Value) error {
		return l.read(name, v)
	})
	if err == nil && (l.IssuedAt == 0 || l.Expiry.IsZero()) {
		err = errors.New("it has no iat or no exp")
	}
	return l, err
}

func (l *List) read(name string, v strictjson.Value) (err error) {
	switch name {
	case "iss":
		l.Issuer, err = v.Text()
	case "iat":
		l.IssuedAt, err = v.Seconds()
	case "exp":
		l.Expiry, err = instant(v)
	case "before":
		var before time.Time
		if before, err = instant(v); before.Unix() > 0 {
			l.addGroup(group{all: true}, extent{before: before})
		}
	case "jti":
		err = eachName(v, func(jti string) { l.addToken(jti, time.Time{}) })
	case "kid":
		err = eachName(v, func(kid string) { l.addGroup(group{kid: kid}, extent{}) })
	case "claim":
		err = v.Elements(l.readClaim)
	default:
		err = fmt.Errorf("unknown member %.100q", name)
	}
	return err
}

func instant(v strictjson.Value) (time.Time, error) {
	seconds, err := v.Seconds()
	return time.Unix(seconds, 0), err
}

// eachName visits the strings of an array. An empty one matches nothing: least of
// all a token that has no jti or no kid.
func eachName(v strictjson.Value, visit func(string)) error {
	return v.Elements(func(element strictjson.Value) error {
		text, err := element.Text()
		if text != "" {
			visit(text)
		}
		return err
	})
}

// readClaim reads one of the claims.
func (l *List) readClaim(v strictjson.Value) error {
	g := group{}
	var before time.Time
	err := strictjson.Object(v.Raw(), strictjson.Limits{}, func(name string, v strictjson.Value) (err error) {
		switch name {
		case "claim":
			g.claim, err = v.Text()
		case "value":
			g.value, err = v.Text()
		case "before":
			before, err = instant(v)
		default:
			err = fmt.Errorf("unknown member %.100q", name)
		}
		return err
	})
	if err != nil {
		return err
	}
	if g.claim == "" || g.value == "" || before.IsZero() || before.Unix() == 0 {
		return errors.New("a claim without name, value or instant")
	}
	l.addGroup(g, extent{before: before})
	return nil
}
