package sim

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/gate"
	"keepward/internal/job"
)

// This file is what administrators do: rules of the queue and settings. Each is asked for through
// the call that the command line makes.

func call[Req, Res any](s *site, fn func(context.Context, *connect.Request[Req]) (*connect.Response[Res], error), req *Req) *Res {
	s.t.Helper()
	res, err := fn(context.Background(), connect.NewRequest(req))
	s.must(err)
	synctest.Wait()
	return res.Msg
}

func (s *site) pause() { call(s, s.m.PauseServer, &keepwardv1.PauseServerRequest{Reason: "works"}) }

func (s *site) unpause() { call(s, s.m.ResumeServer, &keepwardv1.ResumeServerRequest{}) }

func (s *site) activity(level string, off bool, a ...gate.Activity) {
	req := &keepwardv1.SetActivityRequest{Level: level, Disabled: off}
	for _, one := range a {
		req.Activities = append(req.Activities, string(one))
	}
	call(s, s.m.SetActivity, req)
}

// limit sets how many sessions of a level may run at once; 0: any number.
func (s *site) limit(level string, sessions int) {
	call(s, s.m.SetLimit, &keepwardv1.SetLimitRequest{Level: level, Sessions: int32(sessions)})
}

func (s *site) window(finish bool, open ...string) {
	call(s, s.m.SaveWindow, &keepwardv1.SaveWindowRequest{Window: &keepwardv1.Window{Name: "hours", Open: open, Zone: "UTC", Finish: finish}})
}

func (s *site) noWindow() {
	for _, w := range call(s, s.m.ListWindows, &keepwardv1.ListWindowsRequest{}).GetWindows() {
		call(s, s.m.DeleteWindow, &keepwardv1.DeleteWindowRequest{Name: w.GetName()})
	}
}

func (s *site) set(name, value string) {
	call(s, s.m.SetSetting, &keepwardv1.SetSettingRequest{Name: name, Value: value})
}

// levels are those of which a site may limit the sessions.
var levels = []string{"server", "computer/" + computers[0], "repository/" + mainRepo, "repository/" + vault}

// choices are settings, each with values that a site may turn it to.
var choices = [][]string{
	{"restores_preempt_backups", "true", "false"},
	{"backups_preempt_backups", "true", "false"},
	{"copies_preempt_copies", "true", "false"},
	{"client_tasks", "1", "2", "3"},
	{"claim_after", "2m", "1h"},
	{"preemptions_in_row", "1", "5"},
	{"protected_running", "1m", "10m"},
	{"total_running_time_limit", "true", "false"},
	{"total_running_time", "30m", "6h"},
	{"total_running_time_end", "kill", "commit"},
}

func (s *site) someRule() {
	pick := s.rnd.IntN
	switch pick(9) {
	case 0:
		s.note("the server is paused")
		s.pause()
	case 1, 2:
		a := gate.Activities[pick(len(gate.Activities))].Activity
		s.note("activity %s is switched off", a)
		s.activity(levels[pick(2)], true, a)
	case 3:
		level, n := levels[pick(len(levels))], 1+pick(3)
		s.note("%s: %d sessions at most", level, n)
		s.limit(level, n)
	case 4:
		hour := pick(24)
		s.note("a window opens at %d", hour)
		s.window(pick(2) == 0, fmt.Sprintf("daily %02d:00-%02d:30", hour, hour))
	case 5, 6:
		c := choices[pick(len(choices))]
		value := c[1+pick(len(c)-1)]
		s.timed = s.timed || c[0] == "total_running_time_limit"
		s.note("setting %s: %s", c[0], value)
		s.set(c[0], value)
	default:
		s.note("the queue has no rules")
		s.noRules()
	}
}

// noRules takes every rule of the queue back. Settings stay.
func (s *site) noRules() {
	s.unpause()
	for _, d := range call(s, s.m.ListActivities, &keepwardv1.ListActivitiesRequest{}).GetDisabled() {
		s.activity(d.GetLevel(), false, gate.Activity(d.GetActivity()))
	}
	for _, l := range call(s, s.m.ListLimits, &keepwardv1.ListLimitsRequest{}).GetLimits() {
		s.limit(l.GetLevel(), 0)
	}
	s.noWindow()
}

// checkRule: what a rule of the queue is said to keep back, it does keep back.
func (s *site) checkRule(id int64, r *keepwardv1.Reason) {
	s.t.Helper()
	ctx, now := context.Background(), time.Now()
	there := false
	switch code := job.Code(r.GetCode()); code {
	case job.ServerPaused:
		there = s.paused()
	case job.ActivityDisabled:
		res, err := s.m.ListActivities(ctx, connect.NewRequest(&keepwardv1.ListActivitiesRequest{}))
		s.must(err)
		for _, d := range res.Msg.GetDisabled() {
			there = there || strings.Contains(r.GetText(), d.GetActivity())
		}
	case job.Throttle:
		res, err := s.m.ListLimits(ctx, connect.NewRequest(&keepwardv1.ListLimitsRequest{}))
		s.must(err)
		for _, l := range res.Msg.GetLimits() {
			there = there || l.GetRunning() >= l.GetSessions() && l.GetWaiting() > 0
		}
	case job.OutsideWindow:
		res, err := s.m.ListWindows(ctx, connect.NewRequest(&keepwardv1.ListWindowsRequest{}))
		s.must(err)
		for _, w := range res.Msg.GetWindows() {
			there = there || !w.GetIsOpen()
		}
	case job.StartTime:
		at, err := time.Parse(time.RFC3339, r.GetArgs()[0])
		there = err == nil && at.Add(time.Second).After(now) // it is written in whole seconds
	case job.AfterJob:
		other := r.GetArgs()[0]
		for older, k := range s.known {
			there = there || older < id && k.job == other && !k.over
		}
		there = there && other == s.known[id].after
	default:
		return
	}
	if !there {
		s.fail("session %d: %s, and it is not so\n%s", id, r.GetText(), s.log(id))
	}
}

func (s *site) paused() bool {
	return slices.ContainsFunc(s.m.Conditions(), func(c *keepwardv1.Condition) bool { return c.GetCode() == "server.paused" })
}

// checkLimits: no limit is passed by somebody who came after it was set. What runs already when a
// limit is lowered goes on.
func (s *site) checkLimits(p *picture) {
	s.t.Helper()
	res, err := s.m.ListLimits(context.Background(), connect.NewRequest(&keepwardv1.ListLimitsRequest{}))
	s.must(err)
	now := map[string]int{}
	for _, l := range res.Msg.GetLimits() {
		level := l.GetLevel()
		for id, session := range p.active {
			r := s.known[id].typ.Reservation()
			if r.A.Every > 0 || r.B != nil {
				continue // it is called running while it asks for its set
			}
			for _, t := range session.GetTasks() {
				at := level == "server" || level == "computer/"+t.GetComputer() || level == "repository/"+t.GetRepository()
				if at && job.Status(t.GetStatus()).Class() == job.Active {
					now[level]++
					break
				}
			}
		}
		before, known := s.running[level]
		if !known {
			before = math.MaxInt
		}
		if now[level] > int(l.GetSessions()) && now[level] > before {
			s.fail("%s: %d sessions run, %d may, and before it were %d", level, now[level], l.GetSessions(), before)
		}
		s.running[level] = now[level]
	}
	for level := range s.running {
		if _, limited := now[level]; !limited {
			delete(s.running, level)
		}
	}
}
