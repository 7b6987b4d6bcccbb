package retention

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var now = time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC) // a Sunday

// daily are n points, one a day at 22:00, the newest yesterday; "p1" is the newest.
func daily(n int) []Point {
	var out []Point
	for i := range n {
		out = append(out, Point{ID: fmt.Sprintf("p%d", i+1), Time: time.Date(2026, 11, 21-i, 22, 0, 0, 0, time.UTC)})
	}
	return out
}

// kept are the reasons of the points that stay, by id.
func kept(list []Verdict) map[string]string {
	out := map[string]string{}
	for _, v := range list {
		if v.Keep {
			out[v.Point.ID] = strings.Join(v.Because, "; ")
		}
	}
	return out
}

func TestRulesKeepWhatTheyName(t *testing.T) {
	change := func(points []Point, i int, f func(*Point)) []Point {
		points = slices.Clone(points)
		f(&points[i])
		return points
	}
	for _, tt := range []struct {
		name   string
		policy Policy
		points []Point
		want   map[string]string
	}{
		{"nothing set", Policy{}, daily(2), map[string]string{
			"p1": "no retention is set: everything is kept", "p2": "no retention is set: everything is kept",
		}},
		{"newest", Policy{KeepLast: 2}, daily(4), map[string]string{"p1": "newest 2: number 1", "p2": "newest 2: number 2"}},
		{"days", Policy{KeepDays: 2}, daily(4), map[string]string{
			"p1": "of the last 2 days; the newest complete point of this computer", "p2": "of the last 2 days",
		}},
		{"weekly, the newest of each", Policy{Weekly: 3}, daily(30), map[string]string{
			"p1": "weekly 1 of 3 (week 2026-47)", "p7": "weekly 2 of 3 (week 2026-46)", "p14": "weekly 3 of 3 (week 2026-45)",
		}},
		{"several at once", Policy{KeepLast: 1, Monthly: 2, Yearly: 2}, daily(60), map[string]string{
			"p1": "newest 1: number 1; monthly 1 of 2 (month 2026-11); yearly 1 of 2 (year 2026)", "p22": "monthly 2 of 2 (month 2026-10)",
		}},
		{"minimum", Policy{KeepDays: 1, MinPoints: 3}, daily(5), map[string]string{
			"p1": "of the last 1 days; the newest complete point of this computer",
			"p2": "one of the 3 points that are left at least", "p3": "one of the 3 points that are left at least",
		}},
		{"the newest complete one stays", Policy{KeepDays: 1}, daily(40)[30:], map[string]string{"p31": "the newest complete point of this computer"}},
		{"the newest without errors stays", Policy{KeepLast: 1}, change(daily(3), 0, func(p *Point) { p.Faulty = true }), map[string]string{
			"p1": "newest 1: number 1", "p2": "the newest point of this computer without errors",
		}},
		{"partial ones count for nothing", Policy{KeepLast: 1}, change(daily(3), 0, func(p *Point) { p.Partial = true }), map[string]string{
			"p1": "partial, and there is no newer complete point", "p2": "newest 1: number 1",
		}},
		{"partial ones go when a newer complete one is there", Policy{KeepLast: 3}, change(daily(3), 1, func(p *Point) { p.Partial = true }), map[string]string{
			"p1": "newest 3: number 1", "p3": "newest 3: number 2",
		}},
		{"held", Policy{KeepLast: 1}, change(daily(3), 2, func(p *Point) { p.Held, p.HoldReason = true, "case 7" }), map[string]string{
			"p1": "newest 1: number 1", "p3": "on hold: case 7",
		}},
		{"in use", Policy{KeepLast: 1}, change(daily(3), 2, func(p *Point) { p.Pinned = "parent of running session 4" }), map[string]string{
			"p1": "newest 1: number 1", "p3": "parent of running session 4",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, kept(tt.policy.Evaluate(tt.points, now, time.UTC))); d != "" {
				t.Errorf("kept (-want +got):\n%s", d)
			}
		})
	}
}

func TestPeriodsAreThoseOfTheZone(t *testing.T) {
	// Sunday 23:30 in London is Monday in Berlin, and so another week.
	points := []Point{
		{ID: "late", Time: time.Date(2026, 11, 15, 23, 30, 0, 0, time.UTC)},
		{ID: "early", Time: time.Date(2026, 11, 15, 12, 0, 0, 0, time.UTC)},
	}
	p := Policy{Weekly: 5}
	if got := kept(p.Evaluate(points, now, time.UTC)); len(got) != 1 {
		t.Errorf("in London: %v", got)
	}
	got := kept(p.Evaluate(points, now, time.FixedZone("Berlin", 3600)))
	if d := cmp.Diff(map[string]string{"late": "weekly 1 of 5 (week 2026-47)", "early": "weekly 2 of 5 (week 2026-46)"}, got); d != "" {
		t.Error(d)
	}
}

