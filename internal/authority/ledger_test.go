package authority_test

import (
	"moneyer/internal/ledger"
	"testing"
)

// The ledger finds an entry by any text, whatever its characters.
func TestTheLedgerFindsWhatWasWritten(t *testing.T) {
	h := newSQLiteFixture(t, "thales-d1")
	for _, correlation := range []string{"plain", "a<b>&c", `quote"back\`, "tab\t", "é\u2028"} {
		req := grantRequest(h.assertion())
		req.Correlation = correlation
		token := h.gets(t, req)
		found := ""
		err := h.db.Entries(t.Context(), ledger.Query{Correlation: correlation, JTI: token.JTI}, func(r *ledger.Record) error {
			e, err := r.Entry()
			found += e.JTI
			return err
		})
		if err != nil || found != token.JTI {
			t.Errorf("%q: found %q, %v", correlation, found, err)
		}
	}
}
