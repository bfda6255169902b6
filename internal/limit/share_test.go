package limit

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"time"
)

type client struct{ Issuer, Client string }

var shop = client{"d1", "shop"}

// replica of a cluster that is played through in steps of a millisecond.
type replica struct {
	limiter   *Limiter[client]
	share     *Share
	published []byte
	next      time.Duration // when its next beat is
	dead      bool
}

// cluster of replicas with one clock.
type cluster struct {
	t        testing.TB
	rate     Rate
	replicas []*replica
	at       time.Duration
	chance   *rand.Rand
	// delay is how much later than 250 ms after the last each beat may come. Of lost
	// publications one gets lost, if lost is not 0.
	delay time.Duration
	lost  int
	beats int
	// granted in each millisecond, by all and by each replica.
	granted []int
	each    []int
	owed    []float64 // asks that are due at each, in parts
}

const beatEvery = 250 * time.Millisecond

func newCluster(t testing.TB, n int, rate Rate) *cluster {
	c := &cluster{t: t, rate: rate, chance: rand.New(rand.NewPCG(1, 2)), each: make([]int, n), owed: make([]float64, n)}
	for i := range n {
		r := &replica{limiter: New[client](rate, 1000), next: time.Duration(i) * 83 * time.Millisecond}
		r.share = NewShare(r.limiter, func() time.Time { return noon.Add(c.at) })
		c.replicas = append(c.replicas, r)
	}
	return c
}

// beat of a replica: it publishes and hears the others.
func (c *cluster) beat(i int) {
	r := c.replicas[i]
	published := r.share.Beat()
	if c.beats++; c.lost == 0 || c.beats%c.lost != 0 {
		r.published = published
	}
	for j, other := range c.replicas {
		if j != i && other.published != nil {
			r.share.Heard(fmt.Sprint(j), other.published)
		}
	}
	r.next = c.at + beatEvery
	if c.delay > 0 {
		r.next += time.Duration(c.chance.Int64N(int64(c.delay)))
	}
}

// run plays for a time, in which the client asks each replica so often for each
// event that its rate allows.
func (c *cluster) run(d time.Duration, asks ...float64) {
	for end := c.at + d; c.at < end; c.at += time.Millisecond {
		granted := 0
		for i, r := range c.replicas {
			if r.dead {
				continue
			}
			if c.at >= r.next {
				c.beat(i)
			}
			for c.owed[i] += asks[i] * c.rate.PerSecond / 1000; c.owed[i] >= 1; c.owed[i]-- {
				if _, ok := r.limiter.Take(shop, noon.Add(c.at)); ok {
					granted++
					c.each[i]++
				}
			}
		}
		c.granted = append(c.granted, granted)
	}
}

// extremes are the least and the most that were granted in any window of a length,
// from a time on, in parts of what the rate gives.
func (c *cluster) extremes(from, window time.Duration) (least, most float64) {
	n, w := int(from/time.Millisecond), int(window/time.Millisecond)
	sum := 0
	least = 1e9
	for i := n; i < len(c.granted); i++ {
		sum += c.granted[i]
		if i >= n+w {
			sum -= c.granted[i-w]
		}
		if i >= n+w-1 {
			part := float64(sum) / (c.rate.PerSecond * window.Seconds())
			least, most = min(least, part), max(most, part)
		}
	}
	return least, most
}

// bound is what the comment of Share says of a window, in parts of what the rate
// gives in it.
func (c *cluster) bound(window, heard time.Duration) float64 {
	n, rate := float64(len(c.replicas)), c.rate.PerSecond
	burst := max(float64(c.rate.Burst), rate*leastSlack.Seconds()) + 1 // an event may be counted at the window's edge
	most := rate*(window.Seconds()+mostAhead.Seconds()) + burst + (n-1)*(burst+rate*heard.Seconds()) + (n-1)*rate*window.Seconds()*smallest
	return most / (rate * window.Seconds())
}

