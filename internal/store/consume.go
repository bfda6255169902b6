package store

import (
	"errors"
	"slices"

	"moneyer/internal/ledger"
)

// errSameValue: a caller would consume one value twice, which is a fault of the program.
var errSameValue = errors.New("two of the values to be consumed with one entry are the same")

// distinct returns an error if two of the values are the same.
func distinct(consumed []ledger.Consumed) error {
	for i := range consumed {
		for j := range i {
			if usedKeyOf(&consumed[i]) == usedKeyOf(&consumed[j]) {
				return errSameValue
			}
		}
	}
	return nil
}

// judge decides in the order of the batch which of its appends may consume their
// values, all of them or none, and sets lost on the others. earlier says why a value may
// not be consumed for what happened before the batch; i is its index. It returns what is
// consumed, by key.
func judge(batch []*appending, earlier func(i int, c *ledger.Consumed) (lost, err error)) (map[usedKey]*ledger.Consumed, error) {
	winners := make(map[usedKey]*ledger.Consumed, len(batch))
	for _, a := range batch {
		var err error
		if a.lost, err = a.judge(winners, earlier); err != nil {
			return nil, err
		}
		if a.lost != nil {
			continue
		}
		for i := range a.consumed {
			winners[usedKeyOf(&a.consumed[i])] = &a.consumed[i]
		}
	}
	return winners, nil
}

func (a *appending) judge(winners map[usedKey]*ledger.Consumed, earlier func(int, *ledger.Consumed) (error, error)) (lost, err error) {
	for i := range a.consumed {
		c := &a.consumed[i]
		if winner := winners[usedKeyOf(c)]; winner != nil {
			return &ledger.ReplayedError{Index: i, Sealed: slices.Clone(winner.Sealed)}, nil
		}
		if lost, err := earlier(i, c); lost != nil || err != nil {
			return lost, err
		}
	}
	return nil, nil
}
