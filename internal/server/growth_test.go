package server

import (
	"testing"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/notify"
)

func TestGrowthIsMeasuredOverTheDaysThatCount(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	today := catalog.DayOf(now)
	figures := catalog.Figures{SizeBytes: 600, FreeBytes: 400}
	for what, tt := range map[string]struct {
		days []catalog.RepositoryDay
		want growth
	}{
		"nothing is known": {nil, growth{}},
		"too short":        {[]catalog.RepositoryDay{{Day: today - notify.GrowthLeast + 1, SizeBytes: 100, Free: 900}}, growth{}},
		"long enough":      {[]catalog.RepositoryDay{{Day: today - 5, SizeBytes: 100, Free: 900}, {Day: today - 4, SizeBytes: 590, Free: 410}}, growth{5, 100, now.Add(4 * day)}},
		"too long ago":     {[]catalog.RepositoryDay{{Day: today - notify.GrowthDays - 1, SizeBytes: 0, Free: 1000}, {Day: today - 10, SizeBytes: 500, Free: 500}}, growth{10, 10, now.Add(40 * day)}},
		"others grow":      {[]catalog.RepositoryDay{{Day: today - 10, SizeBytes: 600, Free: 800}}, growth{10, 40, now.Add(10 * day)}},
		"it shrinks":       {[]catalog.RepositoryDay{{Day: today - 10, SizeBytes: 700, Free: 300}}, growth{10, 0, time.Time{}}},
	} {
		if got := growthOf(figures, tt.days, now); got != tt.want {
			t.Errorf("%s: %v, want %v", what, got, tt.want)
		}
	}
	slow := growthOf(catalog.Figures{SizeBytes: 1001, FreeBytes: 1 << 50}, []catalog.RepositoryDay{{Day: today - 10, SizeBytes: 1000, Free: 1 << 50}}, now)
	if slow.perDay != 1 || !slow.full.IsZero() {
		t.Errorf("what is full in millions of years: %v", slow)
	}
}

func TestHowFullARepositoryWasIsKnownDayByDay(t *testing.T) {
	c := &clock{at: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}
	s, f := withRepositoryAs(t, often(c))
	list := func(days int32) (*keepwardv1.ListRepositoryDaysResponse, error) {
		res, err := s.repositories().ListRepositoryDays(t.Context(), connect.NewRequest(&keepwardv1.ListRepositoryDaysRequest{Name: "main", Days: days}))
		if err != nil {
			return nil, err
		}
		return res.Msg, nil
	}
	for n := range int64(5) {
		f.mu.Lock()
		f.holds = n * 100 << 20
		f.mu.Unlock()
		must(s.repositories().GetRepository(t.Context(), connect.NewRequest(&keepwardv1.GetRepositoryRequest{Name: "main"})))(t)
		c.pass(day)
		until(t, "the day is noted", func() bool { m, err := list(0); return err == nil && len(m.GetDays()) == int(n)+1 })
	}
	until(t, "growth is found", func() bool { m, err := list(0); return err == nil && m.GetGrowth().GetDays() == 4 })
	m := must2(list(2))(t)
	if got := m.GetDays(); len(got) != 2 || got[0].GetDay() != "2026-11-24" || got[1].GetDay() != "2026-11-25" || got[1].GetSizeBytes()-got[0].GetSizeBytes() != 100<<20 {
		t.Errorf("the last two days: %v", got)
	}
	r := must(s.repositories().GetRepository(t.Context(), connect.NewRequest(&keepwardv1.GetRepositoryRequest{Name: "main"})))(t).Repository
	if g := r.GetGrowth(); g.GetBytesADay() != 100<<20 || g.GetFullAbout().AsTime().Sub(c.now()) < 4*day || g.GetFullAbout().AsTime().Sub(c.now()) > 7*day {
		t.Errorf("growth of %v, free %d", g, r.GetFreeBytes())
	}
	for _, days := range []int32{-1, 401} {
		if _, err := list(days); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%d days: %v", days, err)
		}
	}
	_, err := s.repositories().ListRepositoryDays(t.Context(), connect.NewRequest(&keepwardv1.ListRepositoryDaysRequest{Name: "mian"}))
	if errs.KindOf(err) != errs.NotFound {
		t.Errorf("of a repository that is not there: %v", err)
	}
}
