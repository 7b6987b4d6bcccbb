package traffic

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"keepward/internal/schedule"
)

var start = time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC) // a Monday

func ranges(t *testing.T, texts ...string) Ranges {
	t.Helper()
	r, err := ParseRanges(texts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRangesHoldAddresses(t *testing.T) {
	for _, tc := range []struct {
		texts   []string
		address string
		want    bool
	}{
		{nil, "10.1.2.3", true},
		{[]string{"any"}, "fe80::1", true},
		{[]string{"10.1.0.0/16"}, "10.1.2.3", true},
		{[]string{"10.1.0.0/16"}, "::ffff:10.1.2.3", true},
		{[]string{"10.1.0.0/16"}, "10.2.2.3", false},
		{[]string{"10.1.2.3"}, "10.1.2.3", true},
		{[]string{"10.1.2.3", "fd00::/8"}, "fd12::3", true},
		{[]string{"fe80::/10"}, "fe80::1%eth0", true},
		{[]string{"10.1.2.3", "any"}, "192.0.2.1", true},
	} {
		if got := ranges(t, tc.texts...).Hold(netip.MustParseAddr(tc.address)); got != tc.want {
			t.Errorf("%v holds %s: %v, want %v", tc.texts, tc.address, got, tc.want)
		}
	}
	if !ranges(t, "10.1.0.0/16").Hold(netip.Addr{}) {
		t.Error("an address that is not known is left out")
	}
	for _, text := range []string{"", "10.1.0.0/33", "host", "10.1"} {
		if _, err := ParseRanges([]string{text}); err == nil {
			t.Errorf("%q is taken for a range", text)
		}
	}
}

func TestARuleConcernsBothDirectionsAndNoRestores(t *testing.T) {
	office, centre, other := netip.MustParseAddr("10.1.0.5"), netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("10.2.0.5")
	r := Rule{Source: ranges(t, "10.1.0.0/16"), Target: ranges(t, "10.9.0.0/16")}
	for name, tc := range map[string]struct {
		task Task
		all  bool
		want bool
	}{
		"a backup":                    {Task{Agent: office, Mover: centre}, false, true},
		"the other way round":         {Task{Agent: centre, Mover: office}, false, true},
		"another office":              {Task{Agent: other, Mover: centre}, false, false},
		"within the office":           {Task{Agent: office, Mover: office}, false, false},
		"a restore":                   {Task{Agent: office, Mover: centre, Restore: true}, false, false},
		"a restore, of all":           {Task{Agent: office, Mover: centre, Restore: true}, true, true},
		"on one host":                 {Task{Agent: office, Mover: centre, Local: true}, false, false},
		"whose end is not known":      {Task{Agent: office}, false, true},
		"of which nothing is known":   {Task{}, false, true},
		"that is surely another line": {Task{Agent: other}, false, false},
	} {
		rule := r
		rule.Restores = tc.all
		if got := rule.Concerns(tc.task); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

func TestSharesAreFair(t *testing.T) {
	all := math.Inf(1)
	for name, tc := range map[string]struct {
		wants  []float64
		bounds []bound
		want   []float64
	}{
		"one has the whole":                       {[]float64{all}, []bound{{40, []int{0}}}, []float64{40}},
		"two have halves":                         {[]float64{all, all}, []bound{{40, []int{0, 1}}}, []float64{20, 20}},
		"what one leaves the others have":         {[]float64{4, all, all}, []bound{{40, []int{0, 1, 2}}}, []float64{4, 18, 18}},
		"what nobody wants is given out":          {[]float64{4, 6}, []bound{{40, []int{0, 1}}}, []float64{19, 21}},
		"the lowest of several counts":            {[]float64{all}, []bound{{40, []int{0}}, {10, []int{0}}, {20, []int{0}}}, []float64{10}},
		"who is held by one leaves more of other": {[]float64{all, all}, []bound{{40, []int{0, 1}}, {10, []int{0}}}, []float64{10, 30}},
		"a third is under none":                   {[]float64{all, all}, []bound{{40, []int{0}}}, []float64{40, all}},
	} {
		got, _ := share(tc.wants, tc.bounds)
		for i := range got {
			if math.IsInf(got[i], 1) != math.IsInf(tc.want[i], 1) || !math.IsInf(got[i], 1) && math.Abs(got[i]-tc.want[i]) > 0.001 {
				t.Errorf("%s: %v, want %v", name, got, tc.want)
				break
			}
		}
	}
}

// TestSharesKeepAllBoundsAndLeaveNothing: no bound is passed, and nobody who is bounded could have
// more: one of its bounds is used up.
func TestSharesKeepAllBoundsAndLeaveNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "claims")
		wants := make([]float64, n)
		for i := range wants {
			if wants[i] = float64(rapid.IntRange(1, 1000).Draw(t, "want")); wants[i] > 700 {
				wants[i] = math.Inf(1)
			}
		}
		var bounds []bound
		for range rapid.IntRange(0, 5).Draw(t, "bounds") {
			b := bound{limit: float64(rapid.IntRange(1, 2000).Draw(t, "limit"))}
			for i := range n {
				if rapid.Bool().Draw(t, "under") {
					b.of = append(b.of, i)
				}
			}
			bounds = append(bounds, b)
		}
		shares, by := share(wants, bounds)
		for i := range n {
			under := slices.ContainsFunc(bounds, func(b bound) bool { return slices.Contains(b.of, i) })
			if under == math.IsInf(shares[i], 1) || under != (by[i] >= 0) || shares[i] < 0 {
				t.Fatalf("claim %d has %v by %d", i, shares[i], by[i])
			}
			if by[i] >= 0 && sum(shares, bounds[by[i]].of) < bounds[by[i]].limit*0.999 {
				t.Fatalf("claim %d is held to %v by a bound of %v of which %v is used", i, shares[i], bounds[by[i]].limit, sum(shares, bounds[by[i]].of))
			}
		}
		for _, b := range bounds {
			if used := sum(shares, b.of); used > b.limit*1.001 {
				t.Fatalf("of a bound of %v %v is given out", b.limit, used)
			}
		}
	})
}

