package authority_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/ledger"
	"moneyer/internal/overload"
	"moneyer/internal/registry"
)

// weighing is a ledger that counts entries and their bytes before compression, by kind.
type weighing struct {
	noLedger
	entries, bytes map[ledger.Kind]int
	seen           map[string]int // refusals by their correlation
}

func (w *weighing) Append(_ context.Context, e *ledger.Entry, _ ...ledger.Consumed) error {
	line, err := e.AppendJSON(nil)
	w.entries[e.Kind]++
	w.bytes[e.Kind] += len(line)
	w.seen[e.Correlation]++
	return err
}

// TestADayOfAttackIsBounded is a sixth of a day in which strangers are refused four times a
// second, from one address or from many, each with the longest entry that one can cause. After the
// burst every hour is like the one before, so a day has six times as much. It is what
// docs/operations.md and SECURITY.md say of the ledger's growth.
func TestADayOfAttackIsBounded(t *testing.T) {
	const perSecond, parts, part = 4, 6, 24 * time.Hour / 6
	rate := overload.Default().Refusals
	long := ledger.Entry{Kind: ledger.KindRefusal, Issuer: strings.Repeat("i", 40), Client: strings.Repeat("c", 256), Correlation: strings.Repeat("x", 64),
		Code: "invalid_client", Rule: "client authentication", Expected: strings.Repeat("e", 200), Found: registry.Excerpt(strings.Repeat("\x01", 200))}
	for name, addresses := range map[string]int{"one address": 1, "many addresses": 50_000} {
		w := &weighing{entries: map[ledger.Kind]int{}, bytes: map[ledger.Kind]int{}, seen: map[string]int{}}
		r := authority.NewRefusals(w, rate)
		sent := 0
		for at := time.Duration(0); at < part; at += time.Second {
			for range perSecond {
				e := long
				e.Time = noon.Add(at)
				r.Record(t.Context(), &e, "", addressOf(sent%addresses))
				sent++
			}
			if at%(10*time.Second) == 0 {
				if err := r.Flush(t.Context(), noon.Add(at)); err != nil {
					t.Fatal(err)
				}
			}
			if at%(10*time.Minute) == 0 { // a partner's engineer with a wrong key
				e := ledger.Entry{Kind: ledger.KindRefusal, Time: noon.Add(at), Issuer: long.Issuer, Client: clientID, Correlation: "engineer"}
				r.Record(t.Context(), &e, "", ownersAddress)
			}
		}
		if most := int(part.Seconds()*rate.PerSecond) + rate.Burst; w.entries[ledger.KindRefusal] > most {
			t.Errorf("%s: %d of %d refusals are recorded one by one, want at most %d", name, w.entries[ledger.KindRefusal], sent, most)
		}
		if most := int(part / (10 * time.Second)); w.entries[ledger.KindRefusals] > most {
			t.Errorf("%s: %d entries count, want at most %d", name, w.entries[ledger.KindRefusals], most)
		}
		total := w.bytes[ledger.KindRefusal] + w.bytes[ledger.KindRefusals]
		burst := rate.Burst * w.bytes[ledger.KindRefusal] / w.entries[ledger.KindRefusal] // comes once
		if daily := burst + (total-burst)*parts; daily > 100e6 {
			t.Errorf("%s: %d bytes a day, want at most 100 MB", name, daily)
		}
		if addresses == 1 && w.seen["engineer"] != 144/parts {
			t.Errorf("%d of the 24 refusals of another address are recorded", w.seen["engineer"])
		}
		t.Logf("%s: %d refused, %d recorded, %d entries that count, %d bytes", name, sent, w.entries[ledger.KindRefusal], w.entries[ledger.KindRefusals], total)
	}
}

func addressOf(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{192, byte(i >> 16), byte(i >> 8), byte(i)})
}
