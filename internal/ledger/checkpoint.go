package ledger

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Signer signs a message with the Ed25519 key of checkpoints (RFC 8032).
type Signer = func(message []byte) ([]byte, error)

// Checkpoint is what the writer of a chain states in a checkpoint, under its signature.
type Checkpoint struct {
	// Number counts the checkpoints of the chain from 1 without a gap.
	Number int64
	// Previous is the checkpoint of the chain before this one; zero if this is the first.
	Previous Head
	// Resumed is the last entry that the writer found in the chain when it began to write
	// it. It is 0 if the writer also wrote the previous checkpoint or found no entry. The
	// writer vouches for the entries after it, which it has recorded itself.
	Resumed int64
	// Time is when the heads were read.
	Time time.Time
	// Heads are the ends of all chains, in the order of their chains.
	Heads []Head
	// Registry is the state of the tables of the registry, in one line; empty if it is not
	// stated.
	Registry string
}

// NewCheckpoint returns the entry with a checkpoint, to be recorded in that chain.
func NewCheckpoint(chain int64, c *Checkpoint, sign Signer) (*Entry, error) {
	e := &Entry{Kind: KindCheckpoint, Time: c.Time, Number: c.Number, Resumed: c.Resumed, Heads: FormatHeads(c.Heads), Registry: c.Registry}
	if c.Previous.Seq != 0 {
		e.Previous = FormatHeads([]Head{c.Previous})
	}
	return e, e.Sign(chain, sign)
}

// Sign signs a checkpoint or an anchor that is to be recorded in that chain.
func (e *Entry) Sign(chain int64, sign Signer) error {
	signature, err := sign(e.message(chain))
	if err != nil {
		return fmt.Errorf("signing an entry of the ledger: %w", err)
	}
	e.Signature = base64.RawURLEncoding.EncodeToString(signature)
	return nil
}

// message returns the signed message of a checkpoint or an anchor in that chain.
func (e *Entry) message(chain int64) []byte {
	at, newest := appendTime(nil, e.Time), appendTime(nil, e.Newest)
	if e.Kind != KindCheckpoint {
		return fmt.Appendf(nil, "moneyer prune v1\nchain %d\ntime %s\npruned %s\nnewest %s\nretention %d\ncheckpoint %d\n",
			chain, at[1:len(at)-1], e.Object, newest[1:len(newest)-1], e.Retention, e.Number)
	}
	return fmt.Appendf(nil, "moneyer checkpoint v2\nchain %d\nnumber %d\nprevious %s\nresumed %d\ntime %s\nheads %s\nregistry %s\n",
		chain, e.Number, e.Previous, e.Resumed, at[1:len(at)-1], e.Heads, e.Registry)
}

// signedBy returns an error unless the entry is signed by key for that chain. Without a
// key it only decodes the signature.
func (e *Entry) signedBy(key ed25519.PublicKey, chain int64) error {
	signature, err := base64.RawURLEncoding.Strict().DecodeString(e.Signature)
	if err != nil {
		return fmt.Errorf("its signature is not base64url: %w", err)
	}
	if key != nil && !ed25519.Verify(key, e.message(chain), signature) {
		return errors.New("its signature is not by the checkpoint key")
	}
	return nil
}

// Checkpoint returns what a checkpoint states, or nil if the record is not a checkpoint. It
// verifies the signature with key, unless key is nil.
func (r *Record) Checkpoint(key ed25519.PublicKey) (*Checkpoint, error) {
	if !bytes.HasPrefix(r.Line, []byte(`{"kind":"`+KindCheckpoint+`"`)) {
		return nil, nil
	}
	e, err := r.Entry()
	if err != nil {
		return nil, err
	}
	if err := e.signedBy(key, ChainOf(r.Seq)); err != nil {
		return nil, err
	}
	c := &Checkpoint{Number: e.Number, Resumed: e.Resumed, Time: e.Time, Registry: e.Registry}
	if c.Heads, err = ParseHeads(e.Heads); err != nil {
		return nil, err
	}
	if e.Previous != "" {
		previous, err := ParseHeads(e.Previous)
		if err != nil {
			return nil, fmt.Errorf("the checkpoint before it: %w", err)
		}
		if len(previous) > 1 {
			return nil, errors.New("it names several checkpoints before it")
		}
		c.Previous = previous[0]
	}
	if err := c.check(r.Seq); err != nil {
		return nil, err
	}
	return c, nil
}

// check returns an error if a checkpoint at that entry states what no checkpoint can.
func (c *Checkpoint) check(seq int64) error {
	before := func(other int64) bool { return ChainOf(other) == ChainOf(seq) && PlaceOf(other) > 0 && other < seq }
	switch {
	case c.Number < 1 || (c.Number == 1) != (c.Previous.Seq == 0):
		return errors.New("it is a checkpoint without a number, or one that does not name the checkpoint before it")
	case c.Previous.Seq != 0 && !before(c.Previous.Seq), c.Resumed != 0 && !before(c.Resumed):
		return errors.New("it is a checkpoint that names an entry of its own chain that does not come before it")
	case strings.ContainsAny(c.Registry, "\r\n"):
		return errors.New("the state of the registry is not one line")
	}
	return nil
}

// FormatHeads formats heads as "CHAIN-N:HASH", the hash in hex, in the order of their
// chains and separated by spaces.
func FormatHeads(heads []Head) string {
	var text []byte
	for i := range heads {
		if i > 0 {
			text = append(text, ' ')
		}
		text = fmt.Appendf(text, "%d-%d:%x", ChainOf(heads[i].Seq), PlaceOf(heads[i].Seq), heads[i].Hash)
	}
	return string(text)
}

// ParseHeads parses the output of FormatHeads, and no other form.
func ParseHeads(text string) ([]Head, error) {
	var heads []Head
	for word := range strings.SplitSeq(text, " ") {
		seqText, hashText, _ := strings.Cut(word, ":")
		seq, err := ParseSeq(seqText)
		if err != nil {
			return nil, err
		}
		hash, err := hex.DecodeString(hashText)
		if err != nil || len(hash) != len(Hash{}) {
			return nil, fmt.Errorf("the hash of entry %s is not 32 bytes in hex", ShowSeq(seq))
		}
		if PlaceOf(seq) == 0 || len(heads) > 0 && ChainOf(heads[len(heads)-1].Seq) >= ChainOf(seq) {
			return nil, fmt.Errorf("entry %s is no head, or out of order", ShowSeq(seq))
		}
		heads = append(heads, Head{Seq: seq, Hash: Hash(hash)})
	}
	if FormatHeads(heads) != text {
		return nil, errors.New("the heads are not in the form of a checkpoint")
	}
	return heads, nil
}
