package pipeline

import "testing"

func TestReadersSettleWhereTheDeviceIsFastest(t *testing.T) {
	for name, tc := range map[string]struct {
		rate     func(readers int) float64
		min, max int
	}{
		"a disk with heads": {func(n int) float64 { return 100 / float64(n) }, 1, 2},
		"memory":            {func(n int) float64 { return float64(min(n, 2)) }, 1, 4},
		"a network":         {func(n int) float64 { return float64(n) }, 8, maxReaders},
		"a fast disk":       {func(n int) float64 { return float64(min(n, 8)) }, 4, maxReaders},
	} {
		t.Run(name, func(t *testing.T) {
			l := lane{limit: 4}
			for i := range 40 {
				l = l.next(tc.rate(l.limit), true)
				if i > 20 && (l.limit < tc.min || l.limit > tc.max) {
					t.Errorf("after %d looks it has %d readers, want %d to %d", i, l.limit, tc.min, tc.max)
				}
			}
		})
	}
}

func TestReadersStayWhereTheSourceIsNotWhatLimits(t *testing.T) {
	l := lane{limit: 4, rate: 10, up: true}
	for range 5 {
		if l = l.next(1, false); l.limit != 4 {
			t.Fatalf("it went to %d readers", l.limit)
		}
	}
}

func TestLanesRememberEachDevice(t *testing.T) {
	p := newPool(nil, &Counters{}, 4)
	p.lanes.turn(1)
	p.tune(10, true)
	if p.lanes.limit != 8 {
		t.Fatalf("the first device has %d readers, want 8", p.lanes.limit)
	}
	p.lanes.turn(2)
	if p.lanes.limit != 4 {
		t.Errorf("the second device begins with %d readers, want 4", p.lanes.limit)
	}
	p.lanes.turn(1)
	if p.lanes.limit != 8 {
		t.Errorf("back at the first device there are %d readers, want 8", p.lanes.limit)
	}
}

func TestFewerReadersThanWorkers(t *testing.T) {
	p := newPool(nil, &Counters{}, 4)
	p.lanes.known[0] = lane{limit: 1}
	p.lanes.limit = 1
	for range 2 {
		if err := p.submit(&unit{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, u := p.take(); u == nil {
		t.Fatal("the first unit is not given out")
	}
	p.mu.Lock()
	waits := p.lanes.busy >= p.lanes.limit
	p.mu.Unlock()
	if !waits {
		t.Error("a second unit would be read beside the first")
	}
	p.doneReading()
	if _, u := p.take(); u == nil {
		t.Error("the second unit is not given out after the first")
	}
}

func TestExtraReadersGoHomeThoughUnitsAreLeft(t *testing.T) {
	p := newPool(nil, &Counters{}, 4)
	if err := p.submit(&unit{}); err != nil {
		t.Fatal(err)
	}
	p.end()
	if u := p.takeExtra(); u != nil {
		t.Error("an extra reader takes what is the workers'")
	}
	p.tune(10, true)
	if u := p.takeExtra(); u == nil {
		t.Error("an extra reader does not take what it may")
	}
}
