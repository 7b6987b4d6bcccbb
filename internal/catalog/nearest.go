package catalog

import (
	"cmp"
	"slices"
	"strings"

	"keepward/internal/errs"
)

// NotFound says that there is no such thing ("computer", "job", …) called name, and hints at the
// known names that look most like it, or at all where they are few. Its code is "<thing>.unknown", with
// hyphens between words.
func NotFound(thing, name string, known []string) *errs.Error {
	e := errs.New(errs.NotFound, strings.ReplaceAll(thing, " ", "-")+".unknown", "there is no %s %q", thing, name)
	if near := Nearest(name, known); len(near) > 0 {
		return e.WithHint("did you mean %s?", strings.Join(near, ", "))
	}
	switch {
	case len(known) == 0:
		return e.WithHint("there is no %s yet", thing)
	case len(known) == 1:
		return e.WithHint("the only %s is %s", thing, known[0])
	case len(known) <= nearestMost:
		return e.WithHint("there are %s", strings.Join(known, ", "))
	}
	return e
}

// nearestMost bounds a hint: more names are a list, not a hint.
const nearestMost = 3

// Nearest picks up to three of known that are close enough to name to be what was meant,
// the closest first.
func Nearest(name string, known []string) []string {
	type near struct {
		name     string
		distance int
	}
	lower := strings.ToLower(name)
	var found []near
	for _, k := range known {
		lk := strings.ToLower(k)
		d := distance(lower, lk)
		limit := max(len(lower), len(lk))/3 + 1
		if d > limit && (len(lower) < 2 || !strings.HasPrefix(lk, lower)) {
			continue
		}
		found = append(found, near{k, d})
	}
	slices.SortFunc(found, func(a, b near) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.name, b.name))
	})
	var out []string
	for _, f := range found[:min(len(found), nearestMost)] {
		out = append(out, f.name)
	}
	return out
}

// distanceLimit bounds the work on names that come from outside.
const distanceLimit = 256

// distance is the Levenshtein distance of two names, counted in bytes.
func distance(a, b string) int {
	a, b = a[:min(len(a), distanceLimit)], b[:min(len(b), distanceLimit)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
