package jose

import (
	"crypto/ed25519"
	"fmt"
	"math/big"
	"slices"
)

// checkEd25519 refuses everything but the canonical encoding of a point of large order on the curve
// (RFC 8032 section 5.1.3). Under a point of small order one signature verifies for many messages.
// The key is public and is checked only once, when it is registered, so the arithmetic need not run
// in constant time.
func checkEd25519(pub ed25519.PublicKey) error {
	if len(pub) != ed25519.PublicKeySize {
		return fmt.Errorf("%w: Ed25519 key of %d bytes, want %d", ErrKey, len(pub), ed25519.PublicKeySize)
	}
	one := big.NewInt(1)
	p := new(big.Int).Lsh(one, 255)
	p.Sub(p, big.NewInt(19))

	encoded := slices.Clone([]byte(pub))
	encoded[31] &= 0x7f // the top bit is the sign of x
	slices.Reverse(encoded)
	y := new(big.Int).SetBytes(encoded)
	if y.Cmp(p) >= 0 {
		return fmt.Errorf("%w: Ed25519 point is not in canonical form", ErrKey)
	}

	// x^2 = (y^2 - 1) / (d y^2 + 1) with d = -121665/121666
	mod := func(n *big.Int) *big.Int { return n.Mod(n, p) }
	d := new(big.Int).ModInverse(big.NewInt(121666), p)
	mod(d.Mul(d, big.NewInt(-121665)))
	y2 := mod(new(big.Int).Mul(y, y))
	over := new(big.Int).Sub(y2, one)
	under := mod(new(big.Int).Add(new(big.Int).Mul(d, y2), one))
	x2 := mod(over.Mul(over, under.ModInverse(under, p)))
	if big.Jacobi(x2, p) < 0 {
		return fmt.Errorf("%w: Ed25519 point is not on the curve", ErrKey)
	}

	// Order 1 and 2 have x = 0, order 4 has y = 0. Doubling a point of order 8
	// gives one of order 4, so y^2 = -x^2 there.
	if x2.Sign() == 0 || y.Sign() == 0 || mod(new(big.Int).Add(x2, y2)).Sign() == 0 {
		return fmt.Errorf("%w: Ed25519 point of small order", ErrWeakKey)
	}
	return nil
}
