package authority

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"
)

// EntryKind tells what a ledger entry records.
type EntryKind string

// The kinds of entries.
const (
	// EntryToken: an access token was minted.
	EntryToken EntryKind = "token"
	// EntryRefusal: a known client was refused.
	EntryRefusal EntryKind = "refusal"
	// EntryRefusals: refusals beyond the recorded rate, counted together.
	EntryRefusals EntryKind = "refusals"
	// EntryAdmin: the registry, a signing key or the ledger itself was changed.
	EntryAdmin EntryKind = "admin"
)

// Entry is one ledger entry. It never holds a secret, an assertion, a token or
// any other thing with which somebody could act.
type Entry struct {
	Kind   EntryKind `json:"kind"`
	Time   time.Time `json:"time"`
	Issuer string    `json:"issuer,omitempty"`
	Client string    `json:"client,omitempty"`
	// Correlation ties the entry to the request and its log lines.
	Correlation string `json:"correlation,omitempty"`

	// Of a token: its jti, what authenticated the client (a kid or a secret's ID),
	// the kid that signed, sub, scope and exp.
	JTI        string    `json:"jti,omitempty"`
	Credential string    `json:"credential,omitempty"`
	SigningKid string    `json:"signing_kid,omitempty"`
	Subject    string    `json:"subject,omitempty"`
	Scope      string    `json:"scope,omitempty"`
	Expires    time.Time `json:"expires,omitzero"`

	// Of a refusal: the error code, the rule that failed, what it wanted and what
	// it found, and how many refusals a counted entry stands for.
	Code     string `json:"code,omitempty"`
	Rule     string `json:"rule,omitempty"`
	Expected string `json:"expected,omitempty"`
	Found    string `json:"found,omitempty"`
	Count    int64  `json:"count,omitempty"`

	// Of an admin change: who did what to which object.
	Actor  string `json:"actor,omitempty"`
	Action string `json:"action,omitempty"`
	Object string `json:"object,omitempty"`
}

// AppendJSON appends the entry's one canonical line, which the chain hashes.
func (e *Entry) AppendJSON(dst []byte) ([]byte, error) {
	line, err := json.Marshal(e)
	return append(dst, line...), err
}

// ChainHash links an entry's canonical line to the hash of the entry before it.
// The first entry's predecessor is the zero hash.
func ChainHash(previous [sha256.Size]byte, line []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write(previous[:])
	h.Write(line)
	return [sha256.Size]byte(h.Sum(nil))
}

// Record is an entry as the ledger keeps it.
type Record struct {
	// Seq counts entries from 1 without a gap.
	Seq int64
	// Line is the canonical line.
	Line []byte
	// Previous and Hash are the chain before and after this entry.
	Previous, Hash [sha256.Size]byte
}

// Entry decodes the record's line.
func (r *Record) Entry() (*Entry, error) {
	e := &Entry{}
	if err := json.Unmarshal(r.Line, e); err != nil {
		return nil, fmt.Errorf("ledger entry %d: %w", r.Seq, err)
	}
	return e, nil
}

// Query selects ledger entries. Zero fields select everything.
type Query struct {
	After        int64 // entries with a greater Seq
	Since, Until time.Time
	Kind         EntryKind
	Issuer       string
	Client       string
	Correlation  string
	JTI          string
	Limit        int // at most so many; 0 means no limit
}

// Matches tells whether the query selects e.
func (q *Query) Matches(e *Entry) bool {
	return (q.Kind == "" || q.Kind == e.Kind) &&
		(q.Issuer == "" || q.Issuer == e.Issuer) &&
		(q.Client == "" || q.Client == e.Client) &&
		(q.Correlation == "" || q.Correlation == e.Correlation) &&
		(q.JTI == "" || q.JTI == e.JTI) &&
		(q.Since.IsZero() || !e.Time.Before(q.Since)) &&
		(q.Until.IsZero() || e.Time.Before(q.Until))
}