// TestShare plays forty seconds of a client that asks three replicas for more than its
// rate, or for nine tenths of it: it is given its rate, or what it asks for.
func TestShare(t *testing.T) {
	rates := []Rate{{100, 200}, {100, 1}, {20, 20}}
	for _, load := range []struct {
		name  string
		asks  []float64
		least float64
	}{
		{"all on one", []float64{2, 0, 0}, 0.99},
		{"even", []float64{2, 2, 2}, 0.9},
		{"two of three", []float64{1, 3, 0}, 0.9},
		{"uneven", []float64{3, 0.5, 0.02}, 0.9},
		{"below the rate", []float64{0.3, 0.3, 0.3}, 0.86},
		{"below the rate, on one", []float64{0.9, 0, 0}, 0.89},
	} {
		for _, trouble := range []struct {
			name  string
			delay time.Duration
			lost  int
			heard time.Duration // the longest until an event is heard
		}{
			{"none", 0, 0, 2 * beatEvery},
			{"beats get lost", 0, 3, 3 * beatEvery},
			{"beats are late and get lost", time.Second, 5, 3 * (beatEvery + time.Second)},
		} {
			for _, rate := range rates {
				t.Run(fmt.Sprintf("%s/trouble %s/%v", load.name, trouble.name, rate), func(t *testing.T) {
					c := newCluster(t, 3, rate)
					c.delay, c.lost = trouble.delay, trouble.lost
					c.run(40*time.Second, load.asks...)
					after := 5*time.Second + time.Duration(3*float64(rate.Burst)/rate.PerSecond)*time.Second // the burst, and what it costs
					if least, most := c.extremes(after, 10*time.Second); least < load.least || most > 1.1 {
						t.Errorf("within 10 s %.3f to %.3f of the rate", least, most)
					}
					for _, window := range []time.Duration{time.Second, 3 * time.Second, 20 * time.Second} {
						_, most := c.extremes(0, window)
						if bound := c.bound(window, trouble.heard); most > bound {
							t.Errorf("within %v %.3f of the rate, the bound is %.3f", window, most, bound)
						}
					}
				})
			}
		}
	}
}

// TestShareOfMany: a cluster of eight gives the rate, too.
func TestShareOfMany(t *testing.T) {
	c := newCluster(t, 8, Rate{500, 1000})
	c.run(40*time.Second, 2, 2, 2, 2, 2, 2, 2, 2)
	if least, most := c.extremes(25*time.Second, 10*time.Second); least < 0.95 || most > 1.05 {
		t.Errorf("%.3f to %.3f of the rate", least, most)
	}
}

// TestShareAlone: where nobody is heard each replica would give the rate for
// itself: what the other tests find is the Share's doing.
func TestShareAlone(t *testing.T) {
	c := newCluster(t, 3, Rate{500, 1000})
	for _, r := range c.replicas {
		r.next = time.Hour
	}
	c.run(20*time.Second, 2, 2, 2)
	if least, _ := c.extremes(5*time.Second, 10*time.Second); least < 2.99 {
		t.Errorf("%.3f of the rate", least)
	}
}

// TestShareMoves: a client that goes from one replica to another is given its rate
// there, and so is one whose replica died.
func TestShareMoves(t *testing.T) {
	for name, dies := range map[string]bool{"moves": false, "its replica dies": true} {
		c := newCluster(t, 3, Rate{500, 1000})
		c.run(20*time.Second, 2, 0, 0)
		c.replicas[0].dead = dies // what it published last stays to be heard
		moved := c.at
		c.run(20*time.Second, 0, 2, 0)
		if least, most := c.extremes(moved, 10*time.Second); least < 0.9 || most > 1.1 {
			t.Errorf("%s: %.3f to %.3f of the rate", name, least, most)
		}
		if least, _ := c.extremes(moved+4*time.Second, time.Second); least < 0.99 {
			t.Errorf("%s: 4 s later %.3f of the rate", name, least)
		}
	}
}

