package adminapi

import (
	"bufio"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"

	"moneyer/internal/ledger"
)

// Verified is what verifying the ledger found, as the API shows it.
type Verified struct {
	Whole bool `json:"whole"`
	// First, Last and Head are those of the only chain. Where there are several, see
	// Chains.
	First int64  `json:"first"`
	Last  int64  `json:"last"`
	Head  string `json:"head"`
	// Broken is the first entry that was changed, in the first chain that has one,
	// and How describes the error.
	Broken int64  `json:"broken,omitempty"`
	How    string `json:"how,omitempty"`
	// Checkpoints were found, and their signatures were checked with CheckpointKey,
	// in base64url, unless it is empty.
	Checkpoints int64 `json:"checkpoints"`
	// Unconfirmed is why the whole ledger is not confirmed by checkpoints, although it is
	// not broken.
	Unconfirmed string `json:"unconfirmed,omitempty"`
	// Heads are the ends of all chains of a whole ledger, in the form in which they can be
	// compared later. HeadsCompared is how many that were noted elsewhere were compared.
	Heads         string          `json:"heads,omitempty"`
	HeadsCompared int64           `json:"heads_compared,omitempty"`
	CheckpointKey string          `json:"checkpoint_key,omitempty"`
	Chains        []VerifiedChain `json:"chains"`
}

// VerifiedChain is what was found of one chain.
type VerifiedChain struct {
	Chain int64 `json:"chain"`
	First int64 `json:"first"`
	Last  int64 `json:"last"`
	// Head is the hash of the chain at Last, in hex. Record it elsewhere: a later
	// ledger must contain it.
	Head string `json:"head"`
	// Confirmed is the last entry that a checkpoint names.
	Confirmed int64 `json:"confirmed,omitempty"`
	// Open is how many entries no checkpoint confirms yet, Pruned how many were removed
	// from the start by the retention.
	Open   int64  `json:"open"`
	Pruned int64  `json:"pruned"`
	Broken int64  `json:"broken,omitempty"`
	How    string `json:"how,omitempty"`
}

// ShowVerified shows a report. The signatures were checked with key if r says so.
func ShowVerified(r *ledger.VerifyReport, key ed25519.PublicKey) Verified {
	v := Verified{Whole: r.Broken == 0, First: r.First, Last: r.Last, Broken: r.Broken, How: r.How,
		Checkpoints: r.Checkpoints, Unconfirmed: r.Unconfirmed, HeadsCompared: r.Heads, Chains: []VerifiedChain{}}
	if len(r.Chains) <= 1 {
		v.Head = hex.EncodeToString(r.Head[:])
	}
	if r.Signed {
		v.CheckpointKey = ShowCheckpointKey(key)
	}
	var heads []ledger.Head
	for i := range r.Chains {
		c := &r.Chains[i]
		heads = append(heads, ledger.Head{Seq: c.Last, Hash: c.Head})
		v.Chains = append(v.Chains, VerifiedChain{Chain: c.Chain, First: c.First, Last: c.Last, Head: hex.EncodeToString(c.Head[:]),
			Confirmed: c.Confirmed, Open: c.Open, Pruned: c.Pruned, Broken: c.Broken, How: c.How})
	}
	if v.Whole {
		v.Heads = ledger.FormatHeads(heads)
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
		return nil, fmt.Errorf("a checkpoint key is %d bytes in base64url; %.64q is not", ed25519.PublicKeySize, text)
	}
	return key, nil
}

// EachLine calls visit for each line of a streamed or exported ledger. A line is valid
// until visit returns.
func EachLine(in io.Reader, visit func(line []byte) error) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 64<<10), ledger.MaxRecord)
	for lines.Scan() {
		if err := visit(lines.Bytes()); err != nil {
			return err
		}
	}
	return lines.Err()
}
