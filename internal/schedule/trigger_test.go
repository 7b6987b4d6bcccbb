package schedule_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/schedule"
)

func parsed(t *testing.T, text, in string) schedule.Schedule {
	t.Helper()
	s, err := schedule.Parse(text, zone(t, in))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWhatAScheduleGoesBy(t *testing.T) {
	tests := []struct {
		text      string
		kind      schedule.Kind
		after     string
		completed bool
		gap       time.Duration
	}{
		{"daily 22:00", schedule.Calendar, "", false, 0},
		{"every 15m", schedule.Calendar, "", false, 0},
		{"after Docs", schedule.AfterJob, "Docs", false, 0},
		{"after docs if completed", schedule.AfterJob, "docs", true, 0},
		{"continuously", schedule.Continuously, "", false, time.Minute},
		{"continuously pause 2h", schedule.Continuously, "", false, 2 * time.Hour},
		{"when online", schedule.WhenOnline, "", false, time.Hour},
		{"when online at most every 4h", schedule.WhenOnline, "", false, 4 * time.Hour},
	}
	for _, tt := range tests {
		s := parsed(t, tt.text, "UTC")
		after, completed := s.After()
		if s.Kind() != tt.kind || after != tt.after || completed != tt.completed || s.Gap() != tt.gap {
			t.Errorf("%q: %s, after %q (%v), gap %s", tt.text, s.Kind(), after, completed, s.Gap())
		}
		if _, ok := s.Next(time.Unix(0, 0)); ok != (tt.kind == schedule.Calendar) {
			t.Errorf("%q: has a moment of its own: %v", tt.text, ok)
		}
	}
	if (schedule.Schedule{}).Kind() != "" {
		t.Error("the zero schedule has a kind")
	}
}

func TestAContinuousJobBeginsInItsHours(t *testing.T) {
	tests := []struct{ text, zone, at, want string }{
		{"continuously", "UTC", "2026-11-01T12:34:56Z", "2026-11-01T12:34:56Z"},
		{"continuously hours 22-5", "UTC", "2026-11-01T12:34:56Z", "2026-11-01T22:00:00Z"},
		{"continuously hours 22-5", "UTC", "2026-11-01T05:59:59Z", "2026-11-01T05:59:59Z"},
		{"continuously on sat hours 3", "UTC", "2026-11-07T04:00:00Z", "2026-11-14T03:00:00Z"},
		{"continuously hours 8", "Asia/Kathmandu", "2026-11-01T00:00:00Z", "2026-11-01T02:15:00Z"},
		{"continuously hours 8 in Asia/Tokyo", "UTC", "2026-11-01T00:30:00Z", "2026-11-01T23:00:00Z"},
	}
	for _, tt := range tests {
		at, err := time.Parse(time.RFC3339, tt.at)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := parsed(t, tt.text, tt.zone).Allowed(at)
		if !ok || got.UTC().Format(time.RFC3339) != tt.want {
			t.Errorf("%q from %s: %s, %v; want %s", tt.text, tt.at, got.UTC().Format(time.RFC3339), ok, tt.want)
		}
	}
	if _, ok := parsed(t, "daily 22:00", "UTC").Allowed(time.Now()); ok {
		t.Error("a calendar says when a continuous job may begin")
	}
}

func TestHoursOfEachComputer(t *testing.T) {
	s := parsed(t, "daily 22:00 in computer", "UTC")
	after := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for name, want := range map[string]string{"Asia/Tokyo": "13:00", "Europe/Paris": "21:00", "UTC": "22:00"} {
		if at, ok := s.In(zone(t, name)).Next(after); !ok || at.UTC().Format("15:04") != want {
			t.Errorf("%s: %s, want %s", name, at.UTC(), want)
		}
	}
	if !s.PerComputer() || parsed(t, "daily 22:00", "UTC").PerComputer() {
		t.Error("whose hours they are is not told")
	}
	fixed := parsed(t, "daily 22:00 in Asia/Tokyo", "UTC")
	if at, _ := fixed.In(zone(t, "Europe/Paris")).Next(after); at.UTC().Hour() != 13 {
		t.Errorf("a fixed zone was replaced: %s", at)
	}
	if at, _ := s.In(nil).Next(after); at.UTC().Hour() != 22 {
		t.Errorf("a computer whose zone is not known runs at %s", at)
	}
}

func TestCirclesOfJobs(t *testing.T) {
	after := map[string]string{"b": "a", "c": "b", "x": "y", "y": "z", "z": "x", "in": "x", "self": "self"}
	for start, want := range map[string][]string{
		"a": nil, "c": nil, "unknown": nil,
		"self": {"self", "self"},
		"x":    {"x", "y", "z", "x"},
		"in":   {"x", "y", "z", "x"},
	} {
		if d := cmp.Diff(want, schedule.Circle(after, start)); d != "" {
			t.Errorf("from %s (-want +got):\n%s", start, d)
		}
	}
}