// TestShareOneOfThreeDies: the two that are left give the whole rate.
func TestShareOneOfThreeDies(t *testing.T) {
	c := newCluster(t, 3, Rate{500, 1000})
	c.run(20*time.Second, 2, 2, 2)
	c.replicas[2].dead = true
	died := c.at
	c.run(20*time.Second, 2, 2, 2)
	if least, most := c.extremes(died, 10*time.Second); least < 0.9 || most > 1.1 {
		t.Errorf("%.3f to %.3f of the rate", least, most)
	}
}

// TestSharePaidBack: a burst at each replica at once is more than was allowed, and
// what was too much is not given afterwards.
func TestSharePaidBack(t *testing.T) {
	c := newCluster(t, 3, Rate{100, 200})
	c.run(200*time.Millisecond, 100, 100, 100)
	c.run(20*time.Second, 2, 2, 2)
	sum := 0
	for _, n := range c.granted {
		sum += n
	}
	if c.each[0] < 200 || c.each[1] < 200 || c.each[2] < 200 || sum > 200+2020+10 {
		t.Errorf("%d in all, %v at each: want a burst at each, and 200 and 100 a second in all", sum, c.each)
	}
}

// pair is a replica and one that hears it.
func pair(rate Rate) (here, there *Limiter[client], told, hears *Share) {
	now := func() time.Time { return noon }
	here, there = New[client](rate, 1000), New[client](rate, 1000)
	return here, there, NewShare(here, now), NewShare(there, now)
}

// left is what a key is still given, but for tolls.
func left(l *Limiter[client], k client) int {
	ahead := max(l.of(k).due[k].Sub(noon), 0)
	return int((l.slack - ahead + l.interval) / l.interval)
}

// TestHeardOnce: each beat is charged once, whichever publications come, how often,
// and in which order.
func TestHeardOnce(t *testing.T) {
	publish := func(beats int) (all [][]byte) {
		here, _, told, _ := pair(Rate{1, 1000})
		for range beats {
			for range 10 {
				here.Take(shop, noon)
			}
			all = append(all, told.Beat())
		}
		return all
	}
	for name, row := range map[string]struct {
		beats int
		hears []int
		left  int
	}{
		"nothing":                   {1, nil, 1000},
		"one":                       {1, []int{0}, 990},
		"each":                      {5, []int{0, 1, 2, 3, 4}, 950},
		"each, again and again":     {3, []int{0, 0, 1, 1, 1, 2, 2, 2}, 970},
		"one that comes too late":   {3, []int{2, 0, 1, 2}, 970},
		"the last, of seven missed": {8, []int{0, 7}, 920},
		"the first, late":           {8, []int{7}, 920},
		"more missed than is told":  {20, []int{0, 19}, 1000 - 10 - 80},
	} {
		published := publish(row.beats)
		_, there, _, hears := pair(Rate{1, 1000})
		for _, i := range row.hears {
			hears.Heard("b", published[i])
		}
		if n := left(there, shop); n != row.left {
			t.Errorf("%s: %d are left, want %d", name, n, row.left)
		}
	}
	_, there, _, hears := pair(Rate{1, 1000})
	for _, run := range [][][]byte{publish(3), publish(2)} { // it was started anew
		hears.Heard("b", run[len(run)-1])
	}
	hears.Heard("c", publish(1)[0])
	if n := left(there, shop); n != 1000-30-20-10 {
		t.Errorf("two runs and another replica: %d are left", n)
	}
	here, _, told, _ := pair(Rate{1, 1000})
	here.Take(shop, noon)
	told.Heard("itself", told.Beat())
	if n := left(here, shop); n != 999 {
		t.Errorf("a replica that hears itself: %d are left", n)
	}
}

