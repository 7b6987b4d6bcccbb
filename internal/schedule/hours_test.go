package schedule

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func hours(t *testing.T, zone string, texts ...string) Hours {
	t.Helper()
	z, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	h, err := ParseHours(texts, z)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func moment(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestHoursHoldFromTheirBeginToBeforeTheirEnd(t *testing.T) {
	for _, c := range []struct {
		name, zone string
		texts      []string
		in, out    []string
	}{
		{
			"over midnight, on the days on which they begin", "UTC",
			[]string{"mon-fri 20:00-06:00"},
			[]string{"2026-11-02T20:00:00Z", "2026-11-03T05:59:59Z", "2026-11-07T05:59:00Z"}, // the 2nd is a Monday
			[]string{"2026-11-02T19:59:59Z", "2026-11-03T06:00:00Z", "2026-11-02T05:00:00Z", "2026-11-07T20:00:00Z"},
		},
		{"a whole day", "UTC", []string{"sat"}, []string{"2026-11-07T00:00:00Z", "2026-11-07T23:59:59Z"}, []string{"2026-11-06T23:59:59Z", "2026-11-08T00:00:00Z"}},
		{"several stretches", "UTC", []string{"daily 12:00-13:00,18:00-24:00"}, []string{"2026-11-02T12:30:00Z", "2026-11-02T23:59:59Z"}, []string{"2026-11-02T13:00:00Z", "2026-11-03T00:00:00Z"}},
		{"several texts", "UTC", []string{"sun", "22:00-04:00"}, []string{"2026-11-08T10:00:00Z", "2026-11-03T03:00:00Z"}, []string{"2026-11-03T10:00:00Z"}},
		{"a range over the week's end", "UTC", []string{"sat-mon 01:00-02:00"}, []string{"2026-11-09T01:30:00Z"}, []string{"2026-11-10T01:30:00Z"}},
		{"the zone counts", "Europe/Paris", []string{"daily 22:00-23:00"}, []string{"2026-11-02T21:30:00Z"}, []string{"2026-11-02T22:30:00Z"}},
		{
			"begins in the hour that is skipped", "Europe/Paris",
			[]string{"sun 02:30-05:00"},
			[]string{"2026-03-29T01:00:00Z"},
			[]string{"2026-03-29T00:59:59Z", "2026-03-29T03:00:00Z"},
		},
		{
			"ends in the hour that comes twice", "Europe/Paris",
			[]string{"sun 01:00-02:30"},
			[]string{"2026-10-25T00:29:59Z"},
			[]string{"2026-10-25T00:30:00Z", "2026-10-25T01:15:00Z"},
		},
		{"none", "UTC", nil, nil, []string{"2026-11-02T12:00:00Z"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := hours(t, c.zone, c.texts...)
			for _, at := range c.in {
				if !h.In(moment(t, at)) {
					t.Errorf("%s is outside", at)
				}
			}
			for _, at := range c.out {
				if h.In(moment(t, at)) {
					t.Errorf("%s is inside", at)
				}
			}
		})
	}
}

func TestBetweenTwoEdgesNothingChanges(t *testing.T) {
	h := hours(t, "Europe/Paris", "mon-fri 20:00-06:00", "sat", "sun 02:30-02:45")
	for _, week := range []string{"2026-03-23T00:00:00Z", "2026-10-19T00:00:00Z"} { // the clocks change on their Sundays
		from := moment(t, week)
		until := from.AddDate(0, 0, 8)
		edges := append(h.Edges(from, until), until)
		slices.SortFunc(edges, time.Time.Compare)
		for _, e := range edges {
			in := h.In(from)
			for at := from; at.Before(e); at = at.Add(5 * time.Minute) {
				if h.In(at) != in {
					t.Fatalf("%v changes between its edges %v and %v", at, from, e)
				}
			}
			from = e
		}
	}
}

func TestHoursThatCannotBeRead(t *testing.T) {
	for text, says := range map[string]string{
		"":                      "wants days",
		"someday 10:00-11:00":   "no day of the week",
		"mon 10:00":             "has no end",
		"mon 10:00-10:00":       "begins when it ends",
		"mon 10:00-25:00":       "no time of day",
		"24:00-10:00":           "no time of day",
		"mon 10:00-11:00 extra": "wants days",
	} {
		if _, err := ParseHours([]string{text}, time.UTC); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
	for _, text := range HoursExamples {
		if _, err := ParseHours([]string{text}, time.UTC); err != nil {
			t.Error(err)
		}
	}
}
