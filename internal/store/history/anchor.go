package history

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"moneyer/internal/ledger"
)

// PruneAction is the Action of the entry that tells what Prune removed of a chain.
// Its Object is the last entry that it removed and the chain after it. It may stand
// in another chain.
const PruneAction = "ledger.prune"

// readAnchor reads the anchor that a record holds, if it holds one.
func readAnchor(r *ledger.Record) (a ledger.Head, ok bool) {
	if !bytes.Contains(r.Line, []byte(`"`+PruneAction+`"`)) {
		return a, false
	}
	e, err := r.Entry()
	if err != nil || e.Kind != ledger.KindAdmin || e.Action != PruneAction {
		return a, false
	}
	seqText, hashText, _ := strings.Cut(e.Object, " ")
	seq, err1 := ledger.ParseSeq(seqText)
	hash, err2 := hex.DecodeString(hashText)
	if err1 != nil || err2 != nil || len(hash) != sha256.Size {
		return a, false
	}
	return ledger.Head{Seq: seq, Hash: [sha256.Size]byte(hash)}, true
}
