package load

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"moneyer/bench/subject"
)

// Sample is the number of tokens of each round whose signature is verified.
const Sample = 50

// A Judge checks the responses of one exchange across rounds. It must not be used concurrently.
type Judge struct {
	exchange *subject.Exchange
	client   *http.Client
	keys     jose.JSONWebKeySet
	headers  map[string]string // first part of a token -> algorithm
	seed     maphash.Seed
	seen     map[uint64]struct{}
}

// NewJudge returns a judge for the responses of an exchange.
func NewJudge(exchange *subject.Exchange) *Judge {
	return &Judge{exchange: exchange, client: exchange.TLS.Client(10 * time.Second),
		headers: map[string]string{}, seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}}
}

// Round checks the answers of one round. The error describes the first wrong one.
func (j *Judge) Round(ctx context.Context, answers []Answer) error {
	if len(answers) == 0 {
		return errors.New("not one answer")
	}
	for i := range answers {
		if answers[i].Status != http.StatusOK {
			return fmt.Errorf("answer %d of %d has status %d: %s", i+1, len(answers), answers[i].Status, excerpt(answers[i].Body))
		}
	}
	if j.exchange.Alg == "" {
		return j.unsigned(answers)
	}
	before := len(j.seen)
	every := max(1, len(answers)/Sample)
	for i := range answers {
		if err := j.answer(ctx, answers[i].Body, i%every == 0); err != nil {
			return fmt.Errorf("answer %d of %d: %w: %s", i+1, len(answers), err, excerpt(answers[i].Body))
		}
	}
	if j.exchange.Reused && len(answers) > 1 && len(j.seen)-before == len(answers) {
		return errors.New("no token came twice")
	}
	return nil
}

// unsigned checks answers without a token.
func (j *Judge) unsigned(answers []Answer) error {
	if j.exchange.Check == nil {
		return nil
	}
	for i := range answers {
		if err := j.exchange.Check(answers[i].Body); err != nil {
			return fmt.Errorf("answer %d of %d: %w: %s", i+1, len(answers), err, excerpt(answers[i].Body))
		}
	}
	return nil
}

// Answer checks a single answer, including its signature.
func (j *Judge) Answer(ctx context.Context, answer Answer) error {
	return j.Round(ctx, []Answer{answer})
}

func (j *Judge) answer(ctx context.Context, body []byte, verify bool) error {
	token, err := j.exchange.AccessToken(body)
	if err != nil {
		return err
	}
	if err := j.form(token); err != nil {
		return err
	}
	sum := maphash.String(j.seed, token)
	if _, twice := j.seen[sum]; twice && !j.exchange.Reused {
		return errors.New("the token was issued before")
	}
	j.seen[sum] = struct{}{}
	if !verify {
		return nil
	}
	return j.signature(ctx, token)
}

// form checks that the token has three parts of base64url, and the algorithm in the first one.
func (j *Judge) form(token string) error {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return fmt.Errorf("the token has %d parts, a JWT has 3", len(parts))
	}
	for _, part := range parts[1:] {
		if part == "" || strings.IndexFunc(part, notBase64URL) >= 0 {
			return errors.New("a part of the token is not base64url")
		}
	}
	alg, known := j.headers[parts[0]]
	if !known {
		text, err := base64.RawURLEncoding.Strict().DecodeString(parts[0])
		if err != nil {
			return fmt.Errorf("the token's header: %w", err)
		}
		var header struct {
			Alg string `json:"alg"`
		}
		if err := json.Unmarshal(text, &header); err != nil {
			return fmt.Errorf("the token's header: %w", err)
		}
		alg = header.Alg
		j.headers[parts[0]] = alg
	}
	if alg != j.exchange.Alg {
		return fmt.Errorf("the token is signed with %.20q, not with %s", alg, j.exchange.Alg)
	}
	return nil
}

func notBase64URL(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// signature verifies with the published keys, which are fetched again if none matches.
func (j *Judge) signature(ctx context.Context, token string) error {
	parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(j.exchange.Alg)})
	if err != nil {
		return err
	}
	if j.verifies(parsed) {
		return nil
	}
	if err := j.fetch(ctx); err != nil {
		return err
	}
	if !j.verifies(parsed) {
		return errors.New("the token's signature verifies with no published key")
	}
	return nil
}

func (j *Judge) verifies(parsed *jose.JSONWebSignature) bool {
	for _, key := range j.keys.Keys {
		if kid := parsed.Signatures[0].Header.KeyID; kid != "" && key.KeyID != "" && kid != key.KeyID {
			continue
		}
		if _, err := parsed.Verify(key.Key); err == nil {
			return true
		}
	}
	return false
}

func (j *Judge) fetch(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, j.exchange.Keys, http.NoBody)
	if err != nil {
		return err
	}
	response, err := j.client.Do(request)
	if err != nil {
		return fmt.Errorf("the published keys: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the published keys: %s", response.Status)
	}
	var keys jose.JSONWebKeySet
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&keys); err != nil {
		return fmt.Errorf("the published keys: %w", err)
	}
	j.keys = keys
	return nil
}

func excerpt(body []byte) string {
	const most = 400
	if len(body) > most {
		return string(body[:most]) + "..."
	}
	return string(body)
}