func sum(shares []float64, of []int) (total float64) {
	for _, i := range of {
		total += shares[i]
	}
	return total
}

// line simulates tasks that move as much as they want and may, with a reading every half second.
type line struct {
	table *Table
	now   time.Time
	wants map[string]float64
	meter map[string]Meter
}

func newLine(rules ...Rule) *line {
	l := &line{table: NewTable(), now: start, wants: map[string]float64{}, meter: map[string]Meter{}}
	l.table.SetRules(rules)
	return l
}

func (l *line) begin(attempt string, wants float64) {
	l.wants[attempt] = wants
	l.table.Add(Task{Attempt: attempt, HasAgent: true, Agent: netip.MustParseAddr("10.0.0.1"), Mover: netip.MustParseAddr("10.0.0.2")}, l.now)
	l.table.Decide(l.now)
}

func (l *line) run(d time.Duration) map[string]int64 {
	const step = 500 * time.Millisecond
	moved := map[string]int64{}
	for end := l.now.Add(d); l.now.Before(end); {
		l.now = l.now.Add(step)
		for _, a := range l.table.Attempts() {
			s, _ := l.table.Share(a)
			m, v := l.meter[a], l.wants[a]
			if bound := float64(s.Rates[Network]); bound > 0 && v > bound {
				m.Held[Network] += time.Duration((1 - bound/v) * float64(step))
				v = bound
			}
			m.Bytes[Network] += int64(v * step.Seconds())
			moved[a] += int64(v * step.Seconds())
			l.meter[a] = m
			l.table.Metered(a, 0, m, l.now)
		}
		l.table.Decide(l.now)
	}
	for a := range moved {
		moved[a] = int64(float64(moved[a]) / d.Seconds())
	}
	return moved
}

func (l *line) want(t *testing.T, what string, got map[string]int64, want map[string]int64) {
	t.Helper()
	for a, w := range want {
		if g := got[a]; g < w*95/100 || g > w*105/100 {
			t.Errorf("%s: %s moved %d bytes a second, want %d (all: %v)", what, a, g, w, got)
		}
	}
}

func TestTasksShareARuleAsTheyComeAndGo(t *testing.T) {
	l := newLine(Rule{Name: "wan", Limit: 5_000_000})
	l.begin("a", 100e6)
	l.want(t, "alone", l.run(5*time.Second), map[string]int64{"a": 5_000_000})
	l.begin("b", 100e6)
	l.want(t, "two, from the first moment", l.run(5*time.Second), map[string]int64{"a": 2_500_000, "b": 2_500_000})
	l.table.Remove("a")
	l.table.Decide(l.now)
	l.want(t, "alone again, from the first moment", l.run(2*time.Second), map[string]int64{"b": 5_000_000})
	l.table.SetRules([]Rule{{Name: "wan", Limit: 1_000_000}})
	l.table.Decide(l.now)
	l.want(t, "edited", l.run(time.Second), map[string]int64{"b": 1_000_000})
	l.table.SetRules(nil)
	l.table.Decide(l.now)
	l.want(t, "without a rule", l.run(time.Second), map[string]int64{"b": 100_000_000})
}

