package admin

import (
	"bufio"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"

	"moneyer/internal/ledger"
)

// positions takes numbers of entries parted by commas, one for a chain at most.
func positions(to *[]int64) func(string) error {
	return func(s string) error {
		chains := map[int64]bool{}
		for text := range strings.SplitSeq(s, ",") {
			seq, err := ledger.ParseSeq(text)
			if err != nil {
				return invalid("%v", err)
			}
			if chain := ledger.ChainOf(seq); chains[chain] {
				return invalid("want one position for a chain, and there are two for chain %d", chain)
			}
			chains[ledger.ChainOf(seq)] = true
			*to = append(*to, seq)
		}
		return nil
	}
}

// readLedger streams the entries that the query selects, chain after chain. Trouble on the way is
// told by a last line that is a Failure.
func (a *API) readLedger(c *call) error {
	var q ledger.Query
	err := c.query(parameters{
		"after":       positions(&q.After),
		"since":       instant(&q.Since),
		"until":       instant(&q.Until),
		"kind":        word(&q.Kind),
		"issuer":      word(&q.Issuer),
		"client":      word(&q.Client),
		"correlation": word(&q.Correlation),
		"jti":         word(&q.JTI),
		"limit":       number(&q.Limit, 1, math.MaxInt32),
	})
	if err != nil {
		return err
	}
	if err := unhurried(http.NewResponseController(c.w)); err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	out := bufio.NewWriterSize(c.w, 64<<10)
	var line []byte
	err = a.Ledger.Entries(c.r.Context(), q, func(r *ledger.Record) error {
		line = append(r.AppendJSON(line[:0]), '\n')
		_, err := out.Write(line)
		return err
	})
	if err != nil {
		failure := Failure{Code: judge(err).Code, Description: a.told(c, err)}
		_ = json.NewEncoder(out).Encode(failure)
	}
	_ = out.Flush() // who has gone hears nothing
	return nil
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

func (a *API) verifyLedger(c *call) error {
	if err := unhurried(http.NewResponseController(c.w)); err != nil {
		return err
	}
	report, err := a.Verify(c.r.Context())
	if err != nil {
		return err
	}
	return c.reply(ShowVerified(&report, a.CheckpointKey))
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

func (a *API) showCheckpointKey(c *call) error {
	return c.reply(CheckpointKey{Alg: "Ed25519", Key: ShowCheckpointKey(a.CheckpointKey)})
}