// TestHeardGarbage: what is no publication harms nobody.
func TestHeardGarbage(t *testing.T) {
	here, there, told, hears := pair(Rate{1, 100})
	here.Take(shop, noon)
	good := told.Beat()
	for n := range good {
		hears.Heard("b", good[:n])
	}
	hears.Heard("b", append(good[:len(good):len(good)], 0))
	hears.Heard("b", append([]byte{packedVersion + 1}, good[1:]...))
	hears.Heard("b", nil)
	if n := left(there, shop); n != 100 {
		t.Errorf("%d are left", n)
	}
	huge := pack(&publication{run: 1, beat: 1, beats: []map[names]int64{{names(shop): 1 << 62}}})
	other := client{"d1", "other"}
	hears.Heard("b", huge)
	if wait, ok := there.Take(shop, noon); ok || wait > time.Minute+101*time.Second {
		t.Errorf("after more than any replica lets through: %v, wait %v", ok, wait)
	}
	if n := left(there, other); n != 100 {
		t.Errorf("another has %d left", n)
	}
	for i := range 10 * mostPeers {
		hears.Heard(fmt.Sprint(i), pack(&publication{run: uint64(i) + 2, beat: 1, beats: []map[names]int64{{}}}))
	}
	if len(hears.peers) > mostPeers {
		t.Errorf("%d replicas are remembered", len(hears.peers))
	}
}

// TestPeersForgotten: a replica that is gone is forgotten in the end, and not one
// that tells nothing new.
func TestPeersForgotten(t *testing.T) {
	now := noon
	s := NewShare(New[client](Rate{1, 1}, 1000), func() time.Time { return now })
	published := func(run uint64) []byte {
		return pack(&publication{run: run, beat: 1, beats: []map[names]int64{{}}})
	}
	s.Heard("gone", published(1))
	s.Heard("silent", published(2))
	if n := s.replicas(now); n != 3 {
		t.Errorf("%d replicas", n)
	}
	for range 10 {
		now = now.Add(forgotten / 8)
		s.Heard("silent", published(2))
		s.Beat()
	}
	if s.peers["gone"] != nil || s.peers["silent"] == nil || s.replicas(now) != 1 {
		t.Errorf("remembered are %v, %d replicas", s.peers, s.replicas(now))
	}
}

// TestTold: the busiest are told, within the bounds, and what is left out another
// time; what is little is not told where the schedule is level.
func TestTold(t *testing.T) {
	now := noon
	l := New[client](Rate{1000, 1000}, 100_000)
	s := NewShare(l, func() time.Time { return now })
	take := func(key client, n int) {
		for range n {
			l.Take(key, now)
		}
	}
	latest := func() map[names]int64 {
		p, err := unpack(s.Beat())
		if err != nil {
			t.Fatal(err)
		}
		return p.beats[0]
	}
	for i := range 2 * mostTold {
		take(client{"d1", fmt.Sprint(i)}, 10+i)
	}
	take(client{"d1", "little"}, 9) // of 10, a hundredth of a second's rate
	first, second := latest(), latest()
	if len(first) != mostTold || len(second) != mostTold || first[names{"d1", "511"}] != 521 || second[names{"d1", "0"}] != 10 {
		t.Errorf("told are %d and %d, the busiest %d, the last %d", len(first), len(second), first[names{"d1", "511"}], second[names{"d1", "0"}])
	}
	take(client{"d1", "little"}, 1)
	if third := latest(); len(third) != 1 || third[names{"d1", "little"}] != 10 {
		t.Errorf("in the third beat %v", third)
	}
	for range 4 * epoch { // eight in each epoch, and level in between
		take(client{"d1", "little"}, 2)
		now = now.Add(beatEvery)
		if told := latest(); len(told) > 0 {
			t.Errorf("of a small use it was told %v", told)
		}
	}
	for i := range 20 { // names of a kilobyte
		take(client{"d1", fmt.Sprintf("%01000d", i)}, 10)
	}
	if told := latest(); len(told) != 8 {
		t.Errorf("%d long names in one beat", len(told))
	}
	now = now.Add(quiet + time.Second)
	for range 4 {
		latest()
	}
	now = now.Add(quiet + time.Second)
	latest()
	for i := range l.shard {
		if n := len(l.shard[i].busy); n > 0 {
			t.Errorf("of %d keys tallies are kept", n)
		}
	}
}