func TestWhatATaskCannotUseTheOthersHave(t *testing.T) {
	l := newLine(Rule{Name: "wan", Limit: 5_000_000})
	l.begin("slow", 400_000)
	l.begin("b", 100e6)
	l.begin("c", 100e6)
	l.run(3 * time.Second)
	l.want(t, "a slow one", l.run(5*time.Second), map[string]int64{"slow": 400_000, "b": 2_250_000, "c": 2_250_000})
	l.wants["slow"] = 100e6
	l.run(time.Second)
	l.want(t, "it is quick now", l.run(5*time.Second), map[string]int64{"slow": 1_666_666, "b": 1_666_666, "c": 1_666_666})
	l.wants["b"], l.wants["c"] = 0, 0
	l.run(3 * time.Second)
	l.want(t, "the others pause", l.run(5*time.Second), map[string]int64{"slow": 5_000_000})
}

func TestTheRuleThatBoundsIsNamed(t *testing.T) {
	l := newLine(Rule{Name: "site", Limit: 50_000_000}, Rule{Name: "wan", Limit: 5_000_000})
	l.begin("a", 100e6)
	if s, _ := l.table.Share("a"); s.Rule != "wan" || s.Rates != (Rates{Network: 5_000_000}) {
		t.Errorf("its share is %+v", s)
	}
	if got := l.table.Under("site"); !slices.Equal(got, []string{"a"}) {
		t.Errorf("under the other rule are %v", got)
	}
}

func TestARuleHoldsInItsHours(t *testing.T) {
	hours, err := schedule.ParseHours([]string{"mon-fri 08:00-18:00"}, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	l := newLine(Rule{Name: "office", Limit: 5_000_000, Hours: hours})
	l.begin("a", 100e6)
	for _, tc := range []struct {
		at, next time.Time
		want     int64
	}{
		{start, start.Add(time.Hour), 0},
		{start.Add(time.Hour), start.Add(11 * time.Hour), 5_000_000},
		{start.Add(11 * time.Hour), start.Add(25 * time.Hour), 0},
		{start.Add(4*24*time.Hour + 12*time.Hour), start.Add(7*24*time.Hour + time.Hour), 0},
	} {
		next := l.table.Decide(tc.at)
		s, _ := l.table.Share("a")
		if s.Rates[Network] != tc.want || !next.Equal(tc.next) {
			t.Errorf("%s: %d until %s, want %d until %s", tc.at, s.Rates[Network], next, tc.want, tc.next)
		}
	}
}

func TestTasksOfARepositoryShareItsDisk(t *testing.T) {
	table := NewTable()
	table.SetDisks(map[string]Disk{"main": {Read: 10_000_000, Write: 4_000_000}})
	for i, r := range []string{"main", "main", "other"} {
		table.Add(Task{Attempt: fmt.Sprint(i), Repository: r}, start)
	}
	table.Decide(start)
	var got []Rates
	for i := range 3 {
		s, _ := table.Share(fmt.Sprint(i))
		got = append(got, s.Rates)
	}
	want := []Rates{{Read: 5_000_000, Write: 2_000_000}, {Read: 5_000_000, Write: 2_000_000}, {}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestWhatMovedIsCountedOnceByAllAndByRule(t *testing.T) {
	table := NewTable()
	table.SetRules([]Rule{{Name: "wan", Limit: 1 << 20, Source: ranges(t, "10.1.0.0/16")}})
	near, far, store := netip.MustParseAddr("10.2.0.5"), netip.MustParseAddr("10.1.0.5"), netip.MustParseAddr("10.9.0.1")
	table.Add(Task{Attempt: "near", HasAgent: true, Agent: near, Mover: store}, start)
	table.Add(Task{Attempt: "far", HasAgent: true, Agent: far, Mover: store}, start)
	says := func(attempt string, end int, after time.Duration, bytes int64) {
		table.Metered(attempt, end, Meter{Bytes: [3]int64{Network: bytes}}, start.Add(after))
	}
	moved := func(all, wan int64) {
		t.Helper()
		if got, under := table.TakeMoved(); got != all || under["wan"] != wan || len(under) > 1 {
			t.Errorf("%d moved, under rules %v; want %d and %d", got, under, all, wan)
		}
	}
	for _, attempt := range []string{"near", "far"} {
		says(attempt, 0, 0, 1000) // before anybody counts
		says(attempt, 1, 0, 10)
	}
	moved(0, 0)
	says("near", 0, time.Second, 1500)
	says("far", 0, time.Second, 1700)
	says("far", 1, time.Second, 13) // what the other end sends comes on top
	moved(500+700+3, 700+3)
	moved(0, 0)
	says("far", 0, 1100*time.Millisecond, 1800) // too soon to tell, and not lost
	moved(0, 0)
	says("far", 0, 2*time.Second, 1900)
	moved(200, 200)
	says("far", 0, 3*time.Second, 5) // it began anew
	moved(0, 0)
}