func TestAnISOWeekMayBelongToTheOtherYear(t *testing.T) {
	points := []Point{{ID: "a", Time: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}, {ID: "b", Time: time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)}}
	got := kept(Policy{Weekly: 2}.Evaluate(points, points[0].Time, time.UTC))
	if d := cmp.Diff(map[string]string{"a": "weekly 1 of 2 (week 2026-53)"}, got); d != "" {
		t.Error(d)
	}
}

func TestUntilWhenAPointIsKept(t *testing.T) {
	list := Policy{KeepLast: 2, KeepDays: 30}.Evaluate(daily(4), now, time.UTC)
	var got []time.Time
	for _, v := range list {
		got = append(got, v.Until)
	}
	// The newest two stay as long as no newer come.
	want := []time.Time{{}, {}, list[2].Point.Time.AddDate(0, 0, 30), list[3].Point.Time.AddDate(0, 0, 30)}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestPointsOfALeftComputerGoAfterItsTime(t *testing.T) {
	points := daily(3)
	points[1].Held = true
	points[2].Pinned = "read by running session 9"
	since := now.AddDate(0, 0, -10)
	for _, tt := range []struct {
		days int
		kept int
		end  bool
	}{{0, 3, false}, {11, 3, true}, {10, 2, false}} {
		list := Policy{}.Evaluate(points, now, time.UTC)
		for i := range list {
			list[i].Leave(since, time.Duration(tt.days)*24*time.Hour, now)
		}
		if got := kept(list); len(got) != tt.kept {
			t.Errorf("after %d days: %v", tt.days, got)
		}
		if end := list[0].Keep && !list[0].Until.IsZero(); end != tt.end {
			t.Errorf("after %d days: kept until %v", tt.days, list[0].Until)
		}
	}
}

func TestPoliciesThatCannotBeMeantAreRefused(t *testing.T) {
	for _, tt := range []struct {
		policy Policy
		want   string
	}{
		{Policy{}, ""},
		{Policy{KeepLast: 1}, ""},
		{Policy{KeepLast: 7, MinPoints: 3}, ""},
		{Policy{KeepDays: 30, MinPoints: 50}, ""},
		{Policy{KeepLast: 3, Weekly: 1, MinPoints: 5}, ""},
		{Policy{KeepLast: -1}, "keep_last"},
		{Policy{KeepDays: -7, Yearly: -1}, "keep_days yearly"},
		{Policy{Monthly: 5000}, "monthly"},
		{Policy{MinPoints: 3}, "min_points"},
		{Policy{KeepLast: 3, MinPoints: 5}, "min_points"},
	} {
		var rules []string
		for _, r := range tt.policy.Check() {
			rules = append(rules, r.Rule)
			if r.Err.Code != "retention.policy" || r.Err.Hint == "" {
				t.Errorf("%+v: %v without code or hint", tt.policy, r.Err)
			}
		}
		if got := strings.Join(rules, " "); got != tt.want {
			t.Errorf("%+v: refused for %q, want %q", tt.policy, got, tt.want)
		}
	}
}

func TestPropertiesOfAnyVerdict(t *testing.T) {
	zone := time.FixedZone("somewhere", 5*3600+1800)
	rapid.Check(t, func(t *rapid.T) {
		check(t, policies.Draw(t, "policy"), anyPoints(t), zone)
	})
}

// policies are those that are not refused.
var policies = rapid.Custom(func(t *rapid.T) Policy {
	of := func(rule string, most int) int { return rapid.IntRange(0, most).Draw(t, rule) }
	return Policy{KeepLast: of("last", 5), KeepDays: of("days", 40), Weekly: of("weekly", 5), Monthly: of("monthly", 5), Yearly: of("yearly", 3), MinPoints: of("min", 6)}
}).Filter(func(p Policy) bool { return len(p.Check()) == 0 })

// lengthened are two policies of which the second is said to be no shorter than the first.
var lengthened = rapid.Custom(func(t *rapid.T) [2]Policy {
	one, more := policies.Draw(t, "one"), policies.Draw(t, "more")
	two := Policy{one.KeepLast + more.KeepLast, one.KeepDays + more.KeepDays, one.Weekly + more.Weekly, one.Monthly + more.Monthly, one.Yearly + more.Yearly, one.MinPoints + more.MinPoints}
	if rapid.IntRange(0, 9).Draw(t, "zero") == 0 {
		two = Policy{}
	}
	return [2]Policy{one, two}
}).Filter(func(p [2]Policy) bool { return len(p[1].Check()) == 0 && p[1].NoShorter(p[0]) })

func anyPoints(t *rapid.T) (points []Point) {
	for i := range rapid.IntRange(0, 40).Draw(t, "points") {
		points = append(points, Point{
			ID: fmt.Sprint(i), Time: now.Add(-time.Duration(rapid.IntRange(-1000, 40000).Draw(t, "age")) * time.Hour),
			Partial: rapid.IntRange(0, 4).Draw(t, "partial") == 0, Faulty: rapid.IntRange(0, 3).Draw(t, "faulty") == 0,
			Held: rapid.IntRange(0, 9).Draw(t, "held") == 0, Pinned: rapid.SampledFrom([]string{"", "", "", "in use"}).Draw(t, "pinned"),
		})
	}
	return points
}

// What a second person is not asked about must really take no point away.
func TestAPolicyThatIsNoShorterKeepsAllThatTheOtherKeeps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pair := lengthened.Draw(t, "policies")
		one, two := pair[0], pair[1]
		points := anyPoints(t)
		stay := kept(two.Evaluate(points, now, time.UTC))
		for id, why := range kept(one.Evaluate(points, now, time.UTC)) {
			if _, ok := stay[id]; !ok {
				t.Fatalf("%v keeps point %s (%s), and %v, which is said to be no shorter, does not: of %v", one, id, why, two, points)
			}
		}
	})
}