// TestShareBounded: tallies are bounded as keys are, and Return is not told.
func TestShareBounded(t *testing.T) {
	l := New[client](Rate{1, 10}, 640)
	NewShare(l, func() time.Time { return noon })
	for i := range 10_000 {
		l.Take(client{"d1", fmt.Sprint(i)}, noon)
	}
	for i := range 10_000 {
		l.spent(client{"d2", fmt.Sprint(i)}, 1, 3, noon)
	}
	n := 0
	for i := range l.shard {
		n += len(l.shard[i].busy)
	}
	if n > 640 {
		t.Errorf("%d tallies", n)
	}
	l = New[client](Rate{1, 10}, 640)
	s := NewShare(l, func() time.Time { return noon })
	l.Take(shop, noon)
	l.Take(shop, noon)
	l.Return(shop)
	if p, err := unpack(s.Beat()); err != nil || p.beats[0][names(shop)] != 1 {
		t.Errorf("told is %+v, %v", p, err)
	}
	l.Return(shop)
	if p, err := unpack(s.Beat()); err != nil || len(p.beats[0]) != 0 {
		t.Errorf("told is %+v, %v", p, err)
	}
}

// TestNoShare: whoever is alone pays for nothing, and without a rate there is
// nothing to tell.
func TestNoShare(t *testing.T) {
	var none *Share
	none.Heard("b", []byte("x"))
	if none.Beat() != nil {
		t.Error("no Share publishes")
	}
	l := New[client](Rate{1, 10}, 1000)
	l.Take(shop, noon)
	l.spent(shop, 5, 2, noon)
	for i := range l.shard {
		if l.shard[i].busy != nil {
			t.Fatal("it is counted for nobody")
		}
	}
	if n := left(l, shop); n != 9 {
		t.Errorf("%d are left", n)
	}
	_, free, told, hears := pair(Rate{})
	free.Take(shop, noon)
	hears.Heard("b", told.Beat())
	if p, err := unpack(hears.Beat()); err != nil || len(p.beats[0]) != 0 {
		t.Errorf("without a rate it tells %+v, %v", p, err)
	}
}

// TestShareTogether: beats come while requests do.
func TestShareTogether(t *testing.T) {
	const each = 2000
	here, there, told, hears := pair(Rate{1, 100_000})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range each {
				here.Take(shop, noon)
			}
		})
	}
	for range 100 {
		hears.Heard("b", told.Beat())
		told.Heard("c", hears.Beat())
	}
	wg.Wait()
	hears.Heard("b", told.Beat())
	if n := left(there, shop); n != 100_000-4*each {
		t.Errorf("%d are left, want %d", n, 100_000-4*each)
	}
}

// FuzzUnpack: whatever comes is refused or is what pack makes of it.
func FuzzUnpack(f *testing.F) {
	f.Add([]byte{})
	f.Add(pack(&publication{run: 1, beat: 1, beats: []map[names]int64{{}}}))
	f.Add(pack(&publication{run: 1 << 63, beat: 300, beats: []map[names]int64{
		{{"d1", "shop"}: 5, {"d2", ""}: 1 << 40}, {}, {{"d1", "other"}: 200, {"d1", "shop"}: 1},
	}}))
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00\x01\x81\x00\x01\x00"))
	f.Fuzz(func(t *testing.T, packed []byte) {
		p, err := unpack(packed)
		if err != nil {
			return
		}
		if again := pack(p); !bytes.Equal(again, packed) {
			t.Errorf("%x is unpacked, and packed as %x", packed, again)
		}
		l := New[client](Rate{1e9, 1}, 100)
		NewShare(l, func() time.Time { return noon }).Heard("b", packed)
	})
}

// TestLongestPublication: the fullest that a replica makes is one that others take.
func TestLongestPublication(t *testing.T) {
	p := &publication{run: 1<<64 - 1, beat: 1<<63 - 1}
	for beat := range keptBeats {
		told := map[names]int64{}
		for i := range mostTold {
			told[names{fmt.Sprintf("%016d", beat), fmt.Sprintf("%016d", i)}] = maxEvents
		}
		p.beats = append(p.beats, told)
	}
	again, err := unpack(pack(p))
	if err != nil || !reflect.DeepEqual(again, p) {
		t.Errorf("%d octets: %v", len(pack(p)), err)
	}
}
