// Package ledger defines the append-only record of every token, every refusal and every
// change: the entries, their canonical encoding, the hash chain, the signed checkpoints,
// the prune anchors, and the records of an export. [Verify] verifies a ledger through a
// [Source], which stores and exports implement.
//
// It stores nothing: internal/store keeps the entries, internal/authority writes
// them. It imports the standard library alone.
package ledger
