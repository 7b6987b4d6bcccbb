package server

import (
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/catalog"
	"keepward/internal/notify"
)

func TestTheAlarmForAJobThatDidNotRunComesWhenSchedulesAreSwitchedOff(t *testing.T) {
	c := &clock{at: time.Now()}
	s, _ := withRepositoryAs(t, often(c))
	queue := keepwardv1connect.NewQueueServiceClient(s.client, s.url(), as(s.token))
	must(queue.SetActivity(t.Context(), connect.NewRequest(&keepwardv1.SetActivityRequest{Level: "server", Activities: []string{"scheduler"}, Disabled: true})))(t)
	r := receive(t)
	s.hook(r, "ops")
	s.rule(&keepwardv1.NotifyRule{Name: "a", Targets: []string{"ops"}, Events: []string{"condition"}, Jobs: []string{}})
	if _, err := s.createJob(docs()); err != nil { // daily 22:00
		t.Fatal(err)
	}
	if list := s.status().Conditions; hasCondition(list, "job.overdue", "docs") {
		t.Fatalf("a new job is overdue: %v", list)
	}
	c.pass(27 * time.Hour) // a day, and the two hours that a job may take to begin
	until(t, "the status says it", func() bool { return hasCondition(s.status().Conditions, "job.overdue", "docs") })
	c.pass(notify.Settle)
	told := map[string]int{}
	for told["job.overdue"] == 0 || told["activity.disabled"] == 0 {
		p := r.next()
		if p.Event.Kind != notify.ConditionRaised {
			t.Errorf("told: %s", p.raw)
		}
		if p.Event.Code == "job.overdue" && (p.Event.Job != "docs" || p.Event.Severity != "error" || !strings.Contains(p.Event.Text, "it never has")) {
			t.Errorf("the alarm: %s", p.raw)
		}
		told[p.Event.Code]++
	}
	// The job is disabled: it need not run. That is told, and nothing was told twice before it.
	j := must(s.jobs().GetJob(t.Context(), connect.NewRequest(&keepwardv1.GetJobRequest{Name: "docs"})))(t).Job
	j.Disabled = true
	must(s.jobs().UpdateJob(t.Context(), connect.NewRequest(&keepwardv1.UpdateJobRequest{Job: j})))(t)
	c.pass(2 * time.Minute)
	until(t, "the status says that it is over", func() bool { return !hasCondition(s.status().Conditions, "job.overdue", "docs") })
	c.pass(notify.Settle + time.Minute)
	for {
		p := r.next()
		if p.Event.Code == "job.overdue" && p.Event.Kind == notify.ConditionCleared {
			break
		}
		if told[p.Event.Code]++; told[p.Event.Code] > 1 && p.Event.Kind == notify.ConditionRaised {
			t.Errorf("told twice: %s", p.raw)
		}
	}
}

func TestAConditionIsToldWhenItHasLasted(t *testing.T) {
	n := &notifier{now: time.Now}
	now := time.Unix(1_800_000_000, 0)
	one := &keepwardv1.Condition{Code: "agent.offline", Severity: "warning", Subject: "web1", Text: "away \x1b[2J\u202e"}
	var seen []catalog.SeenCondition
	step := func(after time.Duration, list ...*keepwardv1.Condition) (told []string) {
		now = now.Add(after)
		for _, c := range n.changesOf(seen, list, now) {
			seen = nil
			if !c.forget {
				seen = []catalog.SeenCondition{c.row}
			}
			if c.event != nil {
				told = append(told, c.event.Kind)
				if strings.ContainsAny(c.event.Title+c.event.Text, "\x1b\u202e") || c.event.Computers[0] != "web1" {
					t.Errorf("told: %+v", c.event)
				}
			}
		}
		return told
	}
	for i, tt := range []struct {
		after time.Duration
		there bool
		want  string
	}{
		{0, true, ""},
		{notify.Settle - 1, true, ""},
		{0, false, ""}, // a moment: nobody hears of it
		{time.Hour, true, ""},
		{notify.Settle, true, notify.ConditionRaised},
		{time.Hour, true, ""},
		{time.Minute, false, ""},
		{time.Minute, true, ""}, // it was away for a moment only
		{time.Minute, false, ""},
		{notify.Settle, false, notify.ConditionCleared},
		{time.Hour, false, ""},
	} {
		var list []*keepwardv1.Condition
		if tt.there {
			list = append(list, one, one) // twice the same is one
		}
		if got := strings.Join(step(tt.after, list...), " "); got != tt.want {
			t.Errorf("step %d told %q, want %q", i, got, tt.want)
		}
	}
}

func TestWhatFillsAndWhatEndsIsTold(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	today := catalog.DayOf(now)
	for what, tt := range map[string]struct {
		size, free int64
		days       []catalog.RepositoryDay
		want       string
	}{
		"half full, never looked at before": {500, 500, nil, ""},
		"level":                             {950, 50, nil, "95 % full"},
		"one full backup is no trend":       {500, 500, []catalog.RepositoryDay{{Day: today - 1, SizeBytes: 0, Free: 1000}}, ""},
		"it grows":                          {500, 500, []catalog.RepositoryDay{{Day: today - 10, SizeBytes: 100, Free: 900}}, "full about " + now.Add(12*day).Local().Format(time.DateOnly)},
		"it grows slowly":                   {500, 500, []catalog.RepositoryDay{{Day: today - 10, SizeBytes: 490, Free: 510}}, ""},
		"it shrinks":                        {500, 500, []catalog.RepositoryDay{{Day: today - 10, SizeBytes: 600, Free: 400}}, ""},
		"others fill its disk":              {500, 100, []catalog.RepositoryDay{{Day: today - 10, SizeBytes: 500, Free: 900}}, "fills up"},
	} {
		figures := catalog.Figures{Looked: now, SizeBytes: tt.size, FreeBytes: tt.free}
		c := fillingCondition("main", figures, growthOf(figures, tt.days, now), now)
		if (c != nil) != (tt.want != "") || !strings.Contains(c.GetText(), tt.want) {
			t.Errorf("%s: %v", what, c)
		}
	}
	ends := map[string]time.Time{"server": now.Add(59 * day), "authority": now.Add(61 * day)}
	if list := endingCertificates(ends, now); len(list) != 1 || list[0].Subject != "server" {
		t.Errorf("certificates: %v", list)
	}
}

func TestAComputerThatIsNotProtectedIsACondition(t *testing.T) {
	c := &clock{at: time.Now()}
	s, _ := withRepositoryAs(t, often(c))
	if list := s.status().Conditions; hasCondition(list, "computer.unprotected", "web1") {
		t.Fatalf("at once: %v", list)
	}
	c.pass(8 * day)
	until(t, "the status says it", func() bool { return hasCondition(s.status().Conditions, "computer.unprotected", "web1") })
}
