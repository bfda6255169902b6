package ledger

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind is what a ledger entry records.
type Kind string

// The kinds of entries.
const (
	// KindToken: an access token was minted.
	KindToken Kind = "token"
	// KindAuthentication: a client authenticated by an assertion beside the token
	// endpoint, which consumed it.
	KindAuthentication Kind = "authentication"
	// KindRefusal: a request was refused. Its client was named, and is proven only where the
	// rule comes after authentication.
	KindRefusal Kind = "refusal"
	// KindRefusals: refusals of an issuer beyond the recorded rate, counted together.
	KindRefusals Kind = "refusals"
	// KindAdmin: the registry, a signing key or the ledger itself was changed.
	KindAdmin Kind = "admin"
	// KindCheckpoint: a writer names the heads of all chains under its signature.
	KindCheckpoint Kind = "checkpoint"
)

// Kinds lists all kinds.
func Kinds() []Kind {
	return []Kind{KindToken, KindAuthentication, KindRefusal, KindRefusals, KindAdmin, KindCheckpoint}
}

// Entry is one ledger entry. It never holds a secret, an assertion, a token or
// any other credential.
type Entry struct {
	Kind   Kind      `json:"kind"`
	Time   time.Time `json:"time"`
	Issuer string    `json:"issuer,omitempty"`
	Client string    `json:"client,omitempty"`
	// Correlation is the ID of the request, which its log lines have, too.
	Correlation string `json:"correlation,omitempty"`

	// Of a token: its jti, what authenticated the client (a kid or a secret's ID),
	// the kid that signed, sub, scope and exp.
	JTI        string    `json:"jti,omitempty"`
	Credential string    `json:"credential,omitempty"`
	SigningKid string    `json:"signing_kid,omitempty"`
	Subject    string    `json:"subject,omitempty"`
	Scope      string    `json:"scope,omitempty"`
	Expires    time.Time `json:"expires,omitzero"`

	// Of a refusal: the error code, the rule that failed, the expected and the found
	// value, and the number of refusals of a counted entry.
	Code     string `json:"code,omitempty"`
	Rule     string `json:"rule,omitempty"`
	Expected string `json:"expected,omitempty"`
	Found    string `json:"found,omitempty"`
	Count    int64  `json:"count,omitempty"`

	// Of an admin change: who did what to which object.
	Actor  string `json:"actor,omitempty"`
	Action string `json:"action,omitempty"`
	Object string `json:"object,omitempty"`
	// Rows has the rows of the registry that the change wrote, as NAME=MAC, separated by
	// spaces; after the "=" of a row that it removed there is nothing. See package rowauth.
	Rows string `json:"rows,omitempty"`

	// Of an anchor, see Anchor: a time after which no removed entry was made, and the
	// retention in seconds. Its Number is that of the first checkpoint that is left.
	Newest    time.Time `json:"newest,omitzero"`
	Retention int64     `json:"retention,omitempty"`

	// Of a checkpoint, see Checkpoint: its number, the checkpoint before it and the heads of
	// all chains by FormatHeads, and the entry after which its writer continued the chain.
	Number   int64  `json:"number,omitempty"`
	Previous string `json:"previous,omitempty"`
	Resumed  int64  `json:"resumed,omitempty"`
	Heads    string `json:"heads,omitempty"`

	// Of a checkpoint, and of a change of the registry: all rows of the registry, the change
	// included. See rowauth.Key.
	Registry string `json:"registry,omitempty"`

	// Of a checkpoint or an anchor: the signature in base64url.
	Signature string `json:"signature,omitempty"`
}

// AppendJSON appends the entry's one canonical line, which the chain hashes: the
// members in the order of the struct, times in UTC to the millisecond.
func (e *Entry) AppendJSON(dst []byte) ([]byte, error) {
	const usualSize = 512
	dst = append(slices.Grow(dst, usualSize), `{"kind":`...)
	dst = appendText(dst, string(e.Kind))
	dst = appendTime(append(dst, `,"time":`...), e.Time)
	dst = appendMember(dst, `,"issuer":`, e.Issuer)
	dst = appendMember(dst, `,"client":`, e.Client)
	dst = appendMember(dst, `,"correlation":`, e.Correlation)
	dst = appendMember(dst, `,"jti":`, e.JTI)
	dst = appendMember(dst, `,"credential":`, e.Credential)
	dst = appendMember(dst, `,"signing_kid":`, e.SigningKid)
	dst = appendMember(dst, `,"subject":`, e.Subject)
	dst = appendMember(dst, `,"scope":`, e.Scope)
	dst = appendMoment(dst, `,"expires":`, e.Expires)
	dst = appendMember(dst, `,"code":`, e.Code)
	dst = appendMember(dst, `,"rule":`, e.Rule)
	dst = appendMember(dst, `,"expected":`, e.Expected)
	dst = appendMember(dst, `,"found":`, e.Found)
	dst = appendNumber(dst, `,"count":`, e.Count)
	dst = appendMember(dst, `,"actor":`, e.Actor)
	dst = appendMember(dst, `,"action":`, e.Action)
	dst = appendMember(dst, `,"object":`, e.Object)
	dst = appendMember(dst, `,"rows":`, e.Rows)
	dst = appendMoment(dst, `,"newest":`, e.Newest)
	dst = appendNumber(dst, `,"retention":`, e.Retention)
	dst = appendNumber(dst, `,"number":`, e.Number)
	dst = appendMember(dst, `,"previous":`, e.Previous)
	dst = appendNumber(dst, `,"resumed":`, e.Resumed)
	dst = appendMember(dst, `,"heads":`, e.Heads)
	dst = appendMember(dst, `,"registry":`, e.Registry)
	dst = appendMember(dst, `,"signature":`, e.Signature)
	if !hasRFC3339(e.Time) || !hasRFC3339(e.Expires) || !hasRFC3339(e.Newest) {
		return nil, fmt.Errorf("ledger entry: a time outside the years 0 to 9999 has no form in RFC 3339")
	}
	return append(dst, '}'), nil
}

func appendMember(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return appendText(append(dst, name...), value)
}

func appendNumber(dst []byte, name string, value int64) []byte {
	if value == 0 {
		return dst
	}
	return strconv.AppendInt(append(dst, name...), value, 10)
}

// escaped are the bytes that encoding/json may write in another way.
var escaped = func() (set [256]bool) {
	for c := range set {
		set[c] = c < 0x20 || c > 0x7E || strings.ContainsRune(`"\<>&`, rune(c))
	}
	return set
}()

// appendText writes a string as encoding/json does, which searches of the ledger rely on.
func appendText(dst []byte, s string) []byte {
	for i := range len(s) {
		if escaped[s[i]] {
			text, _ := json.Marshal(s) // a string always marshals
			return append(dst, text...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

func appendMoment(dst []byte, name string, t time.Time) []byte {
	if t.IsZero() {
		return dst
	}
	return appendTime(append(dst, name...), t)
}

func appendTime(dst []byte, t time.Time) []byte {
	dst = append(dst, '"')
	dst = t.UTC().AppendFormat(dst, time.RFC3339)
	milli := t.Nanosecond() / int(time.Millisecond)
	dst = append(dst[:len(dst)-len("Z")], '.', byte('0'+milli/100), byte('0'+milli/10%10), byte('0'+milli%10))
	return append(dst, 'Z', '"')
}

func hasRFC3339(t time.Time) bool {
	year := t.UTC().Year()
	return 0 <= year && year <= 9999
}
