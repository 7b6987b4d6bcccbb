package server

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/notify"
)

// This file is how full repositories were, day by day, and when they will be full.

const (
	// repositoryDaysShown is how many days are listed where nobody says.
	repositoryDaysShown = 90
	// fullAtMost bounds in how many days something is full; beyond it nobody knows.
	fullAtMost = 36_500
)

// fillingRepositories are nearly full, or will be soon if they grow as they did. It notes how full they
// are today, and how they grow.
func (s *server) fillingRepositories(ctx context.Context, now time.Time) (out []*keepwardv1.Condition, err error) {
	rows, err := catalog.Repositories(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	today := catalog.DayOf(now)
	days, err := catalog.RepositoryDays(ctx, s.db.Read(), today-notify.GrowthDays)
	if err != nil {
		return nil, err
	}
	growths := map[string]growth{}
	for _, row := range rows {
		f := row.Figures
		if f.Looked.IsZero() || f.FreeBytes <= 0 && f.SizeBytes <= 0 {
			continue // not known yet
		}
		if list := days[row.Name]; len(list) == 0 || list[len(list)-1].Day < today {
			d := catalog.RepositoryDay{Day: today, SizeBytes: f.SizeBytes, Free: f.FreeBytes}
			if err := s.db.Write(ctx, func(tx *sql.Tx) error { return catalog.NoteRepositoryDay(ctx, tx, row.Name, d) }); err != nil {
				return nil, err
			}
		}
		g := growthOf(f, days[row.Name], now)
		growths[row.Name] = g
		if c := fillingCondition(row.Name, f, g, now); c != nil {
			out = append(out, c)
		}
	}
	s.notes.mu.Lock()
	s.notes.growths = growths
	s.notes.mu.Unlock()
	return out, nil
}

func fillingCondition(name string, f catalog.Figures, g growth, now time.Time) *keepwardv1.Condition {
	percent := int(float64(f.SizeBytes) / (float64(f.SizeBytes) + float64(f.FreeBytes)) * 100)
	text := ""
	switch {
	case percent >= notify.FillingPercent:
		text = fmt.Sprintf("repository %s is %d %% full", name, percent)
	case !g.full.IsZero() && g.full.Sub(now) <= notify.FillingDays*day:
		text = fmt.Sprintf("repository %s fills up", name)
	default:
		return nil
	}
	if !g.full.IsZero() {
		text += fmt.Sprintf("; at its growth it is full about %s", g.full.Local().Format(time.DateOnly))
	}
	return &keepwardv1.Condition{
		Code: "repository.filling", Severity: severityWarning, Subject: name, Text: text, Since: timestamp(f.Looked),
		Hint: fmt.Sprintf("give it more space, keep points for a shorter time, or sweep: keepward repository stats %s", name),
	}
}

// growth is how fast a repository has filled its disk. The zero value: it is not known.
type growth struct {
	days   int64     // over which it was measured
	perDay int64     // bytes; 0: it does not grow
	full   time.Time // zero: never, as far as anybody knows
}

// growthOf compares what there is now with the oldest day that counts. Other use of the same disk counts,
// since free space does.
func growthOf(f catalog.Figures, days []catalog.RepositoryDay, now time.Time) growth {
	today := catalog.DayOf(now)
	for _, d := range days {
		over := today - d.Day
		if over > notify.GrowthDays || over < notify.GrowthLeast {
			continue
		}
		g := growth{days: over}
		grown := max(f.SizeBytes-d.SizeBytes, d.Free-f.FreeBytes)
		if grown <= 0 {
			return g
		}
		g.perDay = max(grown/over, 1)
		if n := float64(f.FreeBytes) / (float64(grown) / float64(over)); n < fullAtMost {
			g.full = now.Add(time.Duration(n * float64(day)))
		}
		return g
	}
	return growth{}
}

func (g growth) message() *keepwardv1.Growth {
	if g.days == 0 {
		return nil
	}
	return &keepwardv1.Growth{Days: int32(g.days), BytesADay: g.perDay, FullAbout: timestamp(g.full)}
}

// growth is that which was found last.
func (s *server) growth(name string) growth {
	s.notes.mu.Lock()
	defer s.notes.mu.Unlock()
	return s.notes.growths[name]
}

func (s *repositoryService) ListRepositoryDays(ctx context.Context, req *connect.Request[keepwardv1.ListRepositoryDaysRequest]) (*connect.Response[keepwardv1.ListRepositoryDaysResponse], error) {
	name, days := req.Msg.GetName(), int64(req.Msg.GetDays())
	if days == 0 {
		days = repositoryDaysShown
	}
	if days < 1 || days > catalog.RepositoryDaysKept {
		return nil, errs.New(errs.Invalid, "repository.days", "list days of repository %s: %d days make no sense", name, days).
			WithHint("there are 1 to %d", catalog.RepositoryDaysKept)
	}
	if _, err := catalog.GetRepository(ctx, s.db.Read(), name); err != nil {
		return nil, err
	}
	list, err := catalog.DaysOfRepository(ctx, s.db.Read(), name, catalog.DayOf(s.notes.now())-days+1)
	if err != nil {
		return nil, err
	}
	res := &keepwardv1.ListRepositoryDaysResponse{Growth: s.growth(name).message()}
	for _, d := range list {
		res.Days = append(res.Days, &keepwardv1.RepositoryDay{
			Day: time.Unix(d.Day*int64(day/time.Second), 0).UTC().Format(time.DateOnly), SizeBytes: d.SizeBytes, FreeBytes: d.Free,
		})
	}
	return connect.NewResponse(res), nil
}
