package ledger

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// actionPrune is the Action of an anchor. Its Object is an entry and the chain after
// it: "SEQ HASH", the hash in hex.
const actionPrune = "ledger.prune"

// Anchor is what a writer states, under its signature, before it removes the first entries
// of a chain. A chain that does not begin with its first entry is valid only with an anchor.
type Anchor struct {
	// Last is the last entry that is removed. It may be in another chain than the anchor.
	Last Head
	// Newest is a time after which none of the removed entries was made, and Retention how
	// long entries are kept, in whole seconds: the anchor is false if Newest is less than
	// Retention before Time.
	Newest    time.Time
	Retention time.Duration
	// Checkpoint is the number of the first checkpoint of the chain after Last; 1 if the
	// chain has none yet.
	Checkpoint int64
	Time       time.Time
}

// NewAnchor returns the entry with an anchor, to be recorded in that chain.
func NewAnchor(chain int64, a *Anchor, sign Signer) (*Entry, error) {
	if err := a.judge(); err != nil {
		return nil, err
	}
	e := &Entry{Kind: KindAdmin, Time: a.Time, Actor: "moneyer", Action: actionPrune, Object: fmt.Sprintf("%s %x", ShowSeq(a.Last.Seq), a.Last.Hash),
		Newest: a.Newest, Retention: int64(a.Retention / time.Second), Number: a.Checkpoint}
	return e, e.Sign(chain, sign)
}

// clockTolerance is by how much the clocks of replicas may differ where times of entries
// are compared.
const clockTolerance = 5 * time.Minute

// judge returns an error for an anchor that removes what is to be kept.
func (a *Anchor) judge() error {
	if a.Newest.IsZero() || a.Retention < 0 || a.Newest.Add(a.Retention-clockTolerance).After(a.Time) {
		return fmt.Errorf("it is an anchor for the removal of entries up to %s, of which some were younger than the retention of %v", ShowSeq(a.Last.Seq), a.Retention)
	}
	return nil
}

// maxRetention is the longest retention that an anchor can state, so that times stay in the
// range of time.Duration.
const maxRetention = int64(200 * 365 * 24 * time.Hour / time.Second)

// Anchor returns what an anchor states, or nil if the record is not an anchor. It verifies
// the signature with key, unless key is nil.
func (r *Record) Anchor(key ed25519.PublicKey) (*Anchor, error) {
	if !bytes.HasPrefix(r.Line, []byte(`{"kind":"`+KindAdmin+`"`)) || !bytes.Contains(r.Line, []byte(`"action":"`+actionPrune+`"`)) {
		return nil, nil
	}
	e, err := r.Entry()
	if err != nil || e.Action != actionPrune {
		return nil, err
	}
	if err := e.signedBy(key, ChainOf(r.Seq)); err != nil {
		return nil, err
	}
	seqText, hashText, _ := strings.Cut(e.Object, " ")
	seq, err1 := ParseSeq(seqText)
	hash, err2 := hex.DecodeString(hashText)
	if err1 != nil || err2 != nil || len(hash) != len(Hash{}) || PlaceOf(seq) == 0 || e.Number < 1 || e.Retention < 0 || e.Retention > maxRetention {
		return nil, errors.New("it is an anchor that does not name the last pruned entry, or what it was judged by")
	}
	a := &Anchor{Last: Head{Seq: seq, Hash: Hash(hash)}, Newest: e.Newest, Retention: time.Duration(e.Retention) * time.Second,
		Checkpoint: e.Number, Time: e.Time}
	if err := a.judge(); err != nil {
		return nil, err
	}
	return a, nil
}
