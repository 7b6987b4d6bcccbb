package manager

import (
	"cmp"
	"context"
	"database/sql"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/group"
)

// This file is how computers were protected, day by day. The rows are written where a task ends, by the
// database; here they are listed, and forgotten.

const (
	daysShown = 30 // where nobody says
	// daysPage is how many computers a page has where nobody says, daysMost bounds it.
	daysPage = 50
	daysMost = 500
)

// protectionWords are the results as they are called.
var protectionWords = map[catalog.Protection]string{
	catalog.ProtectionSuccess: "success", catalog.ProtectionWarning: "warning", catalog.ProtectionPartial: "partial", catalog.ProtectionFailed: "failed",
}

// ListProtectionDays lists computers with what their backups came to on each day, the worst first.
func (m *Manager) ListProtectionDays(ctx context.Context, req *keepwardv1.ListProtectionDaysRequest) (*keepwardv1.ListProtectionDaysResponse, error) {
	f, err := m.protectionFilter(ctx, req, time.Now())
	if err != nil {
		return nil, err
	}
	list, err := catalog.ListProtection(ctx, m.deps.DB.Read(), f)
	if err != nil {
		return nil, err
	}
	out := &keepwardv1.ListProtectionDaysResponse{First: dayText(f.First), Last: dayText(f.Last), Found: list.Found, WithHole: list.Holes}
	for _, row := range list.Rows {
		one := &keepwardv1.ProtectedComputer{Computer: row.Computer, HoleDays: int32(row.Hole), FailedDays: int32(row.Failed), Results: make([]string, len(row.Days))}
		for i, d := range row.Days {
			one.Results[i] = protectionWords[d]
		}
		out.Computers = append(out.Computers, one)
	}
	return out, nil
}

// dayText is a day of UTC as it is written.
func dayText(day int64) string { return time.Unix(day*86400, 0).UTC().Format(time.DateOnly) }

func (m *Manager) protectionFilter(ctx context.Context, req *keepwardv1.ListProtectionDaysRequest, now time.Time) (f catalog.ProtectionFilter, err error) {
	today := catalog.DayOf(now)
	days := int64(cmp.Or(req.GetDays(), daysShown))
	f = catalog.ProtectionFilter{Last: today, Limit: cmp.Or(int(req.GetLimit()), daysPage), Offset: int(req.GetOffset()), Only: within(ctx)}
	if text := req.GetLast(); text != "" {
		t, err := time.Parse(time.DateOnly, text)
		if err != nil {
			return f, errs.New(errs.Invalid, "computer.days", "list days of computers: %q is no day", text).WithHint("for example: %s", dayText(today))
		}
		if f.Last = catalog.DayOf(t); f.Last > today || f.Last <= today-catalog.ProtectionKept {
			return f, errs.New(errs.Invalid, "computer.days", "list days of computers: nothing is known of %s", text).
				WithHint("they are known from %s to %s, in UTC", dayText(today-catalog.ProtectionKept+1), dayText(today))
		}
	}
	if days < 1 || days > catalog.ProtectionKept || f.Limit < 1 || f.Offset < 0 {
		return f, errs.New(errs.Invalid, "computer.days", "list days of computers: %d days, %d computers behind %d make no sense", days, req.GetLimit(), req.GetOffset()).
			WithHint("there are 1 to %d days, and 1 to %d computers on a page", catalog.ProtectionKept, daysMost)
	}
	f.First, f.Through, f.Limit = f.Last-days+1, min(f.Last, today-1), min(f.Limit, daysMost)
	if one := req.GetComputer(); one != "" {
		if _, err := catalog.GetComputer(ctx, m.deps.DB.Read(), one); err != nil {
			return f, err
		}
		f.Only = both(f.Only, []string{one})
	}
	if name := req.GetGroup(); name != "" {
		if _, err := catalog.GetGroup(ctx, m.deps.DB.Read(), name); err != nil {
			return f, err
		}
		site, err := group.Load(ctx, m.deps.DB.Read(), now)
		if err != nil {
			return f, err
		}
		var members []string
		for _, one := range site.Members(name).List {
			members = append(members, one.GetComputer())
		}
		f.Only = both(f.Only, members)
	}
	return f, nil
}

// both are the names that are in two lists, of which the first may be nil: all names.
func both(a, b []string) []string {
	in := make(map[string]bool, len(a))
	for _, name := range a {
		in[name] = true
	}
	out := []string{}
	for _, name := range b {
		if a == nil || in[name] {
			out = append(out, name)
		}
	}
	return out
}

// forgetDays deletes the days whose time is over. Who has any is found by a reader: it looks through all.
func (m *Manager) forgetDays(ctx context.Context, now time.Time) (days int64, err error) {
	before := catalog.DayOf(now) - catalog.ProtectionKept
	names, err := catalog.ProtectedBefore(ctx, m.deps.DB.Read(), before)
	if err != nil {
		return 0, err
	}
	for len(names) > 0 {
		some := names[:min(len(names), forgetBatch)]
		names = names[len(some):]
		var n int64
		err := m.deps.DB.Write(ctx, func(tx *sql.Tx) (err error) { n, err = catalog.ForgetProtection(ctx, tx, some, before); return err })
		if err != nil {
			return days, err
		}
		days += n
	}
	return days, nil
}
