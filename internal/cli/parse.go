package cli

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// duration is a flag such as 90s, 2h, 7d.
type duration time.Duration

func (d *duration) String() string {
	if *d == 0 {
		return ""
	}
	return time.Duration(*d).String()
}

func (*duration) Type() string { return "duration" }

func (d *duration) Set(s string) error {
	v, err := parseDuration(s)
	*d = duration(v)
	return err
}

// within tells whether a flag of this name has a value that makes sense.
func (d *duration) within(flag string, least, most time.Duration) error {
	if v := time.Duration(*d); v < least || v > most {
		return usage("--%s is %s; it must be from %s to %s", flag, v, least, most)
	}
	return nil
}

const day = 24 * time.Hour

// parseDuration reads what Go reads, and days in front of it: 90s, 2h30m, 7d, 1d12h.
func parseDuration(s string) (time.Duration, error) {
	days, rest, hasDays := strings.Cut(s, "d")
	if !hasDays {
		days, rest = "0", s
	} else if rest == "" {
		rest = "0s"
	}
	n, err := strconv.ParseUint(days, 10, 16)
	d, err2 := time.ParseDuration(rest)
	if err != nil || err2 != nil || d < 0 || strings.HasPrefix(rest, "+") || d > 1<<16*day {
		return 0, usage("%q is no duration; write for instance 90s, 20m, 2h or 7d", s)
	}
	return time.Duration(n)*day + d, nil
}

// timeForms are the times that people write, in their own zone.
var timeForms = []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04"}

// parseTime reads a moment: RFC 3339, a local time, a time ago, or a day, which means
// its last moment: a point "of yesterday" is the last one of that day.
func parseTime(s string, now time.Time, zone *time.Location) (time.Time, error) {
	now = now.In(zone)
	switch s {
	case "now":
		return now, nil
	case "today":
		return endOfDay(now, 0), nil
	case "yesterday":
		return endOfDay(now, -1), nil
	}
	if ago, ok := strings.CutPrefix(strings.TrimPrefix(s, "now"), "-"); ok {
		d, err := parseDuration(ago)
		return now.Add(-d), err
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	for _, form := range timeForms {
		if t, err := time.ParseInLocation(form, s, zone); err == nil {
			return t, nil
		}
	}
	if t, err := time.ParseInLocation(time.DateOnly, s, zone); err == nil {
		return endOfDay(t, 0), nil
	}
	return time.Time{}, usage("%q is no time; write for instance \"2026-11-01 22:00\", yesterday, -3h or 2026-11-01T22:00:00Z", s)
}

// endOfDay is the last second of the day of t, days later.
func endOfDay(t time.Time, days int) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d+days+1, 0, 0, 0, 0, t.Location()).Add(-time.Second)
}

// timeAgo is what a time ago looks like.
var timeAgo = regexp.MustCompile(`^-[0-9]+[smhd][0-9smhd]*$`)

// pointArgs lets the names of points be times ago, which look like flags.
func pointArgs(args []string) []string {
	i := slices.Index(args, "point")
	if i < 0 {
		return args
	}
	args = slices.Clone(args)
	for ; i < len(args) && args[i] != "--"; i++ {
		if timeAgo.MatchString(args[i]) {
			args[i] = "now" + args[i]
		}
	}
	return args
}

// pointID is an id of a restore point, or enough of its beginning.
var pointID = regexp.MustCompile(`^[0-9a-f]{4,32}$`)

// pointName turns what a user calls a point into what the server takes: an id, a
// prefix of one, latest, or a time, which only the client knows the zone of.
func (a *app) pointName(s string) (string, error) {
	if s == "latest" || pointID.MatchString(s) {
		return s, nil
	}
	t, err := parseTime(s, a.now(), a.local)
	if err != nil {
		return "", usage("%q is no restore point; write an id (or four letters of it and more), latest, or a time", s)
	}
	return t.UTC().Format(time.RFC3339), nil
}
