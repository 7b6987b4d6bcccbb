package merge

import (
	"cmp"
	"slices"

	"keepward/internal/repo"
	"keepward/internal/repo/pack"
)

// size is what planning needs to know of a segment.
type size struct {
	rows  int64
	packs int
	gone  int // of its packs
}

func (m *merger) describe(parts []repo.IndexSegment) []size {
	out := make([]size, len(parts))
	for i, s := range parts {
		out[i] = size{rows: s.Rows(), packs: len(s.Packs)}
		for _, p := range s.Packs {
			if m.gone[pack.Key{Attempt: p.Attempt, Class: p.Class, Number: p.Number}] {
				out[i].gone++
			}
		}
	}
	return out
}

const (
	// smallest is the lowest tier: up to so many rows, 768 KiB, it does not matter how many.
	smallest = 16 << 10
	// growth is how much larger the segments of the next tier may be. As large as the fan-in,
	// so that a join of one tier is of the next one.
	growth = 4
	// maxParts bounds the memory of a join: a page for each part.
	maxParts = 4096
	// staleShare: a segment of which one in so many packs is gone is written anew. Below that
	// its rows cost a lookup nothing, as they are asked for by nobody.
	staleShare = 4
)

// tier grows with the logarithm of a segment's rows.
func tier(rows int64) int {
	t := 0
	for at := int64(smallest); rows > at; at *= growth {
		t++
	}
	return t
}

// plan chooses which segments are joined: those of a tier as soon as there are fanIn, together
// with what is smaller. So each row is written once per tier in its life, and of each tier
// fewer than fanIn segments stay. What names many packs that are gone is written anew in any
// case.
func plan(all []size, fanIn int, maxRows int64) [][]int {
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(all[a].rows, all[b].rows) })
	var groups [][]int
	var rest []int // too few of their tier
	for len(order) > 0 {
		t := tier(all[order[0]].rows)
		n := slices.IndexFunc(order, func(i int) bool { return tier(all[i].rows) != t })
		if n < 0 {
			n = len(order)
		}
		same := order[:n]
		order = order[n:]
		if len(same) < fanIn || all[same[0]].rows > maxRows/growth { // too few, or large enough
			rest = append(rest, same...)
			continue
		}
		groups = append(groups, split(all, append(rest, same...), maxRows)...)
		rest = nil
	}
	for _, i := range rest {
		if all[i].stale() {
			groups = append(groups, []int{i})
		}
	}
	return groups
}

func (s size) stale() bool { return s.gone > 0 && s.gone*staleShare >= s.packs }

// split cuts a list where a joined segment would have too many rows or parts.
func split(all []size, list []int, maxRows int64) [][]int {
	var groups [][]int
	var group []int
	var rows int64
	end := func() {
		if len(group) > 1 || len(group) == 1 && all[group[0]].stale() {
			groups = append(groups, group)
		}
		group, rows = nil, 0
	}
	for _, i := range list {
		if rows+all[i].rows > maxRows || len(group) == maxParts {
			end()
		}
		group = append(group, i)
		rows += all[i].rows
	}
	end()
	return groups
}
