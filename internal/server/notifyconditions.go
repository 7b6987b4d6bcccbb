package server

import (
	"context"
	"database/sql"
	"strings"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/notify"
	"keepward/internal/words"
)

// watchConditions finds alarms anew, and tells of conditions that have come and gone.
func (n *notifier) watchConditions(ctx context.Context) error {
	now := n.now()
	if since := now.Sub(n.watched); since >= 0 && since < alarmsEvery {
		return nil
	}
	alarms, err := n.findAlarms(ctx, now)
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.alarms = alarms
	n.mu.Unlock()
	rules, err := n.rulesInForce(ctx)
	if err != nil {
		return err
	}
	if len(rules) > 0 {
		standing := &keepwardv1.GetStatusResponse{}
		if _, err := n.fillStanding(ctx, standing); err != nil {
			return err
		}
		list, err := n.conditionsOf(ctx, standing)
		if err != nil {
			return err
		}
		if err := n.tellConditions(ctx, list, rules, now); err != nil {
			return err
		}
	}
	n.watched = now
	return n.db.Write(ctx, func(tx *sql.Tx) error { return catalog.ForgetOutgoings(ctx, tx, now.Add(-notify.KeptFor)) })
}

// change is what is to be kept of a condition, and told.
type change struct {
	row    catalog.SeenCondition
	forget bool
	event  *notify.Event // nil: nothing is told
}

// changesOf compares what was seen with what there is now. A condition is told when it has lasted,
// and over when it was gone for as long.
func (n *notifier) changesOf(seen []catalog.SeenCondition, list []*keepwardv1.Condition, now time.Time) (out []change) {
	type key struct{ code, subject string }
	there := map[key]*keepwardv1.Condition{}
	for _, c := range list {
		k := key{c.GetCode(), c.GetSubject()}
		if there[k] == nil { // one is told for all of the same kind and subject
			there[k] = c
		}
	}
	for _, row := range seen {
		k := key{row.GetCode(), row.GetSubject()}
		c := there[k]
		delete(there, k)
		switch {
		case c != nil && row.Told.IsZero() && now.Sub(row.First) >= notify.Settle:
			row.Condition, row.Told = c, now
			out = append(out, change{row: row, event: n.conditionEvent(notify.ConditionRaised, c)})
		case c != nil && !row.Gone.IsZero():
			row.Gone = time.Time{}
			out = append(out, change{row: row})
		case c == nil && row.Told.IsZero():
			out = append(out, change{row: row, forget: true})
		case c == nil && row.Gone.IsZero():
			row.Gone = now
			out = append(out, change{row: row})
		case c == nil && now.Sub(row.Gone) >= notify.Settle:
			out = append(out, change{row: row, forget: true, event: n.conditionEvent(notify.ConditionCleared, row.Condition)})
		}
	}
	for _, c := range list {
		if k := (key{c.GetCode(), c.GetSubject()}); there[k] == c {
			out = append(out, change{row: catalog.SeenCondition{Condition: c, First: now}})
		}
	}
	return out
}

func (n *notifier) tellConditions(ctx context.Context, list []*keepwardv1.Condition, rules []*keepwardv1.NotifyRule, now time.Time) error {
	seen, err := catalog.SeenConditions(ctx, n.db.Read())
	if err != nil {
		return err
	}
	changes := n.changesOf(seen, list, now)
	if len(changes) == 0 {
		return nil
	}
	groups, err := n.groupsOf(ctx, rules)
	if err != nil {
		return err
	}
	return n.db.Write(ctx, func(tx *sql.Tx) error {
		for _, c := range changes {
			keep := catalog.PutSeenCondition
			if c.forget {
				keep = catalog.ForgetSeenCondition
			}
			if err := keep(ctx, tx, c.row); err != nil {
				return err
			}
			if c.event == nil {
				continue
			}
			if err := n.put(ctx, tx, *c.event, rules, groups(c.event.Computers)); err != nil {
				return err
			}
		}
		return nil
	})
}

// titleMost bounds the title of a condition, which is its text.
const titleMost = 150

func (n *notifier) conditionEvent(kind string, c *keepwardv1.Condition) *notify.Event {
	e := n.event(kind, c.GetSeverity())
	e.Code, e.Text, e.Hint = c.GetCode(), words.Safe(c.GetText()), words.Safe(c.GetHint())
	e.Title = c.GetSeverity() + ": " + notify.Cut(e.Text, titleMost)
	if kind == notify.ConditionCleared {
		e.Severity, e.Title, e.Text, e.Hint = notify.Info, "over: "+notify.Cut(e.Text, titleMost), "This is over: "+e.Text, ""
	}
	switch area, _, _ := strings.Cut(c.GetCode(), "."); area {
	case "job", "changes":
		e.Job = strings.TrimPrefix(c.GetSubject(), "job ")
	case "agent", "computer", "update":
		e.Computers = []string{c.GetSubject()}
	case "repository":
		e.Repository = c.GetSubject()
	}
	return &e
}
