package manager

import (
	"context"
	"strings"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
)

// latest names the newest point of a computer.
const latest = "latest"

// shortestPrefix of an id is long enough that people do not hit a wrong point by a slip.
const shortestPrefix = 4

// findPoint finds a point to read from.
func (m *Manager) findPoint(ctx context.Context, name, computer string) (*keepwardv1.Point, error) {
	p, err := m.findAnyPoint(ctx, name, computer)
	if err != nil {
		return nil, err
	}
	return p, usable(p)
}

// findAnyPoint finds the one point that a name means: an id or a unique prefix of one, deleted
// points among them; "latest", or a time (the newest at or before it). With a computer only its
// points count.
func (m *Manager) findAnyPoint(ctx context.Context, name, computer string) (*keepwardv1.Point, error) {
	q := m.deps.DB.Read()
	if computer != "" {
		if err := m.knownComputer(ctx, computer); err != nil {
			return nil, err
		}
	}
	filter := catalog.PointFilter{Computer: computer, Limit: 2}
	switch {
	case name == latest || name == "":
		filter.Whole, filter.Limit = true, 1
		return m.newest(ctx, filter, computer, "there is no restore point yet")
	case isPrefix(name):
		filter.Prefix, filter.Deleted = strings.ToLower(name), true
		points, err := catalog.Points(ctx, q, filter)
		switch {
		case err != nil:
			return nil, err
		case len(points) == 1:
			return points[0], nil
		case len(points) > 1:
			return nil, errs.New(errs.Invalid, "point.ambiguous", "restore point %q: several ids begin with it", name).WithHint("write more of the id")
		}
	}
	if at, ok := parseTime(name); ok {
		filter.Prefix, filter.Deleted = "", false // four digits may be a year
		filter.Until, filter.Whole, filter.Limit = wholeSecond(at), true, 1
		return m.newest(ctx, filter, computer, "there is none at or before "+at.UTC().Format(time.RFC3339))
	}
	return nil, errs.New(errs.NotFound, "point.unknown", "there is no restore point %q", name).
		WithHint("name it by its id, at least %d digits of it, \"latest\", or a time; keepward point list shows them", shortestPrefix)
}

// wholeSecond is the end of the second that a time without a fraction names: lists show none, and
// what was made within the second that somebody reads there, or within this one, is meant too.
func wholeSecond(at time.Time) time.Time {
	if at.Nanosecond() == 0 {
		return at.Add(time.Second - time.Nanosecond)
	}
	return at
}

func (m *Manager) newest(ctx context.Context, f catalog.PointFilter, computer, none string) (*keepwardv1.Point, error) {
	if computer == "" {
		return nil, errs.New(errs.Invalid, "point.computer", "find restore point: latest and times need a computer").WithHint("add --computer NAME")
	}
	points, err := catalog.Points(ctx, m.deps.DB.Read(), f)
	if err != nil {
		return nil, err
	}
	if len(points) == 0 {
		return nil, errs.New(errs.NotFound, "point.unknown", "find restore point of computer %s: %s", computer, none).
			WithHint("keepward point list --computer %s shows those there are", computer)
	}
	return points[0], nil
}

// hasPoints tells whether a computer that was removed has left points.
func (m *Manager) hasPoints(ctx context.Context, computer string) bool {
	points, err := catalog.Points(ctx, m.deps.DB.Read(), catalog.PointFilter{Computer: computer, Deleted: true, Limit: 1})
	return err == nil && len(points) > 0
}

func isPrefix(name string) bool {
	return len(name) >= shortestPrefix && len(name) <= 32 && strings.Trim(strings.ToLower(name), "0123456789abcdef") == ""
}

// timeLayouts are the forms of a time that are not RFC 3339; they are meant in UTC, since the
// server does not know where the user is. The command line sends RFC 3339.
var timeLayouts = []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02"}

func parseTime(text string) (time.Time, bool) {
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, true
	}
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
