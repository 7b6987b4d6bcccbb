package cli

import (
	"math"
	"regexp"
	"strconv"
	"strings"
)

// sizeForm is a size as people write it: 4096, 64MiB, 10GB, 1.5T.
var sizeForm = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) ?([kKMGT]?)(i?)B?$`)

// parseSize reads a size in bytes. A unit with an i counts by 1024, another by 1000.
func parseSize(s string) (int64, error) {
	m := sizeForm.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil || m[3] == "i" && m[2] == "" {
		return 0, usage("%q is no size; write for instance 4096, 64MiB or 10GB", s)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	base := 1000.0
	if m[3] == "i" {
		base = 1024
	}
	if m[2] != "" {
		v *= math.Pow(base, float64(strings.Index("KMGT", strings.ToUpper(m[2]))+1))
	}
	if err != nil || v >= math.MaxInt64 {
		return 0, usage("%q is no size; write for instance 4096, 64MiB or 10GB", s)
	}
	return int64(v), nil
}
