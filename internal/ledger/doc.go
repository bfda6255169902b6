// Package ledger is the append-only record of every token minted, every refusal
// and every change: what an entry says, its one canonical line, the hash chain that
// links the lines, the signed checkpoints and the prune anchors, and how a record is
// written in an export. [Verify] is what decides whether a ledger is whole, of a
// store and of an export alike, over a small [Source] that each of them implements.
//
// It stores nothing: internal/store keeps the entries, internal/authority writes
// them. It imports the standard library alone.
package ledger
