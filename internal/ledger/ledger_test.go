package ledger_test

import "time"

// noon is the time of the tests' entries: on a whole second, so that edges are exact.
var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

const clientID = "ACMEGW0001"
