package manager

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/errs"
	"keepward/internal/gate"
)

// This file is how administrators change what keeps sessions in the queue. A change holds when its
// call is answered.

// changeRules writes a change of the rules and lets it hold.
func (m *Manager) changeRules(ctx context.Context, what string, fn func(tx *sql.Tx, now time.Time) error) error {
	if err := m.waitReady(ctx); err != nil {
		return err
	}
	now := time.Now()
	if err := m.deps.DB.Write(ctx, func(tx *sql.Tx) error { return fn(tx, now) }); err != nil {
		return err
	}
	m.log.Info("rules of the queue changed", "change", what, "user", m.user(ctx))
	return m.loadRules(ctx)
}

// RulesChanged is called after rules of the queue were changed in the catalog by somebody else. They
// hold when it returns.
func (m *Manager) RulesChanged(ctx context.Context) error {
	if err := m.waitReady(ctx); err != nil {
		return err
	}
	return m.loadRules(ctx)
}

func ruleSite(ctx context.Context, q catalog.Queryer) (site config.Site, err error) {
	if site.Computers, err = catalog.ComputerNames(ctx, q); err != nil {
		return site, err
	}
	if site.Groups, err = catalog.Groups(ctx, q); err != nil {
		return site, err
	}
	site.Repositories, err = catalog.RepositoryNames(ctx, q)
	return site, err
}

// ListWindows lists all windows.
func (m *Manager) ListWindows(ctx context.Context, _ *connect.Request[keepwardv1.ListWindowsRequest]) (*connect.Response[keepwardv1.ListWindowsResponse], error) {
	list, err := catalog.Windows(ctx, m.deps.DB.Read())
	if err != nil {
		return nil, err
	}
	for _, w := range list {
		showWindow(w, time.Now())
	}
	return connect.NewResponse(&keepwardv1.ListWindowsResponse{Windows: list}), nil
}

// showWindow fills in how a window is now.
func showWindow(w *keepwardv1.Window, now time.Time) {
	one, err := config.WindowOf(w)
	if err != nil {
		return
	}
	w.IsOpen, w.Change = one.IsOpen(now), stamp(one.Change(now))
}

// SaveWindow makes a window or changes it. One that never opens is allowed and warned of.
func (m *Manager) SaveWindow(ctx context.Context, req *connect.Request[keepwardv1.SaveWindowRequest]) (*connect.Response[keepwardv1.SaveWindowResponse], error) {
	w := req.Msg.GetWindow()
	if w == nil {
		return nil, errs.New(errs.Invalid, "window.missing", "save window: nothing was sent")
	}
	err := m.changeRules(ctx, "window "+w.GetName(), func(tx *sql.Tx, now time.Time) error {
		site, err := ruleSite(ctx, tx)
		if err != nil {
			return err
		}
		if err := config.Error(config.CheckWindow(w, site)); err != nil {
			return err
		}
		return catalog.PutWindow(ctx, tx, w, now)
	})
	if err != nil {
		return nil, err
	}
	list, err := catalog.Windows(ctx, m.deps.DB.Read())
	if err != nil {
		return nil, err
	}
	out := &keepwardv1.SaveWindowResponse{Warnings: config.WarnWindows(list, time.Now())}
	shut, err := m.shutOut(ctx, list)
	if err != nil {
		return nil, err
	}
	out.Warnings = append(out.Warnings, shut...)
	if i := slices.IndexFunc(list, func(one *keepwardv1.Window) bool { return one.GetName() == w.GetName() }); i >= 0 {
		out.Window = list[i]
		showWindow(out.Window, time.Now())
	}
	return connect.NewResponse(out), nil
}

// shutOut warns of jobs of which the windows refuse every run.
func (m *Manager) shutOut(ctx context.Context, windows []*keepwardv1.Window) (warnings []string, err error) {
	if !slices.ContainsFunc(windows, (*keepwardv1.Window).GetDoNotSubmit) {
		return nil, nil
	}
	jobs, err := catalog.Jobs(ctx, m.deps.DB.Read())
	if err != nil {
		return nil, err
	}
	zones, err := m.zonesFor(ctx, jobs)
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		warnings = append(warnings, config.ShutOut(j, config.Site{Windows: windows, Zones: zones}, time.Now())...)
	}
	return warnings, nil
}

