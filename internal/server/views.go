package server

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/group"
	"keepward/internal/job"
	"keepward/internal/update"
)

// The views of computers that need somebody's attention, in the order in which they are shown.
const (
	viewOffline     = "offline"
	viewOutOfDate   = "out-of-date"
	viewUntrusted   = "untrusted"
	viewUnprotected = "unprotected"

	statusNotJoined = "not joined"
)

var viewNames = []string{viewOffline, viewOutOfDate, viewUntrusted, viewUnprotected}

// views is what decides which views a computer is in.
type views struct {
	version   string
	now       time.Time
	days      int
	trusted   map[string]bool
	tags      map[string][]string
	groups    map[string][]string // that each computer is a member of
	protected map[string]bool     // in an enabled job
	untrusted map[string][]string // named by these groups and not let in
	updates   map[string]*keepwardv1.UpdateProblem
}

// lookAtViews reads what decides on all computers.
func (s *server) lookAtViews(ctx context.Context) (*views, error) {
	q, now := s.db.Read(), time.Now()
	v := &views{version: s.cfg.Version, now: now, days: s.manager.UnprotectedDays(), tags: nil, groups: map[string][]string{}, protected: map[string]bool{}, untrusted: map[string][]string{}}
	var err error
	if v.trusted, err = catalog.Trusted(ctx, q, "agent", now); err != nil {
		return nil, err
	}
	if v.tags, err = catalog.TagsOfComputers(ctx, q); err != nil {
		return nil, err
	}
	if v.updates, err = catalog.UpdateProblems(ctx, q); err != nil {
		return nil, err
	}
	site, err := group.Load(ctx, q, now)
	if err != nil {
		return nil, err
	}
	for _, g := range site.Groups {
		m := site.Members(g.Name)
		for _, one := range m.List {
			v.groups[one.GetComputer()] = append(v.groups[one.GetComputer()], g.Name)
		}
		for _, c := range m.Untrusted {
			v.untrusted[c] = append(v.untrusted[c], g.Name)
		}
	}
	jobs, err := catalog.Jobs(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		if j.Disabled || j.Type != "" && job.Type(j.Type) != job.Backup {
			continue
		}
		for _, c := range site.Expand(j).Computers {
			v.protected[c] = true
		}
	}
	return v, nil
}

// put says of a computer which views it is in, and what else is known here.
func (v *views) put(c *keepwardv1.Computer) {
	c.Tags, c.Groups = v.tags[c.Name], slices.Concat(v.groups[c.Name], v.untrusted[c.Name])
	if u := updateCondition(v.updates[c.Name], c); u != nil {
		c.Conditions = append(c.Conditions, u)
	}
	c.Views = nil
	for _, one := range []struct {
		view string
		in   bool
	}{
		{viewOffline, c.Status != statusOnline},
		{viewOutOfDate, update.Older(c.AgentVersion, v.version)},
		{viewUntrusted, !v.trusted[c.Name]},
		{viewUnprotected, !v.protected[c.Name] || c.LastPoint == nil || v.now.Sub(c.LastPoint.AsTime()) > time.Duration(v.days)*24*time.Hour},
	} {
		if one.in {
			c.Views = append(c.Views, one.view)
		}
	}
}

// strangers are those that groups name and that are no computers here.
func (v *views) strangers(known []*keepwardv1.Computer) []*keepwardv1.Computer {
	there := make(map[string]bool, len(known))
	for _, c := range known {
		there[c.Name] = true
	}
	var out []*keepwardv1.Computer
	for _, name := range slices.Sorted(maps.Keys(v.untrusted)) {
		if !there[name] {
			out = append(out, &keepwardv1.Computer{Name: name, Status: statusNotJoined, Groups: v.untrusted[name], Views: []string{viewUntrusted}})
		}
	}
	return out
}

// computersIn lists the computers of a view and a group; empty: of all.
func (s *server) computersIn(ctx context.Context, view, of string) ([]*keepwardv1.Computer, error) {
	if view != "" && !slices.Contains(viewNames, view) {
		return nil, errs.New(errs.Invalid, "computer.view", "list computers: there is no view %q", view).WithHint("there is %s", strings.Join(viewNames, ", "))
	}
	if of != "" {
		if _, err := catalog.GetGroup(ctx, s.db.Read(), of); err != nil {
			return nil, err
		}
	}
	list, v, err := s.computerMessages(ctx)
	if err != nil {
		return nil, err
	}
	if view != "" || of != "" {
		list = append(list, v.strangers(list)...)
		slices.SortStableFunc(list, func(a, b *keepwardv1.Computer) int { return strings.Compare(a.GetName(), b.GetName()) })
	}
	return slices.DeleteFunc(list, func(c *keepwardv1.Computer) bool {
		return view != "" && !slices.Contains(c.Views, view) || of != "" && !slices.Contains(c.Groups, of)
	}), nil
}

// counts says how many computers are in each view.
func (v *views) counts(list []*keepwardv1.Computer) []*keepwardv1.ViewCount {
	counts := map[string]int64{}
	for _, c := range slices.Concat(list, v.strangers(list)) {
		for _, view := range c.Views {
			counts[view]++
		}
	}
	out := make([]*keepwardv1.ViewCount, len(viewNames))
	for i, view := range viewNames {
		out[i] = &keepwardv1.ViewCount{View: view, Computers: counts[view]}
	}
	return out
}

// groupConditions are the lists of groups that could not be read.
func (s *server) groupConditions(ctx context.Context) ([]*keepwardv1.Condition, error) {
	lists, err := catalog.GroupLists(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	var out []*keepwardv1.Condition
	for _, l := range lists {
		if l.Problem == "" {
			continue
		}
		text := fmt.Sprintf("group %s: %s", l.Group, l.Problem)
		if l.Read.IsZero() {
			text += "; it was never read"
		} else {
			text += "; the list of " + l.Read.Local().Format(time.DateTime) + " holds"
		}
		out = append(out, &keepwardv1.Condition{
			Code: l.ProblemCode, Severity: severityError, Subject: l.Group, Text: text,
			Hint: fmt.Sprintf("put it right, and then: keepward group rescan %s", l.Group), Since: timestamp(l.ProblemSince),
		})
	}
	return out, nil
}
