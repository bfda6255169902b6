package adminapi

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"moneyer/internal/ledger"
	"strconv"
)

// Record is a line of the ledger as the API streams it.
type Record struct {
	// Seq is the entry's number: chain * 2^40 + its place in the chain, from 1.
	Seq int64 `json:"seq"`
	// Previous and Hash are the chain before and after the entry, in hex: Hash is
	// the SHA-256 of the octets of Previous followed by those of Entry.
	Previous string `json:"previous"`
	Hash     string `json:"hash"`
	// Entry is the canonical line, octet for octet.
	Entry json.RawMessage `json:"entry"`
}

// AppendRecord appends the one line that stands for a record, without a line
// feed. Entry is copied, not encoded anew: its octets are what the chain hashes.
func AppendRecord(dst []byte, r *ledger.Record) []byte {
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendInt(dst, r.Seq, 10)
	dst = append(dst, `,"previous":"`...)
	dst = hex.AppendEncode(dst, r.Previous[:])
	dst = append(dst, `","hash":"`...)
	dst = hex.AppendEncode(dst, r.Hash[:])
	dst = append(dst, `","entry":`...)
	dst = append(dst, r.Line...)
	return append(dst, '}')
}

// ParseRecord reads a line that AppendRecord wrote, and no other spelling of it.
// Whether the record fits the chain is for the caller to see.
func ParseRecord(line []byte) (*ledger.Record, error) {
	var shown Record
	if err := json.Unmarshal(line, &shown); err != nil {
		return nil, fmt.Errorf("not a ledger entry: %w", err)
	}
	r := &ledger.Record{Seq: shown.Seq, Line: shown.Entry}
	if hex.DecodedLen(len(shown.Previous)) != len(r.Previous) || hex.DecodedLen(len(shown.Hash)) != len(r.Hash) {
		return nil, errors.New("not a ledger entry: its hashes are not 32 octets")
	}
	_, err1 := hex.Decode(r.Previous[:], []byte(shown.Previous))
	_, err2 := hex.Decode(r.Hash[:], []byte(shown.Hash))
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("not a ledger entry: %w", err)
	}
	if !bytes.Equal(AppendRecord(nil, r), line) {
		return nil, errors.New("not as the server writes an entry")
	}
	return r, nil
}

// Verified is what verifying the ledger found, as the API shows it.
type Verified struct {
	Whole bool `json:"whole"`
	// First, Last and Head are those of the only chain. Where there are several, see
	// Chains.
	First int64  `json:"first"`
	Last  int64  `json:"last"`
	Head  string `json:"head"`
	// Broken is the first entry that is not as it was recorded, in the first chain
	// that has one, and How in what way.
	Broken int64  `json:"broken,omitempty"`
	How    string `json:"how,omitempty"`
	// Checkpoints were found, and their signatures were checked with CheckpointKey,
	// in base64url, unless it is empty.
	Checkpoints   int64           `json:"checkpoints"`
	CheckpointKey string          `json:"checkpoint_key,omitempty"`
	Chains        []VerifiedChain `json:"chains"`
}

// VerifiedChain is what was found of one chain.
type VerifiedChain struct {
	Chain int64 `json:"chain"`
	First int64 `json:"first"`
	Last  int64 `json:"last"`
	// Head is the chain after Last, in hex. Note it elsewhere: a later ledger must
	// hold it.
	Head string `json:"head"`
	// Confirmed is the last entry that a checkpoint names.
	Confirmed int64  `json:"confirmed,omitempty"`
	Broken    int64  `json:"broken,omitempty"`
	How       string `json:"how,omitempty"`
}

// ShowVerified shows a report. The signatures were checked with key if r says so.
func ShowVerified(r *ledger.VerifyReport, key ed25519.PublicKey) Verified {
	v := Verified{Whole: r.Broken == 0, First: r.First, Last: r.Last, Broken: r.Broken, How: r.How,
		Checkpoints: r.Checkpoints, Chains: []VerifiedChain{}}
	if len(r.Chains) <= 1 {
		v.Head = hex.EncodeToString(r.Head[:])
	}
	if r.Signed {
		v.CheckpointKey = ShowCheckpointKey(key)
	}
	for i := range r.Chains {
		c := &r.Chains[i]
		v.Chains = append(v.Chains, VerifiedChain{Chain: c.Chain, First: c.First, Last: c.Last, Head: hex.EncodeToString(c.Head[:]),
			Confirmed: c.Confirmed, Broken: c.Broken, How: c.How})
	}
	return v
}

// CheckpointKey is the key that checks the signatures of checkpoints.
type CheckpointKey struct {
	// Alg is always Ed25519 (RFC 8032).
	Alg string `json:"alg"`
	// Key is the public half in base64url.
	Key string `json:"key"`
}

// ShowCheckpointKey writes a key in base64url.
func ShowCheckpointKey(key ed25519.PublicKey) string {
	return base64.RawURLEncoding.EncodeToString(key)
}

// ParseCheckpointKey reads a key as ShowCheckpointKey writes it.
func ParseCheckpointKey(text string) (ed25519.PublicKey, error) {
	key, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("a checkpoint key is %d octets in base64url; %.64q is not", ed25519.PublicKeySize, text)
	}
	return key, nil
}

// maxLine bounds a line of the ledger, in bytes.
const maxLine = 1 << 20

// EachLine visits the lines of a ledger that was streamed or exported. A line is good
// until visit returns.
func EachLine(in io.Reader, visit func(line []byte) error) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	for lines.Scan() {
		if err := visit(lines.Bytes()); err != nil {
			return err
		}
	}
	return lines.Err()
}
