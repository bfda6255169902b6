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

// NewCheckpoint returns the entry with the signed heads, to be recorded in that chain.
func NewCheckpoint(chain int64, at time.Time, heads []Head, sign func(message []byte) ([]byte, error)) (*Entry, error) {
	e := &Entry{Kind: KindCheckpoint, Time: at, Heads: FormatHeads(heads)}
	return e, e.Sign(chain, sign)
}

// Sign signs a checkpoint that is to be recorded in that chain.
func (e *Entry) Sign(chain int64, sign func(message []byte) ([]byte, error)) error {
	signature, err := sign(e.checkpointMessage(chain))
	if err != nil {
		return fmt.Errorf("signing a checkpoint: %w", err)
	}
	e.Signature = base64.RawURLEncoding.EncodeToString(signature)
	return nil
}

// checkpointMessage returns the signed message of a checkpoint in that chain.
func (e *Entry) checkpointMessage(chain int64) []byte {
	at := appendTime(nil, e.Time)
	return fmt.Appendf(nil, "moneyer checkpoint v1\nchain %d\ntime %s\nheads %s\n", chain, at[1:len(at)-1], e.Heads)
}

// Checkpoint returns the heads that a checkpoint names, or nil if the record is not a
// checkpoint. It verifies the signature with key, unless key is nil.
func (r *Record) Checkpoint(key ed25519.PublicKey) ([]Head, error) {
	if !bytes.HasPrefix(r.Line, []byte(`{"kind":"`+KindCheckpoint+`"`)) {
		return nil, nil
	}
	e, err := r.Entry()
	if err != nil {
		return nil, err
	}
	signature, err := base64.RawURLEncoding.Strict().DecodeString(e.Signature)
	if err != nil {
		return nil, fmt.Errorf("its signature is not base64url: %w", err)
	}
	if key != nil && !ed25519.Verify(key, e.checkpointMessage(ChainOf(r.Seq)), signature) {
		return nil, errors.New("its signature is not by the checkpoint key")
	}
	return ParseHeads(e.Heads)
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