// DeleteWindow removes a window.
func (m *Manager) DeleteWindow(ctx context.Context, req *connect.Request[keepwardv1.DeleteWindowRequest]) (*connect.Response[keepwardv1.DeleteWindowResponse], error) {
	name := req.Msg.GetName()
	err := m.changeRules(ctx, "window "+name+" deleted", func(tx *sql.Tx, _ time.Time) error {
		if _, err := catalog.GetWindow(ctx, tx, name); err != nil {
			return err
		}
		return catalog.DeleteWindow(ctx, tx, name)
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.DeleteWindowResponse{}), nil
}

// ListActivities lists what can be switched off, and what is.
func (m *Manager) ListActivities(ctx context.Context, _ *connect.Request[keepwardv1.ListActivitiesRequest]) (*connect.Response[keepwardv1.ListActivitiesResponse], error) {
	off, err := m.disabled(ctx)
	if err != nil {
		return nil, err
	}
	out := &keepwardv1.ListActivitiesResponse{Disabled: off}
	for _, r := range gate.Activities {
		out.Activities = append(out.Activities, &keepwardv1.Activity{Name: string(r.Activity), Meaning: r.Meaning})
	}
	return connect.NewResponse(out), nil
}

func (m *Manager) disabled(ctx context.Context) ([]*keepwardv1.DisabledActivity, error) {
	list, err := catalog.DisabledActivities(ctx, m.deps.DB.Read(), time.Now())
	if err != nil {
		return nil, err
	}
	var out []*keepwardv1.DisabledActivity
	for _, d := range list {
		out = append(out, &keepwardv1.DisabledActivity{Level: d.Level, Activity: d.Activity, Until: stamp(d.Until), Since: stamp(d.Since), User: d.By})
	}
	return out, nil
}

// disabledMost bounds how long an activity may be off until it is on again by itself.
const disabledMost = 366 * 24 * time.Hour

// SetActivity switches activities of a level off or on; none named: all of them.
func (m *Manager) SetActivity(ctx context.Context, req *connect.Request[keepwardv1.SetActivityRequest]) (*connect.Response[keepwardv1.SetActivityResponse], error) {
	r := req.Msg
	names := r.GetActivities()
	if len(names) == 0 {
		names = gate.ActivityNames()
	}
	if d := r.GetTime(); d != nil && (!d.IsValid() || d.AsDuration() < 0 || d.AsDuration() > disabledMost) {
		return nil, errs.New(errs.Invalid, "activity.time", "disable %v: the time must be up to a year, not %s", names, d.AsDuration())
	}
	what := "activities enabled"
	if r.GetDisabled() {
		what = "activities disabled"
	}
	err := m.changeRules(ctx, fmt.Sprintf("%s of %s: %v", what, r.GetLevel(), names), func(tx *sql.Tx, now time.Time) error {
		site, err := ruleSite(ctx, tx)
		if err != nil {
			return err
		}
		if err := config.Error(config.CheckActivity(&keepwardv1.ActivityControl{Level: r.GetLevel(), Disabled: names}, site)); err != nil {
			return err
		}
		for _, name := range names {
			if err := m.switchActivity(ctx, tx, r, name, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	off, err := m.disabled(ctx)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.SetActivityResponse{Disabled: off}), nil
}

func (m *Manager) switchActivity(ctx context.Context, tx *sql.Tx, r *keepwardv1.SetActivityRequest, name string, now time.Time) error {
	if !r.GetDisabled() {
		return catalog.EnableActivity(ctx, tx, r.GetLevel(), name)
	}
	d := catalog.Disabled{Level: r.GetLevel(), Activity: name, Since: now, By: cmp.Or(m.user(ctx), bySelf)}
	if after := r.GetTime().AsDuration(); after > 0 {
		d.Until = now.Add(after)
	}
	return catalog.DisableActivity(ctx, tx, d)
}

// ListLimits lists the limits on how many sessions run at once.
func (m *Manager) ListLimits(ctx context.Context, _ *connect.Request[keepwardv1.ListLimitsRequest]) (*connect.Response[keepwardv1.ListLimitsResponse], error) {
	if err := m.waitReady(ctx); err != nil {
		return nil, err
	}
	rows, err := m.limitRows(ctx)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.ListLimitsResponse{Limits: rows}), nil
}

// limitRows are the limits that are set, with how they stand.
func (m *Manager) limitRows(ctx context.Context) ([]*keepwardv1.SessionLimit, error) {
	set, err := catalog.SessionLimits(ctx, m.deps.DB.Read())
	if err != nil {
		return nil, err
	}
	stand := map[string]gate.LimitState{}
	m.mu.Lock()
	for _, l := range m.gate.Limits() {
		stand[l.Level.String()] = l
	}
	m.mu.Unlock()
	var out []*keepwardv1.SessionLimit
	for _, level := range slices.Sorted(maps.Keys(set)) {
		l := stand[level]
		out = append(out, &keepwardv1.SessionLimit{Level: level, Sessions: set[level], Running: int32(l.Running), Waiting: int32(l.Waiting)})
	}
	return out, nil
}

// SetLimit sets how many sessions of a level run at once; 0 takes the limit away.
func (m *Manager) SetLimit(ctx context.Context, req *connect.Request[keepwardv1.SetLimitRequest]) (*connect.Response[keepwardv1.SetLimitResponse], error) {
	l := &keepwardv1.SessionLimit{Level: req.Msg.GetLevel(), Sessions: req.Msg.GetSessions()}
	err := m.changeRules(ctx, fmt.Sprintf("limit of %s: %d", l.Level, l.Sessions), func(tx *sql.Tx, _ time.Time) error {
		site, err := ruleSite(ctx, tx)
		if err != nil {
			return err
		}
		if err := config.Error(config.CheckLimit(l, site)); err != nil {
			return err
		}
		return catalog.SetSessionLimit(ctx, tx, l.Level, l.Sessions)
	})
	if err != nil {
		return nil, err
	}
	rows, err := m.limitRows(ctx)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.SetLimitResponse{Limits: rows}), nil
}

// pauseReasonMost bounds what is said of a pause: it is shown in the status.
const pauseReasonMost = 1000

// PauseServer keeps everything in the queue until ResumeServer. A server that is paused stays so,
// as it was.
func (m *Manager) PauseServer(ctx context.Context, req *connect.Request[keepwardv1.PauseServerRequest]) (*connect.Response[keepwardv1.PauseServerResponse], error) {
	if len(req.Msg.GetReason()) > pauseReasonMost {
		return nil, errs.New(errs.Invalid, "server.pause-reason", "pause the server: the reason is longer than %d bytes", pauseReasonMost)
	}
	var p *pause
	err := m.changeRules(ctx, "server paused", func(tx *sql.Tx, now time.Time) (err error) {
		if p, err = readPause(ctx, tx); err != nil || p != nil {
			return err
		}
		p = &pause{Since: now.UTC(), User: cmp.Or(m.user(ctx), bySelf), Reason: req.Msg.GetReason()}
		v, err := json.Marshal(p)
		if err != nil {
			return err
		}
		return catalog.SetSetting(ctx, tx, pauseKey, v)
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.PauseServerResponse{Pause: pauseRow(p)}), nil
}

// ResumeServer ends a pause, and answers it; a server that was not paused answers none.
func (m *Manager) ResumeServer(ctx context.Context, _ *connect.Request[keepwardv1.ResumeServerRequest]) (*connect.Response[keepwardv1.ResumeServerResponse], error) {
	var p *pause
	err := m.changeRules(ctx, "server resumed", func(tx *sql.Tx, _ time.Time) (err error) {
		if p, err = readPause(ctx, tx); err != nil {
			return err
		}
		return catalog.DeleteSetting(ctx, tx, pauseKey)
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.ResumeServerResponse{Was: pauseRow(p)}), nil
}

func pauseRow(p *pause) *keepwardv1.ServerPause {
	if p == nil {
		return nil
	}
	return &keepwardv1.ServerPause{Since: timestamppb.New(p.Since), User: p.User, Reason: p.Reason}
}

// queueConditions say what is stopped, so that nobody wonders for long why nothing runs.
func (m *Manager) queueConditions() []*keepwardv1.Condition {
	m.mu.Lock()
	p, off, shut := m.paused, m.gate.OffForServer(time.Now()), m.gate.NeverOpen(time.Now())
	m.mu.Unlock()
	var out []*keepwardv1.Condition
	if p != nil {
		text := "the server was paused by " + p.User + ": sessions stay in the queue"
		if p.Reason != "" {
			text += " (" + p.Reason + ")"
		}
		out = append(out, &keepwardv1.Condition{
			Code: "server.paused", Severity: "warning", Subject: "server", Text: text,
			Hint: "let them start with: keepward server resume", Since: timestamppb.New(p.Since),
		})
	}
	for _, a := range off {
		out = append(out, &keepwardv1.Condition{
			Code: "activity.disabled", Severity: "warning", Subject: string(a), Text: fmt.Sprintf("%s is switched off for the whole server", a),
			Hint: fmt.Sprintf("switch it on with: keepward activity enable %s", a),
		})
	}
	for _, name := range shut {
		out = append(out, &keepwardv1.Condition{
			Code: "window.shut", Severity: "warning", Subject: name, Text: fmt.Sprintf("window %s never opens: what it concerns stays in the queue", name),
			Hint: fmt.Sprintf("change its hours: keepward window set %s --open HOURS", name),
		})
	}
	return out
}
