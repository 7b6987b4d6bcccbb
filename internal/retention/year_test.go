package retention

import (
	"strings"
	"testing"
	"time"
)

// Of a year of nightly backups the newest are there, then one of each week, then one of each month.
func TestAYearOfNightlyBackups(t *testing.T) {
	zone := time.UTC
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, zone)
	var made []time.Time
	for i := range 400 { // some of them longer ago than the year
		made = append(made, time.Date(2026, 11, 22, 22, 0, 0, 0, zone).AddDate(0, 0, -i))
	}
	days := Policy{KeepLast: 7, Weekly: 4, Monthly: 12}.Year(made, now, zone)
	if len(days) != YearDays || days[0].Date.Format(time.DateOnly) != "2025-11-24" || days[YearDays-1].Date.Format(time.DateOnly) != "2026-11-23" {
		t.Fatalf("%d days from %v to %v", len(days), days[0].Date, days[len(days)-1].Date)
	}
	kept := map[string]string{}
	for i, d := range days {
		if want := 1; d.Made != want && i < YearDays-1 {
			t.Errorf("%s made %d", d.Date.Format(time.DateOnly), d.Made)
		}
		if d.Kept > 0 {
			kept[d.Date.Format(time.DateOnly)] = strings.Join(d.Because, ", ")
		}
	}
	for day, why := range map[string]string{
		"2026-11-22": "newest 7: number 1", "2026-11-16": "newest 7: number 7", "2026-11-08": "weekly 3 of 4", "2026-10-31": "monthly 2 of 12", "2025-12-31": "monthly 12 of 12",
	} {
		if !strings.Contains(kept[day], why) {
			t.Errorf("%s is kept because of %q, want %q", day, kept[day], why)
		}
		delete(kept, day)
	}
	for _, gone := range []string{"2026-11-10", "2026-07-15", "2025-11-30"} {
		if kept[gone] != "" {
			t.Errorf("%s is kept because of %s", gone, kept[gone])
		}
	}
	if days := (Policy{}).Year(nil, now, zone); len(days) != YearDays || days[9].Kept != 0 {
		t.Error("a year without points has some")
	}
}

// The day on which the clocks change has one beginning, and no point is lost to it.
func TestAYearOverTheChangeOfClocks(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, zone)
	var made []time.Time
	for at := now.AddDate(0, 0, -300); at.Before(now); at = at.Add(time.Hour) {
		made = append(made, at)
	}
	total, seen := 0, map[string]bool{}
	for _, d := range (Policy{KeepDays: 400}).Year(made, now, zone) {
		key := d.Date.Format(time.DateOnly)
		if seen[key] || d.Kept != d.Made || d.Date.Hour() != 0 {
			t.Errorf("%v: %+v", key, d)
		}
		seen[key] = true
		total += d.Made
	}
	if total != len(made) {
		t.Errorf("%d of %d points are in a day", total, len(made))
	}
}
