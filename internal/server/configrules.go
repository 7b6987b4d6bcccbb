package server

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/manager"
)

// This file is the rules of the queue as documents: windows, activities, limits, priorities.

// ruleSet is the rules as they are, by name or level.
type ruleSet struct {
	windows    map[string]*keepwardv1.Window
	activities map[string]*keepwardv1.ActivityControl
	limits     map[string]*keepwardv1.SessionLimit
	priorities map[string]*keepwardv1.PriorityDigit
	traffic    map[string]*keepwardv1.TrafficRule
}

// readRules reads the rules. What is switched off for a time only is no configuration.
func readRules(ctx context.Context, q catalog.Queryer) (ruleSet, error) {
	s := ruleSet{map[string]*keepwardv1.Window{}, map[string]*keepwardv1.ActivityControl{}, map[string]*keepwardv1.SessionLimit{}, map[string]*keepwardv1.PriorityDigit{}, map[string]*keepwardv1.TrafficRule{}}
	windows, err := catalog.Windows(ctx, q)
	if err != nil {
		return s, err
	}
	for _, w := range windows {
		s.windows[w.Name] = w
	}
	traffic, err := catalog.TrafficRules(ctx, q)
	if err != nil {
		return s, err
	}
	for _, r := range traffic {
		s.traffic[r.Name] = r
	}
	off, err := catalog.DisabledActivities(ctx, q, time.Now())
	if err != nil {
		return s, err
	}
	for _, d := range off {
		if !d.Until.IsZero() {
			continue
		}
		if s.activities[d.Level] == nil {
			s.activities[d.Level] = &keepwardv1.ActivityControl{Level: d.Level}
		}
		s.activities[d.Level].Disabled = append(s.activities[d.Level].Disabled, d.Activity)
	}
	limits, err := catalog.SessionLimits(ctx, q)
	for level, n := range limits {
		s.limits[level] = &keepwardv1.SessionLimit{Level: level, Sessions: n}
	}
	if err != nil {
		return s, err
	}
	digits, err := catalog.PriorityDigits(ctx, q)
	for level, n := range digits {
		s.priorities[level] = &keepwardv1.PriorityDigit{Level: level, Digit: &n}
	}
	return s, err
}

func sortedValues[V any](m map[string]V) []V {
	list := make([]V, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		list = append(list, m[name])
	}
	return list
}

func exportRules(ctx context.Context, q catalog.Queryer, into *config.Content) error {
	s, err := readRules(ctx, q)
	into.Windows, into.Activities = sortedValues(s.windows), sortedValues(s.activities)
	into.Limits, into.Priorities = sortedValues(s.limits), sortedValues(s.priorities)
	into.Traffic = sortedValues(s.traffic)
	return err
}

// planRules looks at the documents about the queue, and warns of windows that would never open.
func (p *applying) planRules(ctx context.Context, docs []*config.Document, site config.Site) error {
	rules, err := readRules(ctx, p.db.Read())
	if err != nil {
		return err
	}
	touched := false
	for _, d := range docs {
		if d.Job != nil || d.Repository != nil || d.Group != nil || d.Connection != nil {
			continue
		}
		p.fault(d, checkRule(d, site)...)
		touched = touched || d.Window != nil
		if d.Traffic != nil {
			if err := p.warnTraffic(ctx, d.Traffic); err != nil {
				return err
			}
		}
		action, fields := rules.change(d)
		if d.Window != nil {
			rules.windows[d.Name] = d.Window
		}
		if action != "" {
			p.steps = append(p.steps, &step{document: d, change: &keepwardv1.ConfigChange{Action: action, Kind: d.Kind, Name: d.Name, Fields: fields}})
		}
	}
	if touched {
		p.warnings = append(p.warnings, config.WarnWindows(sortedValues(rules.windows), time.Now())...)
		return p.warnShutOut(ctx, docs, site)
	}
	return nil
}

// warnShutOut warns of jobs that the files do not name, and whose runs windows of the files refuse.
func (p *applying) warnShutOut(ctx context.Context, docs []*config.Document, site config.Site) error {
	jobs, err := catalog.Jobs(ctx, p.db.Read())
	if err != nil {
		return err
	}
	if site.Zones, err = manager.ZonesFor(ctx, p.db.Read(), jobs); err != nil {
		return err
	}
	for _, j := range jobs {
		if !slices.ContainsFunc(docs, func(d *config.Document) bool { return d.Job.GetName() == j.GetName() }) {
			p.warnings = append(p.warnings, config.ShutOut(j, site, time.Now())...)
		}
	}
	return nil
}

