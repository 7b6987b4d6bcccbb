package update

import (
	"cmp"
	"strconv"
	"strings"
)

// Older tells whether a version of a program came before another, by semantic versioning. Of what
// does not have that form it cannot be told, as of a program that was built by hand.
func Older(version, than string) bool {
	c, ok := compare(version, than)
	return ok && c < 0
}

// Newer tells whether a version came after another, where that can be told.
func Newer(version, than string) bool { return Older(than, version) }

func compare(version, than string) (c int, ok bool) {
	a, ok := parseVersion(version)
	b, known := parseVersion(than)
	if !ok || !known {
		return 0, false
	}
	for i := range a.number {
		if c := cmp.Compare(a.number[i], b.number[i]); c != 0 {
			return c, true
		}
	}
	return comparePre(a.pre, b.pre), true
}

type parsedVersion struct {
	number [3]uint64
	pre    string // "": a release
}

func parseVersion(text string) (v parsedVersion, ok bool) {
	text, _, _ = strings.Cut(strings.TrimPrefix(text, "v"), "+")
	text, v.pre, _ = strings.Cut(text, "-")
	parts := strings.Split(text, ".")
	if len(parts) != len(v.number) {
		return v, false
	}
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 64)
		if err != nil {
			return v, false
		}
		v.number[i] = n
	}
	return v, true
}

// comparePre compares what stands behind the dash: part by part, numbers before words; what has
// nothing there is the release, and comes last.
func comparePre(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == "":
		return 1
	case b == "":
		return -1
	}
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		x, xErr := strconv.ParseUint(as[i], 10, 64)
		y, yErr := strconv.ParseUint(bs[i], 10, 64)
		c := cmp.Compare(as[i], bs[i])
		switch {
		case xErr == nil && yErr == nil:
			c = cmp.Compare(x, y)
		case xErr == nil:
			c = -1
		case yErr == nil:
			c = 1
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(len(as), len(bs))
}
