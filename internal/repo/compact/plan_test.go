package compact

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/repo/pack"
)

func marked(p candidate) candidate {
	p.Marked = true
	return p
}

func TestWhatIsWorthIt(t *testing.T) {
	const m = 1 << 20
	a, b := [16]byte{1}, [16]byte{2}
	var n uint32
	packOf := func(owner [16]byte, class pack.Class, live, dead int64) candidate {
		n++
		return candidate{Pack: Pack{Key: pack.Key{Class: class, Number: n}, Size: live + dead, Live: live, Dead: dead}, owner: owner}
	}
	for name, c := range map[string]struct {
		packs []candidate
		want  [][]int // positions of packs, by group
	}{
		"nothing":                     {nil, nil},
		"a thin one":                  {[]candidate{packOf(a, pack.Data, 30*m, 34*m)}, [][]int{{0}}},
		"little is gained":            {[]candidate{packOf(a, pack.Data, m, m/2+m/4)}, nil},
		"two thin ones become one":    {[]candidate{packOf(a, pack.Data, m/8, m/8), packOf(a, pack.Data, m/8, m/8)}, [][]int{{0, 1}}},
		"by owner and class":          {[]candidate{packOf(a, pack.Data, 30*m, 30*m), packOf(b, pack.Data, 20*m, 40*m), packOf(a, pack.Meta, 10*m, 50*m), packOf(a, pack.Data, 30*m, 30*m)}, [][]int{{2}, {1}, {0, 3}}},
		"three small ones":            {[]candidate{packOf(a, pack.Data, m, 0), packOf(a, pack.Data, m, 0), packOf(a, pack.Data, m, 0)}, nil},
		"four small ones":             {[]candidate{packOf(a, pack.Data, m, 0), packOf(a, pack.Data, m, 0), packOf(a, pack.Data, m, 0), packOf(a, pack.Data, m, 0)}, [][]int{{0, 1, 2, 3}}},
		"small ones of two computers": {[]candidate{packOf(a, pack.Data, m, 0), packOf(a, pack.Data, m, 0), packOf(b, pack.Data, m, 0), packOf(b, pack.Data, m, 0)}, nil},
		"small ones along with thin":  {[]candidate{packOf(a, pack.Data, 20*m, 40*m), packOf(a, pack.Data, m, 0), packOf(a, pack.Data, m, 0), packOf(a, pack.Data, m, 0)}, [][]int{{0, 1, 2, 3}}},
		"thin without the small":      {[]candidate{packOf(a, pack.Data, 20*m, 40*m), packOf(a, pack.Data, m, 0)}, [][]int{{0}}},
		"a damaged one":               {[]candidate{packOf(a, pack.Data, 60*m, 4*m), marked(packOf(a, pack.Data, 60*m, m/8))}, [][]int{{1}}},
	} {
		var o Options
		o.defaults()
		var got [][]int
		for _, g := range plan(c.packs, o) {
			var at []int
			for _, p := range g.packs {
				at = append(at, int(p.Number-c.packs[0].Number))
			}
			got = append(got, at)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestAThoroughRunTakesWhatGainsLittle(t *testing.T) {
	o := Options{Below: 0.95, Thorough: true}
	o.defaults()
	little := candidate{Pack: Pack{Size: 1100, Live: 1000, Dead: 100}}
	if got := plan([]candidate{little}, o); len(got) != 1 {
		t.Fatalf("%+v", got)
	}
	o.Thorough = false
	if got := plan([]candidate{little}, o); len(got) != 0 {
		t.Fatalf("%+v", got)
	}
}

func TestWhatIsACandidate(t *testing.T) {
	var o Options
	o.defaults()
	for _, c := range []struct {
		size, live, dead int64
		thin, small      bool
	}{
		{64 << 20, 44 << 20, 20 << 20, true, false},
		{64 << 20, 46 << 20, 18 << 20, false, false},
		{15 << 20, 15 << 20, 0, false, true},
		{16 << 20, 16 << 20, 0, false, false},
	} {
		p := Pack{Size: c.size, Live: c.live, Dead: c.dead}
		if o.thin(p, 0) != c.thin || o.small(p) != c.small {
			t.Errorf("%+v: thin %v, small %v", c, o.thin(p, 0), o.small(p))
		}
	}
}
