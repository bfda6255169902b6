// Package ledger is the append-only record of every token minted, every refusal
// and every change: what an entry says, its one canonical line, and the hash chain
// that links the lines, so that whoever changes or removes one is found out.
//
// It stores nothing: internal/store keeps the entries, internal/authority writes
// them.
package ledger