// windowsWith are the windows that there are, with those of the files in their places.
func windowsWith(list []*keepwardv1.Window, docs []*config.Document) []*keepwardv1.Window {
	byName := map[string]*keepwardv1.Window{}
	for _, w := range list {
		byName[w.GetName()] = w
	}
	for _, d := range docs {
		if d.Window != nil {
			byName[d.Name] = d.Window
		}
	}
	return sortedValues(byName)
}

func checkRule(d *config.Document, site config.Site) []config.Fault {
	switch {
	case d.Window != nil:
		return config.CheckWindow(d.Window, site)
	case d.Traffic != nil:
		return config.CheckTraffic(d.Traffic)
	case d.Activity != nil:
		return config.CheckActivity(d.Activity, site)
	case d.Priority != nil:
		return config.CheckPriority(d.Priority, site)
	}
	return config.CheckLimit(d.Limit, site)
}

// change is what a document changes; no action: nothing.
func (s ruleSet) change(d *config.Document) (action string, fields []string) {
	action = actionChange
	switch {
	case d.Window != nil:
		had := s.windows[d.Name]
		if had == nil {
			return actionCreate, nil
		}
		fields = config.ChangedWindow(had, d.Window)
	case d.Traffic != nil:
		had := s.traffic[d.Name]
		if had == nil {
			return actionCreate, nil
		}
		fields = config.ChangedTraffic(had, d.Traffic)
	case d.Activity != nil:
		had := s.activities[d.Name]
		if had == nil {
			had = &keepwardv1.ActivityControl{}
		}
		fields = config.ChangedActivity(had, d.Activity)
	case d.Priority != nil:
		had := s.priorities[d.Name]
		if had == nil {
			had = &keepwardv1.PriorityDigit{}
		}
		fields = config.ChangedPriority(had, d.Priority)
	default:
		had := s.limits[d.Name]
		if had == nil {
			had = &keepwardv1.SessionLimit{}
		}
		fields = config.ChangedLimit(had, d.Limit)
	}
	if len(fields) == 0 {
		return "", nil
	}
	return action, fields
}

func (p *applying) writeRule(ctx context.Context, tx *sql.Tx, d *config.Document, site config.Site) error {
	if err := config.Error(checkRule(d, site)); err != nil {
		return err
	}
	switch {
	case d.Window != nil:
		return catalog.PutWindow(ctx, tx, d.Window, time.Now())
	case d.Traffic != nil:
		return catalog.PutTrafficRule(ctx, tx, d.Traffic, time.Now())
	case d.Limit != nil:
		return catalog.SetSessionLimit(ctx, tx, d.Limit.Level, d.Limit.Sessions)
	case d.Priority != nil:
		return catalog.SetPriorityDigit(ctx, tx, d.Priority.Level, d.Priority.Digit)
	}
	return writeActivity(ctx, tx, d.Activity)
}

// writeActivity makes what is off for good on a level be what a document says. What is off for a
// time only is left to end by itself.
func writeActivity(ctx context.Context, tx *sql.Tx, c *keepwardv1.ActivityControl) error {
	now := time.Now()
	have, err := catalog.DisabledActivities(ctx, tx, now)
	if err != nil {
		return err
	}
	off := map[string]bool{}
	for _, d := range have {
		if d.Level != c.Level || !d.Until.IsZero() {
			continue
		}
		off[d.Activity] = true
		if !slices.Contains(c.Disabled, d.Activity) {
			if err := catalog.EnableActivity(ctx, tx, c.Level, d.Activity); err != nil {
				return err
			}
		}
	}
	for _, name := range c.Disabled {
		if off[name] {
			continue
		}
		if err := catalog.DisableActivity(ctx, tx, catalog.Disabled{Level: c.Level, Activity: name, Since: now, By: userOf(ctx)}); err != nil {
			return err
		}
	}
	return nil
}

// warnTraffic warns of ranges of a rule in which nobody is known.
func (p *applying) warnTraffic(ctx context.Context, r *keepwardv1.TrafficRule) error {
	known, err := manager.KnownAddresses(ctx, p.db.Read())
	if err == nil {
		p.warnings = append(p.warnings, config.WarnTraffic(r, known)...)
	}
	return err
}
