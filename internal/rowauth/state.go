package rowauth

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"net/url"
	"strconv"
	"strings"
)

// Name names a row.
type Name struct {
	Kind   Kind
	Issuer string
	// ID within the issuer; empty for signing keys, of which an issuer has one row.
	ID string
}

// String returns the name as KIND/ISSUER/ID, where issuer and ID are escaped as in a URL's
// query. ParseName reads it.
func (n Name) String() string {
	return string(n.Kind) + "/" + url.QueryEscape(n.Issuer) + "/" + url.QueryEscape(n.ID)
}

// ParseName parses the output of Name.String.
func ParseName(text string) (Name, error) {
	kind, rest, _ := strings.Cut(text, "/")
	issuer, id, found := strings.Cut(rest, "/")
	n := Name{Kind: Kind(kind)}
	var err1, err2 error
	n.Issuer, err1 = url.QueryUnescape(issuer)
	n.ID, err2 = url.QueryUnescape(id)
	if err := errors.Join(err1, err2); err != nil || !found || n.String() != text {
		return Name{}, fmt.Errorf("%.64q is not the name of a row", text)
	}
	return n, nil
}

// ShortMAC returns the first half of a MAC in base64url, by which the ledger and State know
// the contents of a row.
func ShortMAC(mac []byte) string {
	return base64.RawURLEncoding.EncodeToString(mac[:min(len(mac), shortMAC)])
}

const shortMAC = 16 // bytes

// State is all rows of a store together: how many changes led to it, and a sum of a keyed
// term for each row, modulo 2^256. A change of a row changes the sum without the other
// rows. Who sees sums of many known rows could find other rows with the same sum, so a
// State is stored sealed, and stated by its MAC.
type State struct {
	Revision int64
	Sum      Sum
}

// Sum is a sum of terms, in words of 64 bits, the lowest first.
type Sum [4]uint64

// Add adds the term of a row with that MAC to the sum; ShortMAC gives mac.
func (k *Key) Add(s *Sum, n Name, mac string) {
	term, carry := k.termOf(n, mac), uint64(0)
	for i := range s {
		s[i], carry = bits.Add64(s[i], term[i], carry)
	}
}

// Remove subtracts the term of a row with that MAC from the sum.
func (k *Key) Remove(s *Sum, n Name, mac string) {
	term, borrow := k.termOf(n, mac), uint64(0)
	for i := range s {
		s[i], borrow = bits.Sub64(s[i], term[i], borrow)
	}
}

func (k *Key) termOf(n Name, mac string) (term Sum) {
	digest := sum(k.term, Fields(string(n.Kind), n.Issuer, n.ID, mac))
	for i := range term {
		term[i] = binary.LittleEndian.Uint64(digest[8*i:])
	}
	return term
}

func (s *State) bytes() []byte {
	dst := binary.BigEndian.AppendUint64(nil, uint64(s.Revision)) //nolint:gosec // the bits alone matter
	for _, word := range s.Sum {
		dst = binary.BigEndian.AppendUint64(dst, word)
	}
	return dst
}

// Seal encrypts and authenticates a state (AES-256-GCM).
func (k *Key) Seal(s *State) []byte { return k.state.Seal(nil, nil, s.bytes(), nil) }

// Open opens a sealed state.
func (k *Key) Open(sealed []byte) (State, error) {
	text, err := k.state.Open(nil, nil, sealed, nil)
	s := State{}
	if err != nil || len(text) != 8+8*len(s.Sum) {
		return s, errors.New("the state of the registry does not verify under the master key")
	}
	s.Revision = int64(binary.BigEndian.Uint64(text)) //nolint:gosec // as it was sealed
	for i := range s.Sum {
		s.Sum[i] = binary.BigEndian.Uint64(text[8+8*i:])
	}
	return s, nil
}

// Statement returns the state in the form that ledger entries have: the revision, a MAC of
// the state, and a MAC of these two, by which StatedRevision recognizes it.
func (k *Key) Statement(s *State) string {
	text := fmt.Sprintf("%d:%s", s.Revision, ShortMAC(sum(k.statement, s.bytes())))
	return text + ":" + k.proofOf(text)
}

// proofOf returns the MAC of the rest of a statement. It is of a longer message than that of
// a state.
func (k *Key) proofOf(text string) string {
	return ShortMAC(sum(k.statement, Fields("statement", text)))
}

// StatedRevision returns the revision that a Statement of this key gives. Who writes entries
// of the ledger without the key could otherwise state one that no change can follow.
func (k *Key) StatedRevision(statement string) (int64, error) {
	end := max(strings.LastIndexByte(statement, ':'), 0)
	text, proof := statement[:end], strings.TrimPrefix(statement[end:], ":")
	number, _, found := strings.Cut(text, ":")
	revision, err := strconv.ParseInt(number, 10, 64)
	if err != nil || !found || revision <= 0 || !hmac.Equal([]byte(proof), []byte(k.proofOf(text))) {
		return 0, fmt.Errorf("%.64q states no revision of the registry", statement)
	}
	return revision, nil
}
