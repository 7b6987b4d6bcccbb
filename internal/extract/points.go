package extract

import (
	"bytes"
	"cmp"
	"context"
	"path"
	"slices"
	"strings"
	"time"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/point"
)

// points reads all points, newest first. A damaged one is among them, last.
func (s *opened) points(ctx context.Context, computer string) ([]Point, error) {
	var list []Point
	for o, err := range s.r.Points(ctx) {
		if err != nil && o.Name == "" {
			return nil, err
		}
		p, ok := s.point(&o, err)
		if ok && (computer == "" || p.Computer == computer || p.damage != nil) {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b Point) int {
		return cmp.Or(b.Time.Compare(a.Time), strings.Compare(a.ID, b.ID))
	})
	return list, nil
}

// point reads one object; false: it is no point.
func (s *opened) point(o *repo.Object, err error) (Point, bool) {
	out := Point{
		ID: path.Base(o.Name), Completeness: "damaged", Deleted: o.Deleted != nil, Held: o.Held != nil, object: o.Content, damage: err,
	}
	if err != nil {
		return out, true
	}
	p, err := point.Parse(bytes.Clone(o.Content))
	if err != nil {
		out.damage = err
		return out, true
	}
	if p.Type == point.Tombstone {
		return out, false
	}
	issue, err := point.OpenIssue(s.master.IssueKey(), &p)
	if err != nil {
		out.damage = err
		return out, true
	}
	out.Computer, out.Job, out.Session, out.Time = issue.Computer, issue.Job, issue.Session, issue.Time
	out.Full, out.Partial = issue.Full, p.Type == point.Partial
	body, err := point.OpenBody(s.master.ComputersKey().Computer(issue.Computer), &p)
	if err != nil {
		out.damage = err
		return out, true
	}
	out.Completeness, out.Files, out.Bytes, out.Errors = body.Completeness.String(), body.Files, body.Bytes, body.Errors
	return out, true
}

// shortestPrefix of an id is long enough that people do not hit a wrong point by a slip.
const shortestPrefix = 4

// choose finds the point that a name means among list, which is sorted newest first.
func choose(list []Point, name string) (Point, error) {
	if name == "latest" {
		return newest(list, time.Time{})
	}
	if len(name) >= shortestPrefix && strings.Trim(strings.ToLower(name), "0123456789abcdef") == "" {
		var found []Point
		for _, p := range list {
			if strings.HasPrefix(p.ID, strings.ToLower(name)) {
				found = append(found, p)
			}
		}
		switch {
		case len(found) == 1:
			return found[0], nil
		case len(found) > 1:
			return Point{}, errs.New(errs.Invalid, "point.ambiguous", "restore point %q: %d ids begin with it", name, len(found)).WithHint("write more of the id")
		}
	}
	if at, err := time.Parse(time.RFC3339Nano, name); err == nil {
		if at.Nanosecond() == 0 { // lists show no fractions: the whole second is meant
			at = at.Add(time.Second - time.Nanosecond)
		}
		return newest(list, at)
	}
	return Point{}, errs.New(errs.NotFound, "point.unknown", "there is no restore point %q in the repository", name).
		WithHint("name it by its id, at least %d digits of it, latest, or a time; --list shows them", shortestPrefix)
}

// newest is the newest whole point at or before a time; zero: of all. Partial, deleted and
// damaged points are only ever chosen by their id.
func newest(list []Point, until time.Time) (Point, error) {
	var found *Point
	for i := range list {
		p := &list[i]
		if p.Partial || p.Deleted || p.damage != nil || !until.IsZero() && p.Time.After(until) {
			continue
		}
		if found == nil {
			found = p
		} else if found.Computer != p.Computer {
			return Point{}, errs.New(errs.Invalid, "point.computer", "the repository holds restore points of several computers, %s and %s among them", found.Computer, p.Computer).
				WithHint("add --computer NAME")
		}
	}
	if found == nil {
		return Point{}, errs.New(errs.NotFound, "point.unknown", "the repository holds no whole restore point that fits").WithHint("--list shows what it holds")
	}
	return *found, nil
}
