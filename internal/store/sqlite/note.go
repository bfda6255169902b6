package sqlite

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/history"
)

// Note is the end of the ledger, noted in a file of its own beside the store, by which a
// store that went back is recognized: a file of another day, or without the WAL that
// belonged to it. Who can replace both files by older ones goes unnoticed.
type Note struct {
	// Store is the ID of the store.
	Store string
	// Head is the end of the chain that the file's server writes; its Seq is 0 if the chain
	// has no entry.
	Head ledger.Head
	// Time is when the head was noted.
	Time time.Time
	// Forged means that the note was not written with the key, or was changed or cut. Then
	// nothing else is set.
	Forged bool
}

// NoteSuffix is what the name of a note has after that of its store.
const NoteSuffix = ".head"

// maxNote bounds the size of a note in bytes.
const maxNote = 1024

// noteText is the JSON of a note, its first line. The second is its MAC in hex.
type noteText struct {
	Store string    `json:"store"`
	Entry int64     `json:"entry"`
	Hash  string    `json:"hash"`
	Time  time.Time `json:"time"`
}

func noteMAC(key, text []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(text)
	return mac.Sum(nil)
}

// ReadNote reads the note beside the store at path; nil if there is none. Without a key its
// MAC is not checked.
func ReadNote(path string, key []byte) (*Note, error) {
	info, err := os.Lstat(path + NoteSuffix)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return &Note{Forged: true}, nil
	}
	file, err := os.Open(path + NoteSuffix)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it only reads
	data, err := io.ReadAll(io.LimitReader(file, maxNote+1))
	if err != nil {
		return nil, err
	}
	return parseNote(data, key), nil
}

// parseNote parses the content of a note's file.
func parseNote(data, key []byte) *Note {
	text, sum, _ := strings.Cut(strings.TrimSuffix(string(data), "\n"), "\n")
	mac, err := hex.DecodeString(sum)
	if len(data) > maxNote || err != nil || key != nil && !hmac.Equal(mac, noteMAC(key, []byte(text))) {
		return &Note{Forged: true}
	}
	var t noteText
	err = json.Unmarshal([]byte(text), &t)
	hash, wrong := hex.DecodeString(t.Hash)
	if err != nil || wrong != nil || len(hash) != len(ledger.Hash{}) || t.Entry < 0 {
		return &Note{Forged: true}
	}
	return &Note{Store: t.Store, Head: ledger.Head{Seq: t.Entry, Hash: ledger.Hash(hash)}, Time: t.Time}
}

// WriteNote replaces the note beside the file. The content is on disk before it replaces
// the previous one, so that a power failure leaves one of the two. If root writes it, it
// belongs to the owner of the store, as the files that SQLite makes do: a server that runs as
// another user must read it.
func (s *File) WriteNote(n *Note, key []byte) error {
	text, err := json.Marshal(noteText{n.Store, n.Head.Seq, hex.EncodeToString(n.Head.Hash[:]), n.Time.UTC()})
	if err != nil {
		return err
	}
	path := s.held.path + NoteSuffix
	if err := syscall.Unlink(path + ".new"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// The owner of the folder may have put a link there. Only a new file is written and given away.
	file, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(file, "%s\n%x\n", text, noteMAC(key, text))
	if err := errors.Join(err, s.giveToOwner(file), file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// giveToOwner gives a file that root made to the owner of the store.
func (s *File) giveToOwner(file *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	var store syscall.Stat_t
	if err := syscall.Fstat(s.held.fd, &store); err != nil {
		return err
	}
	return file.Chown(int(store.Uid), int(store.Gid))
}

// Path returns the absolute path of the file.
func (s *File) Path() string { return s.held.path }

// Head returns the last committed end of the chain that this process writes.
func (s *File) Head(ctx context.Context) (ledger.Head, error) {
	if head := s.session.committed.Load(); head != nil {
		return *head, nil
	}
	chains, err := history.Chains(ctx, s.reader)
	if err != nil || len(chains) == 0 || chains[0].Number != 0 {
		return ledger.Head{}, err
	}
	return chains[0].Head, nil
}

// refuseNoted returns an error if a note is beside the file at path, which has no store.
func refuseNoted(path string) error {
	path, err := resolve(path)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(path + NoteSuffix); err == nil {
		return fmt.Errorf("%s belongs to a store that is missing: mount its disk, or restore a backup; for a new store, first remove that file", path+NoteSuffix)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Holds reports whether the chain of the ledger holds an entry that was the last of a commit,
// with the same hash, or did until the entries up to it were removed.
func Holds(ctx context.Context, reads *engine.Reader, head ledger.Head) (holds bool, err error) {
	if head.Seq == 0 {
		return true, nil
	}
	err = reads.Row(ctx, `SELECT count(*) > 0 FROM ledger_batch
		WHERE first_seq = (SELECT max(first_seq) FROM ledger_batch WHERE first_seq <= $1) AND first_seq + count - 1 = $1 AND last = $2
			OR first_seq = $1 + 1 AND previous = $2`,
		[]any{head.Seq, head.Hash[:]}, []any{&holds})
	return holds, err
}

// JudgeNote adds the finding on the note beside a file with that standing; nil if there is none.
func JudgeNote(ctx context.Context, f *engine.Findings, reads *engine.Reader, s *engine.Standing, note *Note) error {
	const what, advice = "noted head", "see moneyer store accept"
	switch {
	case note == nil && s.Newest.IsZero():
		f.Add(what, engine.Good, "none yet, and the ledger is empty", "")
		return nil
	case note == nil:
		f.Add(what, engine.Warn, "there is no note beside the store: it is unknown whether the store went back", "restored backups have none; "+advice)
		return nil
	case note.Forged:
		f.Add(what, engine.Bad, "the note beside the store was written under another master key, or changed", advice)
		return nil
	case note.Store != s.ID:
		f.Add(what, engine.Bad, "the note beside the store is of another store", "put the store back that belongs to it; or "+advice)
		return nil
	}
	holds, err := Holds(ctx, reads, note.Head)
	if err != nil {
		return err
	}
	found := fmt.Sprintf("entry %s of the ledger at %s", ledger.ShowSeq(note.Head.Seq), note.Time.UTC().Format(time.RFC3339))
	if note.Head.Seq == 0 {
		found = "an empty ledger at " + note.Time.UTC().Format(time.RFC3339)
	}
	if holds {
		f.Add(what, engine.Good, found, "")
	} else {
		f.Add(what, engine.Bad, "the store went back: it does not hold "+found, "put the newer store back; or "+advice)
	}
	return nil
}
