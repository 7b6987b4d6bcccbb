package words

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"keepward/internal/errs"
)

const day = 24 * time.Hour

// ParseDuration reads a duration as people write it: "90s", "20m", "1h30m", "7d", "1d12h".
func ParseDuration(text string) (time.Duration, error) {
	bad := errs.New(errs.Invalid, "duration.text", "read duration %q: it is not one", text).
		WithHint("write it as 90s, 20m, 1h30m or 7d")
	days, rest, hasDays := strings.Cut(text, "d")
	if !hasDays {
		days, rest = "0", text
	}
	n, err := strconv.ParseUint(days, 10, 32)
	if err != nil || n > math.MaxInt64/uint64(day)/2 {
		return 0, bad
	}
	d := time.Duration(n) * day
	if rest == "" && hasDays {
		return d, nil
	}
	more, err := time.ParseDuration(rest)
	if err != nil || hasDays && (more < 0 || more >= day) {
		return 0, bad
	}
	return d + more, nil
}

// FormatDuration writes a duration so that ParseDuration reads it back, and people too.
func FormatDuration(d time.Duration) string {
	if d < day {
		return short(d)
	}
	text := fmt.Sprintf("%dd", d/day)
	if rest := d % day; rest != 0 {
		text += short(rest)
	}
	return text
}

// short drops the zero parts that time.Duration writes: "20m", not "20m0s".
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
