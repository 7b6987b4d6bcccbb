package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	keepwardv1 "keepward/api/keepward/v1"
)

// limitedBy names what held a backup up, the most first; empty where nothing was measured.
func limitedBy(l *keepwardv1.Limits) string {
	type share struct {
		name    string
		percent int32
	}
	shares := []share{{"CPU", l.GetCpu()}, {"source", l.GetSource()}, {"network", l.GetNetwork()}, {"target", l.GetTarget()}}
	slices.SortStableFunc(shares, func(a, b share) int { return cmp.Compare(b.percent, a.percent) })
	var parts []string
	for _, s := range shares {
		if s.percent > 0 {
			parts = append(parts, fmt.Sprintf("%s %d %%", s.name, s.percent))
		}
	}
	return strings.Join(parts, ", ")
}
