package traffic

import (
	"math"
	"slices"
)

// bound is a limit that some claims share.
type bound struct {
	limit float64
	of    []int // claims
}

// share gives each claim as much as it wants, as far as all bounds allow: the max-min fair shares,
// where nobody can get more without somebody who has no more getting less. What then is left over
// is given out in the same way, for who wants more in a moment. by is which of the bounds stops a
// claim; -1: none does, and it has no bound at all.
func share(wants []float64, bounds []bound) (shares []float64, by []int) {
	shares, by = make([]float64, len(wants)), make([]int, len(wants))
	fill(shares, by, wants, bounds)
	rest := make([]float64, len(wants))
	for i := range rest {
		rest[i] = math.Inf(1)
	}
	fill(shares, by, rest, bounds)
	return shares, by
}

// fill raises all shares from where they are together, until each meets its want or a bound that
// is used up.
func fill(shares []float64, by []int, wants []float64, bounds []bound) {
	left := make([]float64, len(bounds))
	still := make([]bool, len(shares))
	for b, one := range bounds {
		left[b] = one.limit
		for _, i := range one.of {
			left[b] -= shares[i]
		}
	}
	for i := range shares {
		by[i] = -1
		still[i] = false
		for b, one := range bounds {
			if slices.Contains(one.of, i) {
				still[i] = by[i] < 0
				by[i] = b
				break
			}
		}
		if by[i] < 0 {
			shares[i] = math.Inf(1)
		}
	}
	for {
		step, any := math.Inf(1), false
		for i, s := range still {
			if s {
				any = true
				step = min(step, max(wants[i]-shares[i], 0))
			}
		}
		if !any {
			return
		}
		for b, one := range bounds {
			if n := rising(one.of, still); n > 0 {
				step = min(step, max(left[b], 0)/float64(n))
			}
		}
		for i, s := range still {
			if s {
				shares[i] += step
			}
		}
		for b, one := range bounds {
			n := rising(one.of, still)
			left[b] -= step * float64(n)
		}
		stop(shares, wants, bounds, left, still, by)
	}
}

// stop takes those out that rise no more; at least one does.
func stop(shares, wants []float64, bounds []bound, left []float64, still []bool, by []int) {
	for b, one := range bounds {
		if left[b] > one.limit*1e-9 {
			continue
		}
		for _, i := range one.of {
			if still[i] {
				still[i], by[i] = false, b
			}
		}
	}
	for i := range still {
		if still[i] && shares[i] >= wants[i]*(1-1e-9) {
			still[i] = false
		}
	}
}

func rising(of []int, still []bool) int {
	n := 0
	for _, i := range of {
		if still[i] {
			n++
		}
	}
	return n
}
