//go:build unix

package restore

import (
	"path"
	"slices"
	"strings"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
)

// part is a piece of the point that is laid by one rule: a path and all below it, but for what other
// rules lay.
type part struct {
	path  string
	moved *PathMap // nil: it stays where it is
	skip  []string // paths below it that are parts of their own
}

// place is where an entry of the part is laid.
func (p *part) place(entry string) string {
	if p.moved == nil {
		return entry
	}
	return p.moved.To + entry[len(p.moved.From):]
}

// skipped is the part that an entry belongs to in this one's place; empty: it is this one's.
func (p *part) skipped(entry []byte) string {
	for _, s := range p.skip {
		if within(s, entry) {
			return s
		}
	}
	return ""
}

// checkRenames reads the rules: paths as in the index, the longest first.
func checkRenames(rules []PathMap) ([]PathMap, error) {
	var out []PathMap
	for _, r := range rules {
		from, to := strings.Trim(path.Clean("/"+r.From), "/"), strings.Trim(path.Clean("/"+r.To), "/")
		if !strings.HasPrefix(r.From, "/") || !strings.HasPrefix(r.To, "/") || from == "" || to == "" {
			return nil, errs.New(errs.Invalid, "restore.rename", "lay %q at %q: both must be full names, and not that of the root", r.From, r.To).
				WithHint("write for instance /srv/www=/srv/new")
		}
		if slices.ContainsFunc(out, func(o PathMap) bool { return o.From == from }) {
			return nil, errs.New(errs.Invalid, "restore.rename", "lay /%s at %q: it is laid elsewhere already", from, r.To).WithHint("give one place for each path")
		}
		if slices.ContainsFunc(out, func(o PathMap) bool { return o.To == to }) {
			return nil, errs.New(errs.Invalid, "restore.rename", "lay %q at /%s: something else is laid there already", r.From, to).WithHint("give each path a place of its own")
		}
		out = append(out, PathMap{from, to})
	}
	slices.SortFunc(out, func(a, b PathMap) int { return len(b.From) - len(a.From) })
	return out, nil
}

// partsOf parts the chosen paths by the rules. What is moved comes first: directories that it is laid
// into get their times when their own part is done.
func partsOf(selected []string, rules []PathMap) []part {
	var moved, rest []part
	add := func(p part) {
		for _, r := range rules {
			if r.From != p.path && within(p.path, []byte(r.From)) {
				p.skip = append(p.skip, r.From)
			}
		}
		if p.moved != nil {
			moved = append(moved, p)
		} else {
			rest = append(rest, p)
		}
	}
	for _, s := range selected {
		one := part{path: s}
		if i := slices.IndexFunc(rules, func(r PathMap) bool { return within(r.From, []byte(s)) }); i >= 0 {
			one.moved = &rules[i]
		}
		add(one)
	}
	for i := range rules {
		if slices.ContainsFunc(selected, func(s string) bool { return s != rules[i].From && within(s, []byte(rules[i].From)) }) {
			add(part{path: rules[i].From, moved: &rules[i]})
		}
	}
	slices.SortStableFunc(moved, func(a, b part) int {
		return fileindex.ComparePaths([]byte(a.place(a.path)), []byte(b.place(b.path)))
	})
	return append(moved, rest...)
}

// spared are names in a directory that DeleteExtra must leave: what rules lay there, or take from
// there.
func spared(rules []PathMap, dir string, keep map[string]struct{}) {
	for _, r := range rules {
		for _, p := range []string{r.From, r.To} {
			if p != dir && within(dir, []byte(p)) {
				name, _, _ := strings.Cut(strings.TrimPrefix(p[len(dir):], "/"), "/")
				keep[name] = struct{}{}
			}
		}
	}
}
