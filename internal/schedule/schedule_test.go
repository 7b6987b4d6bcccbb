package schedule_test

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the zones of these tests, also where the system has none

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"keepward/internal/schedule"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

const layout = "2006-01-02 15:04 MST"

func TestNextMoments(t *testing.T) {
	tests := []struct {
		text, zone, after string
		want              []string
	}{
		{"daily 22:00", "UTC", "2026-11-01T21:59:59Z", []string{"2026-11-01 22:00 UTC", "2026-11-02 22:00 UTC"}},
		{"daily 22:00", "UTC", "2026-11-01T22:00:00Z", []string{"2026-11-02 22:00 UTC"}},
		{"Daily at 18:00,6:00", "UTC", "2026-11-01T12:00:00Z", []string{"2026-11-01 18:00 UTC", "2026-11-02 06:00 UTC"}},
		{"weekly mon,fri 03:30", "UTC", "2026-11-01T00:00:00Z", []string{"2026-11-02 03:30 UTC", "2026-11-06 03:30 UTC", "2026-11-09 03:30 UTC"}},
		{"weekly fri-mon 20:00", "UTC", "2026-11-02T21:00:00Z", []string{"2026-11-06 20:00 UTC", "2026-11-07 20:00 UTC"}},
		{"monthly 1 04:00", "UTC", "2026-11-01T04:00:00Z", []string{"2026-12-01 04:00 UTC", "2027-01-01 04:00 UTC"}},
		{"monthly 31 04:00", "UTC", "2027-01-15T00:00:00Z", []string{"2027-01-31 04:00 UTC", "2027-02-28 04:00 UTC", "2027-03-31 04:00 UTC"}},
		{"monthly last 04:00", "UTC", "2028-02-01T00:00:00Z", []string{"2028-02-29 04:00 UTC", "2028-03-31 04:00 UTC"}},
		{"monthly 2nd tue 04:00", "UTC", "2026-11-01T00:00:00Z", []string{"2026-11-10 04:00 UTC", "2026-12-08 04:00 UTC"}},
		{"monthly last fri 04:00", "UTC", "2026-11-01T00:00:00Z", []string{"2026-11-27 04:00 UTC", "2026-12-25 04:00 UTC"}},
		{"every 15m", "UTC", "2026-11-01T22:07:30Z", []string{"2026-11-01 22:15 UTC", "2026-11-01 22:30 UTC"}},
		{"every 7h", "UTC", "2026-11-01T20:00:00Z", []string{"2026-11-01 21:00 UTC", "2026-11-02 00:00 UTC", "2026-11-02 07:00 UTC"}},
		{"every 1h offset 20m", "UTC", "2026-11-01T22:07:30Z", []string{"2026-11-01 22:20 UTC", "2026-11-01 23:20 UTC", "2026-11-02 00:20 UTC"}},
		{"every 7h offset 2h", "UTC", "2026-11-01T20:00:00Z", []string{"2026-11-01 23:00 UTC", "2026-11-02 02:00 UTC", "2026-11-02 09:00 UTC"}},
		{"every 30m on mon-fri hours 8-9,17", "UTC", "2026-11-06T09:10:00Z", []string{"2026-11-06 09:30 UTC", "2026-11-06 17:00 UTC", "2026-11-06 17:30 UTC", "2026-11-09 08:00 UTC"}},
		{"every 2h hours 22-2", "UTC", "2026-11-01T12:00:00Z", []string{"2026-11-01 22:00 UTC", "2026-11-02 00:00 UTC", "2026-11-02 02:00 UTC", "2026-11-02 22:00 UTC"}},
		{"every 12h on sat hours 12 on sun", "UTC", "2026-11-06T12:00:00Z", []string{"2026-11-07 12:00 UTC", "2026-11-08 00:00 UTC", "2026-11-08 12:00 UTC", "2026-11-14 12:00 UTC"}},
		{"30 22 * * 1-5", "UTC", "2026-10-31T00:00:00Z", []string{"2026-11-02 22:30 UTC", "2026-11-03 22:30 UTC"}},
		{"0 0 1,15 * sun", "UTC", "2026-11-02T00:00:00Z", []string{"2026-11-08 00:00 UTC", "2026-11-15 00:00 UTC", "2026-11-22 00:00 UTC", "2026-11-29 00:00 UTC", "2026-12-01 00:00 UTC"}},
		{"*/20 8-9 * * *", "UTC", "2026-11-01T08:30:00Z", []string{"2026-11-01 08:40 UTC", "2026-11-01 09:00 UTC"}},
		{"0 12 29 feb *", "UTC", "2096-03-01T00:00:00Z", []string{"2104-02-29 12:00 UTC"}},
		{"0 6 * * 7", "UTC", "2026-11-02T00:00:00Z", []string{"2026-11-08 06:00 UTC"}},

		// The clocks jump from 02:00 to 03:00 on 28 March 2027, and back from 03:00 to 02:00 on 31 October 2027.
		{"daily 02:30", "Europe/Paris", "2027-03-27T12:00:00Z", []string{"2027-03-28 03:00 CEST", "2027-03-29 02:30 CEST"}},
		{"daily 02:15,02:30,03:00", "Europe/Paris", "2027-03-27T12:00:00Z", []string{"2027-03-28 03:00 CEST", "2027-03-29 02:15 CEST"}},
		{"daily 02:30", "Europe/Paris", "2027-10-30T12:00:00Z", []string{"2027-10-31 02:30 CEST", "2027-11-01 02:30 CET"}},
		{"0 * * * *", "Europe/Paris", "2027-10-30T23:30:00Z", []string{"2027-10-31 02:00 CEST", "2027-10-31 03:00 CET"}},
		{"every 30m", "Europe/Paris", "2027-10-31T00:10:00Z", []string{"2027-10-31 02:30 CEST", "2027-10-31 02:00 CET", "2027-10-31 02:30 CET", "2027-10-31 03:00 CET"}},
		{"every 1h hours 2", "Europe/Paris", "2027-10-30T12:00:00Z", []string{"2027-10-31 02:00 CEST", "2027-10-31 02:00 CET", "2027-11-01 02:00 CET"}},
		{"every 1h hours 2", "Europe/Paris", "2027-03-27T12:00:00Z", []string{"2027-03-29 02:00 CEST"}},
		{"every 1h", "Europe/Paris", "2027-03-28T00:10:00Z", []string{"2027-03-28 03:00 CEST", "2027-03-28 04:00 CEST"}},
		// The clocks of Havana jump at midnight: the day begins at 01:00.
		{"daily 00:00", "America/Havana", "2027-03-13T12:00:00Z", []string{"2027-03-14 01:00 CDT", "2027-03-15 00:00 CDT"}},
		// Lord Howe jumps by half an hour.
		{"daily 02:15", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", []string{"2026-10-04 02:30 +11", "2026-10-05 02:15 +11"}},
		// Samoa left out 30 December 2011.
		{"daily 22:00", "Pacific/Apia", "2011-12-29T12:00:00Z", []string{"2011-12-29 22:00 -10", "2011-12-31 00:00 +14", "2011-12-31 22:00 +14"}},
		{"daily 22:00 in computer", "Asia/Tokyo", "2026-11-01T00:00:00Z", []string{"2026-11-01 22:00 JST"}},
		{"daily 22:00 in Asia/Tokyo", "UTC", "2026-11-01T00:00:00Z", []string{"2026-11-01 22:00 JST"}},
	}
	for _, tt := range tests {
		t.Run(tt.text+" "+tt.zone, func(t *testing.T) {
			s, err := schedule.Parse(tt.text, zone(t, tt.zone))
			if err != nil {
				t.Fatal(err)
			}
			after, err := time.Parse(time.RFC3339, tt.after)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range s.NextN(after, len(tt.want)) {
				got = append(got, m.Format(layout))
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestRefusedWithAnExample(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", `"daily 22:00"`},
		{"nightly", `"daily 22:00"`},
		{"daily", `"daily 22:00"`},
		{"daily 24:00", "00:00 to 23:59"},
		{"daily 7", "00:00 to 23:59"},
		{"daily +7:00", "00:00 to 23:59"},
		{"daily 22:00,", "00:00 to 23:59"},
		{"weekly 03:30", `"weekly mon,fri 03:30"`},
		{"weekly mo 03:30", "mon, tue"},
		{"weekly mon,fre 03:30", `"fre"`},
		{"monthly 04:00", `"monthly last 04:00"`},
		{"monthly 32 04:00", "1 to 31"},
		{"monthly 5th tue 04:00", "1st, 2nd"},
		{"monthly 2nd tuesdays 04:00", "day of the week"},
		{"every", `"every 15m"`},
		{"every 10s", "whole minutes"},
		{"every 90s", "whole minutes"},
		{"every 25h", "whole minutes"},
		{"61 * * * *", "minute"},
		{"* 24 * * *", "hour"},
		{"* * 0 * *", "day of the month"},
		{"* * * foo *", "month"},
		{"* * * * 8", "day of the week"},
		{"*/0 * * * *", "minute"},
		{"5-1 * * * *", "minute"},
		{"1,,2 * * * *", "minute"},
		{"0 0 30 feb *", "never comes"},
		{"daily 22:00 in Mars/Olympus", "Europe/Paris"},
		{"every 1h offset 60m", "shorter than"},
		{"every 1h offset -5m", "shorter than"},
		{"every 1h offset", "not understood"},
		{"every 1h hours 24", "0 to 23"},
		{"every 1h hours", "not understood"},
		{"every 1h on someday", "day of the week"},
		{"every 1h sometimes", `"every 30m on mon-fri hours 8-17"`},
		{"every 24h hours 8-17", "never comes"},
		{"every 24h offset 5h on mon hours 4", "never comes"},
		{"after", `"after docs"`},
		{"after docs if lucky", `"after docs if completed"`},
		{"after docs in Europe/Paris", "says nothing here"},
		{"when offline", `"when online"`},
		{"when online at most every 31d", "whole minutes"},
		{"when online at most every 721h", "whole minutes"},
		{"when online in computer", "says nothing here"},
		{"continuously pause 10s", "whole minutes"},
		{"continuously pause", "not understood"},
		{"continuously in computer", "name a zone"},
	}
	for _, tt := range tests {
		_, err := schedule.Parse(tt.text, time.UTC)
		if err == nil {
			t.Errorf("%q was taken", tt.text)
			continue
		}
		if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v; want it to say %s", tt.text, err, tt.want)
		}
	}
}

func TestNormalForm(t *testing.T) {
	for text, want := range map[string]string{
		"DAILY at 6:00,22:00,06:00":      "daily 06:00,22:00",
		"weekly Sunday,mon-wed 3:05":     "weekly mon,tue,wed,sun 03:05",
		"monthly last,15,1 04:00":        "monthly 1,15,last 04:00",
		"monthly LAST Fri 04:00":         "monthly last fri 04:00",
		"every 120m":                     "every 2h",
		"every 90m":                      "every 90m",
		"  5 4  * JAN mon ":              "5 4 * jan mon",
		"daily 22:00 IN Europe/Paris":    "daily 22:00 in Europe/Paris",
		"daily at 22:00 in Europe/Paris": "daily 22:00 in Europe/Paris",
		"daily 22:00 in COMPUTER":        "daily 22:00 in computer",

		"every 60m OFFSET 5m on Monday,tue-fri hours 8,9,10-12,20": "every 1h offset 5m on mon,tue,wed,thu,fri hours 8-12,20",
		"every 1h offset 0m":                            "every 1h",
		"every 1h on sat hours 3 on sun on mon hours 3": "every 1h on mon,sat hours 3 on sun",
		"every 1h on mon-sun hours 0-23":                "every 1h",
		"every 1h hours 8 on mon hours 9":               "every 1h on mon hours 8-9 on tue,wed,thu,fri,sat,sun hours 8",
		"CONTINUOUSLY":                                  "continuously",
		"continuously pause 1m hours 22-5":              "continuously hours 0-5,22-23",
		"continuously pause 90m on sat in Europe/Paris": "continuously pause 90m on sat in Europe/Paris",

		"AFTER Docs":                     "after Docs",
		"after Docs IF Completed":        "after Docs if completed",
		"When Online":                    "when online",
		"when online at most every 60m":  "when online",
		"when online at most every 240m": "when online at most every 4h",
	} {
		s, err := schedule.Parse(text, time.UTC)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if s.String() != want {
			t.Errorf("%q: %q, want %q", text, s, want)
		}
	}
}

func TestZeroScheduleNeverRuns(t *testing.T) {
	var s schedule.Schedule
	if _, ok := s.Next(time.Now()); ok || s.String() != "" || s.NextN(time.Now(), 2) != nil {
		t.Error("the zero schedule has a time")
	}
}

func TestExamplesParse(t *testing.T) {
	for _, text := range schedule.Examples {
		if _, err := schedule.Parse(text, time.UTC); err != nil {
			t.Error(err)
		}
	}
}

var zones = []string{
	"UTC", "Europe/Paris", "America/New_York", "America/Havana", "Australia/Lord_Howe", "Asia/Kathmandu",
	"Pacific/Apia", "Africa/Casablanca", "America/Sao_Paulo", "Asia/Tehran",
}

// TestDailyIsNeverLostAndNeverTwice compares with a plain walk over every minute: on
// each day the first minute whose clock shows the hour or more is the one.
func TestDailyIsNeverLostAndNeverTwice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		z := zone(t, rapid.SampledFrom(zones).Draw(rt, "zone"))
		h, m := rapid.IntRange(0, 23).Draw(rt, "hour"), rapid.IntRange(0, 59).Draw(rt, "minute")
		start := time.Date(2009, 1, 1, 0, 0, 0, 0, z).AddDate(0, 0, rapid.IntRange(0, 20*365).Draw(rt, "day"))
		s, err := schedule.Parse(time.Date(2000, 1, 1, h, m, 0, 0, time.UTC).Format("daily 15:04"), z)
		if err != nil {
			rt.Fatal(err)
		}
		got := s.NextN(start.Add(-time.Second), 4)
		// The walk: L is what clocks show, as a number that grows but for the jumps back.
		shows := func(t time.Time) int64 { _, o := t.Zone(); return t.Unix() + int64(o) }
		wall := shows(start) - shows(start)%86400 + int64(h*3600+m*60)
		var want []time.Time
		for at := start.Add(-24 * time.Hour).Truncate(time.Minute); len(want) < 4; at = at.Add(time.Minute) {
			for shows(at) >= wall {
				if !at.Before(start) {
					want = append(want, at)
				}
				wall += 86400
			}
		}
		for i := range got {
			if !got[i].Equal(want[i]) {
				rt.Fatalf("%s in %s after %s: %v, want %v", s, z, start, got, want[:4])
			}
		}
	})
}

// TestNextIsMonotone proves for any rule that Next is after, that nothing lies
// between, and that the normal form means the same.
func TestNextIsMonotone(t *testing.T) {
	texts := []string{
		"monthly 29,31 02:30", "weekly sun 02:30", "every 7m", "*/10 1-3 * 3,10 sun", "0 0 29 2 *",
		"every 11m offset 3m on sun hours 1-3", "every 5h hours 22-3 on tue",
	}
	for _, text := range schedule.Examples {
		if s, err := schedule.Parse(text, time.UTC); err == nil && s.Kind() == schedule.Calendar {
			texts = append(texts, text)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		z := zone(t, rapid.SampledFrom(zones).Draw(rt, "zone"))
		s, err := schedule.Parse(rapid.SampledFrom(texts).Draw(rt, "text"), z)
		if err != nil {
			rt.Fatal(err)
		}
		again, err := schedule.Parse(s.String(), z)
		if err != nil {
			rt.Fatal(err)
		}
		after := time.Unix(rapid.Int64Range(1230768000, 1893456000).Draw(rt, "after"), 0)
		next, ok := s.Next(after)
		if !ok || !next.After(after) {
			rt.Fatalf("%s after %s: %s", s, after, next)
		}
		if n, _ := again.Next(after); !n.Equal(next) {
			rt.Fatalf("%s and its normal form %s differ: %s, %s", s, again, next, n)
		}
		between := after.Add(time.Duration(rapid.Int64Range(0, int64(next.Sub(after))-1).Draw(rt, "between")))
		if n, _ := s.Next(between); !n.Equal(next) {
			rt.Fatalf("%s: next after %s is %s, but after %s it is %s", s, after, next, between, n)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, text := range append([]string{"daily 22:00 in Europe/Paris", "* * 30 2 *", "every 1h1m", "every 1h hours 8 on mon", "after x if completed", "continuously pause 2m on sat"}, schedule.Examples...) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := schedule.Parse(text, time.UTC)
		if err != nil {
			return
		}
		again, err := schedule.Parse(s.String(), time.UTC)
		if err != nil || again.String() != s.String() {
			t.Fatalf("%q: normal form %q is not one: %q, %v", text, s, again, err)
		}
	})
}
