package ledger

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// actionPrune is the Action of an anchor. Its Object is an entry and the chain after
// it: "SEQ HASH", the hash in hex.
const actionPrune = "ledger.prune"

// NewAnchor returns the entry that is recorded before the entries of a chain up to last are
// removed. It may be in another chain. A chain that does not begin with its first entry is
// valid only with an anchor.
func NewAnchor(at time.Time, last Head) *Entry {
	return &Entry{Kind: KindAdmin, Time: at, Actor: "moneyer", Action: actionPrune,
		Object: fmt.Sprintf("%s %x", ShowSeq(last.Seq), last.Hash)}
}

// Anchor returns the entry that an anchor names; ok is false if the record holds
// something else.
func (r *Record) Anchor() (last Head, ok bool, err error) {
	if !bytes.HasPrefix(r.Line, []byte(`{"kind":"`+KindAdmin+`"`)) || !bytes.Contains(r.Line, []byte(`"action":"`+actionPrune+`"`)) {
		return Head{}, false, nil
	}
	e, err := r.Entry()
	if err != nil || e.Action != actionPrune {
		return Head{}, false, err
	}
	seqText, hashText, _ := strings.Cut(e.Object, " ")
	seq, err1 := ParseSeq(seqText)
	hash, err2 := hex.DecodeString(hashText)
	if err1 != nil || err2 != nil || len(hash) != len(last.Hash) || PlaceOf(seq) == 0 {
		return Head{}, false, errors.New("it is an anchor that does not name the last pruned entry")
	}
	return Head{Seq: seq, Hash: Hash(hash)}, true, nil
}
