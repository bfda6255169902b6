package limit

import (
	"cmp"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
)

// publication is what a replica tells the others: what its busiest keys took in
// each of the last beats.
//
// Packed it is a version, the run in 8 octets, the number of the newest beat, how
// many beats there are, how many keys, and for each key in ascending order its two
// names behind their lengths and its events in each beat, the newest first. Numbers
// are unsigned varints in their shortest form: there is one way to pack anything.
type publication struct {
	run, beat uint64
	beats     []map[names]int64 // the newest first
}

const (
	packedVersion = 1
	// keptBeats is how many beats a publication tells: who misses one less loses
	// nothing.
	keptBeats = 8
	// mostTold bounds the keys of one beat, and mostNames the octets of their names.
	mostTold, mostNames = 256, 8 << 10
	// maxName bounds one name, maxEvents what one key took in a beat, and maxPacked a
	// publication.
	maxName, maxEvents, maxPacked = 4 << 10, 1 << 40, 256 << 10
)

var errNoPublication = errors.New("not a publication of a replica")

func pack(p *publication) []byte {
	all := map[names]bool{}
	for _, beat := range p.beats {
		for k := range beat {
			all[k] = true
		}
	}
	b := binary.BigEndian.AppendUint64([]byte{packedVersion}, p.run)
	b = binary.AppendUvarint(b, p.beat)
	b = binary.AppendUvarint(b, uint64(len(p.beats)))
	b = binary.AppendUvarint(b, uint64(len(all)))
	for _, k := range slices.SortedFunc(maps.Keys(all), compareNames) {
		for _, name := range []string{k.Issuer, k.Client} {
			b = binary.AppendUvarint(b, uint64(len(name)))
			b = append(b, name...)
		}
		for _, beat := range p.beats {
			b = binary.AppendUvarint(b, uint64(min(max(beat[k], 0), maxEvents)))
		}
	}
	return b
}

func compareNames(a, b names) int {
	return cmp.Or(cmp.Compare(a.Issuer, b.Issuer), cmp.Compare(a.Client, b.Client))
}

// unpack takes nothing but what pack makes, and no more of it than fits the bounds.
func unpack(packed []byte) (*publication, error) {
	const header = 1 + 8
	if len(packed) < header || len(packed) > maxPacked || packed[0] != packedVersion {
		return nil, errNoPublication
	}
	p := &publication{run: binary.BigEndian.Uint64(packed[1:])}
	r := &reader{rest: packed[header:]}
	p.beat = r.number(1<<63 - 1)
	p.beats = make([]map[names]int64, r.number(keptBeats))
	for i := range p.beats {
		p.beats[i] = map[names]int64{}
	}
	last := names{}
	for n := r.number(keptBeats * mostTold); n > 0 && !r.bad; n-- {
		k := names{r.name(), r.name()}
		r.bad = r.bad || compareNames(last, k) >= 0
		last = k
		told := false
		for _, beat := range p.beats {
			if events := r.number(maxEvents); events > 0 {
				beat[k], told = int64(events), true
			}
		}
		r.bad = r.bad || !told
	}
	if r.bad || len(r.rest) > 0 || len(p.beats) == 0 || uint64(len(p.beats)) > p.beat {
		return nil, errNoPublication
	}
	return p, nil
}

// reader takes parts off the front, until one is bad.
type reader struct {
	rest []byte
	bad  bool
}

// number of at most so much, in its shortest form.
func (r *reader) number(most uint64) uint64 {
	n, size := binary.Uvarint(r.rest)
	if r.bad || size <= 0 || size > 1 && r.rest[size-1] == 0 || n > most {
		r.bad = true
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) name() string {
	n := r.number(maxName)
	if r.bad || n > uint64(len(r.rest)) {
		r.bad = true
		return ""
	}
	name := string(r.rest[:n])
	r.rest = r.rest[n:]
	return name
}
