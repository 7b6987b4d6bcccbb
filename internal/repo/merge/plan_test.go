package merge

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func rows(n ...int64) []size {
	var out []size
	for _, r := range n {
		out = append(out, size{rows: r, packs: 10})
	}
	return out
}

func TestWhatIsJoined(t *testing.T) {
	const k = 1 << 10
	gone := rows(10, 20, 500*k)
	gone[1].gone, gone[2].gone = 3, 10
	few := rows(10, 20)
	few[1].gone = 2
	for name, c := range map[string]struct {
		all  []size
		max  int64
		want [][]int
	}{
		"nothing":                            {nil, 1 << 30, nil},
		"too few":                            {rows(1, 2, 3), 1 << 30, nil},
		"small ones":                         {rows(1, 900, 3, 16*k), 1 << 30, [][]int{{0, 2, 1, 3}}},
		"a large one stays":                  {rows(1, 2, 3, 4, 5000*k), 1 << 30, [][]int{{0, 1, 2, 3}}},
		"a tier takes what is below along":   {rows(5, 20*k, 30*k, 40*k, 50*k), 1 << 30, [][]int{{0, 1, 2, 3, 4}}},
		"two tiers":                          {rows(1, 2, 3, 4, 20*k, 30*k, 40*k, 50*k), 1 << 30, [][]int{{0, 1, 2, 3}, {4, 5, 6, 7}}},
		"no larger than it may be":           {rows(100, 100, 100, 100, 100, 100, 100, 100), 400, [][]int{{0, 1, 2, 3}, {4, 5, 6, 7}}},
		"large enough":                       {rows(300, 300, 300, 300), 400, nil},
		"packs are gone":                     {gone, 1 << 30, [][]int{{1}, {2}}},
		"not enough packs are gone":          {few, 1 << 30, nil},
		"a group of one is no group":         {rows(100, 100, 100, 100, 100), 400, [][]int{{0, 1, 2, 3}}},
		"a lone rest of packs that are gone": {append(gone[1:2:2], rows(30*k, 30*k, 30*k)...), 1 << 30, [][]int{{0}}},
	} {
		if diff := cmp.Diff(c.want, plan(c.all, 4, c.max)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// However many attempts there are: few segments stay, and each row is written seldom.
func TestManyAttemptsLeaveFewSegmentsForLittleWork(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var all []size
	var stored, written int64
	for range 3000 { // runs
		for range 1 + rng.IntN(8) {
			n := rng.Int64N(20_000)
			stored += n
			all = append(all, size{rows: n, packs: 5})
		}
		var next []size
		taken := map[int]bool{}
		for _, g := range plan(all, defaultFanIn, 1<<40) {
			var sum int64
			for _, i := range g {
				sum += all[i].rows
				taken[i] = true
			}
			written += sum
			next = append(next, size{rows: sum, packs: 5})
		}
		for i, s := range all {
			if !taken[i] {
				next = append(next, s)
			}
		}
		all = next
		if len(all) > 30 {
			t.Fatalf("%d segments", len(all))
		}
	}
	t.Logf("%d segments of %d rows, each written %.1f times", len(all), stored, float64(written)/float64(stored))
	if written > 10*stored {
		t.Fatalf("%d rows, %d written", stored, written)
	}
	var kept int64
	for _, s := range all {
		kept += s.rows
	}
	if kept != stored {
		t.Fatalf("%d of %d rows, %v", kept, stored, all)
	}
}
