package speed

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var began = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

func total(s *Series) (sum Amounts) {
	for _, v := range s.Slots {
		sum.Read, sum.Sent, sum.Stored = sum.Read+v.Read, sum.Sent+v.Sent, sum.Stored+v.Stored
	}
	return sum
}

func TestAnInterruptionIsAGap(t *testing.T) {
	s := &Series{}
	for i := range int64(4) { // 100 bytes a slot
		s.Add(began.Add(time.Duration(i)*First), "a", Amounts{Read: 100 * i})
	}
	for i := range int64(2) {
		s.Add(began.Add(time.Duration(10+i)*First), "b", Amounts{Read: 50 * i, Sent: 7})
	}
	var got []int64
	for _, v := range s.Slots {
		n := v.Read
		if !v.Running {
			n = -1
		}
		got = append(got, n)
	}
	// What was moved up to the begin of a slot was moved in the one before it.
	if diff := cmp.Diff([]int64{100, 100, 100, 0, -1, -1, -1, -1, -1, -1, 50, 0}, got); diff != "" {
		t.Errorf("the slots (want, got):\n%s", diff)
	}
	if got := total(s); got != (Amounts{Read: 350, Sent: 7}) {
		t.Errorf("together they are %+v", got)
	}
}

// A server that was away knows how much was moved meanwhile, and not when.
func TestWhatWasMovedUnseenIsSpreadOverItsTime(t *testing.T) {
	s := &Series{}
	s.Add(began, "a", Amounts{})
	s.Add(began.Add(10*First), "a", Amounts{Stored: 1000})
	for i, v := range s.Slots[:10] {
		if v.Stored != 100 || !v.Running {
			t.Errorf("slot %d is %+v, want 100 bytes", i, v)
		}
	}
}

// One end of an attempt reports before the other after a start of the server.
func TestACounterThatIsMissingForAWhileIsCountedOnce(t *testing.T) {
	s := &Series{}
	for i, c := range []Amounts{{Read: 500, Stored: 10}, {Stored: 20}, {Read: 600, Stored: 30}} {
		s.Add(began.Add(time.Duration(i)*time.Second), "a", c)
	}
	if got := total(s); got != (Amounts{Read: 600, Stored: 30}) {
		t.Errorf("together they are %+v", got)
	}
}

func TestNothingIsLostHoweverLongItTakes(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		s, at, all := &Series{}, began, Amounts{}
		for attempt := range 1 + r.IntN(4) {
			c := Amounts{}
			for range r.IntN(400) {
				c.Read, c.Sent, c.Stored = c.Read+r.Int64N(1<<30), c.Sent+r.Int64N(1<<20), c.Stored+r.Int64N(3)
				at = at.Add(time.Duration(r.Int64N(int64(10 * time.Minute))))
				s.Add(at.Add(-time.Duration(r.Int64N(int64(time.Minute)))), string(rune('a'+attempt)), c) // a clock that is set back
				if len(s.Slots) > Most {
					t.Fatalf("seed %d: %d slots", seed, len(s.Slots))
				}
			}
			all.Read, all.Sent, all.Stored = all.Read+c.Read, all.Sent+c.Sent, all.Stored+c.Stored
		}
		if got := total(s); got != all {
			t.Fatalf("seed %d: together they are %+v, want %+v", seed, got, all)
		}
		s.Finish()
		if got := total(s); got != all || len(s.Slots) > Kept {
			t.Fatalf("seed %d: of one that is over there are %+v in %d slots", seed, got, len(s.Slots))
		}
		back, err := ParseSlots(AppendSlots(nil, s.Slots))
		if diff := cmp.Diff(s.Slots, back); err != nil || diff != "" && len(s.Slots) > 0 {
			t.Fatalf("seed %d: read back (%v):\n%s", seed, err, diff)
		}
	}
}

// A clock that jumps by a century costs no more than any other.
func TestAClockThatJumpsFillsNothing(t *testing.T) {
	s := &Series{}
	s.Add(began, "a", Amounts{Read: 1})
	s.Add(began.AddDate(100, 0, 0), "a", Amounts{Read: 2})
	s.Add(began, "a", Amounts{Read: 3})
	if len(s.Slots) > Most || total(s).Read != 3 {
		t.Errorf("%d slots of %+v", len(s.Slots), total(s))
	}
}

func FuzzParseSlots(f *testing.F) {
	f.Add(AppendSlots(nil, []Slot{{Amounts{1, 2, 3}, true}, {}}))
	f.Add([]byte{0x80})
	f.Fuzz(func(t *testing.T, data []byte) {
		slots, err := ParseSlots(data)
		if err == nil && len(slots) > Most {
			t.Errorf("%d slots", len(slots))
		}
	})
}