func TestWhichPolicyIsShorter(t *testing.T) {
	for _, tt := range []struct {
		is, will Policy
		want     bool // will is no shorter
	}{
		{Policy{}, Policy{}, true},
		{Policy{}, Policy{KeepLast: 100_000}, false},
		{Policy{KeepLast: 7}, Policy{}, true},
		{Policy{KeepLast: 7}, Policy{KeepLast: 7}, true},
		{Policy{KeepLast: 7}, Policy{KeepLast: 6}, false},
		{Policy{KeepLast: 7}, Policy{KeepLast: 8, Weekly: 1}, true},
		{Policy{KeepDays: 30, Yearly: 2}, Policy{KeepDays: 3000, Yearly: 1}, false},
		{Policy{KeepDays: 30, Monthly: 2}, Policy{KeepDays: 3000}, false},
		{Policy{KeepDays: 30, MinPoints: 3}, Policy{KeepDays: 30, MinPoints: 2}, false},
		{Policy{KeepDays: 30, MinPoints: 3}, Policy{KeepDays: 30, MinPoints: 4}, true},
		{Policy{KeepDays: 30, MinPoints: 3}, Policy{KeepDays: 30, MinPoints: 3, Monthly: 1}, false}, // instead of one of the three
		{Policy{KeepDays: 30, MinPoints: 3}, Policy{KeepDays: 30, MinPoints: 3, Monthly: 1, KeepLast: 3}, true},
	} {
		if got := tt.will.NoShorter(tt.is); got != tt.want {
			t.Errorf("from %v to %v: no shorter is %v", tt.is, tt.will, got)
		}
	}
}

func check(t *rapid.T, p Policy, points []Point, zone *time.Location) {
	list := p.Evaluate(points, now, zone)
	if len(list) != len(points) {
		t.Fatalf("%d verdicts on %d points", len(list), len(points))
	}
	whole, keptWhole, newest, good := 0, 0, false, -1
	for i, v := range list {
		if len(v.Because) == 0 {
			t.Fatalf("no reason for %+v", v)
		}
		if i > 0 && v.Point.Time.After(list[i-1].Point.Time) {
			t.Fatal("not the newest first")
		}
		if !v.Keep && (v.Point.Held || v.Point.Pinned != "" || p.Zero() || !v.Until.IsZero()) {
			t.Fatalf("goes: %+v", v)
		}
		if v.Keep && !v.Until.IsZero() && !v.Until.After(now) {
			t.Fatalf("kept until the past: %+v", v)
		}
		if v.Point.Partial {
			continue
		}
		if whole == 0 {
			newest = v.Keep
		}
		if good < 0 && !v.Point.Faulty {
			good = i
		}
		whole++
		if v.Keep {
			keptWhole++
		}
	}
	if whole > 0 && !newest {
		t.Fatal("the newest complete point goes")
	}
	if good >= 0 && !list[good].Keep {
		t.Fatal("the newest point without errors goes")
	}
	if keptWhole < min(whole, max(p.KeepLast, p.MinPoints)) {
		t.Fatalf("%d of %d kept by %+v", keptWhole, whole, p)
	}
	again(t, p, list, zone)
}

// again decides on what is left: nothing more may go.
func again(t *rapid.T, p Policy, list []Verdict, zone *time.Location) {
	var left []Point
	for _, v := range list {
		if v.Keep {
			left = append(left, v.Point)
		}
	}
	for _, v := range p.Evaluate(left, now, zone) {
		if !v.Keep {
			t.Fatalf("a second run deletes %+v", v)
		}
	}
}
