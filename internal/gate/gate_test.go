package gate_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/gate"
	"keepward/internal/job"
	"keepward/internal/schedule"
)

func hours(t *testing.T, texts ...string) schedule.Hours {
	t.Helper()
	h, err := schedule.ParseHours(texts, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	m, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// web1 is a backup of computer web1 that a user started; change makes another of it.
func web1(change func(s *gate.Subject)) gate.Subject {
	s := gate.Subject{Task: "t", Session: 1, Type: job.Backup, Priority: 166, Computer: "web1", Repository: "main"}
	if change != nil {
		change(&s)
	}
	return s
}

const monday = "2026-11-02 12:00"

func TestWhatKeepsATaskAndUntilWhen(t *testing.T) {
	web := gate.Level{Kind: gate.Computer, Name: "web1"}
	other := gate.Level{Kind: gate.Computer, Name: "web2"}
	group := gate.Level{Kind: gate.Group, Name: "web"}
	off := func(l gate.Level, a gate.Activity, until time.Time) gate.Rules {
		return gate.Rules{Off: map[gate.Switch]time.Time{{Level: l, Activity: a}: until}}
	}
	windows := func(w ...gate.Window) gate.Rules { return gate.Rules{Windows: w} }
	inWeb := func(r gate.Rules) gate.Rules {
		r.Groups = map[string][]string{"web1": {"db", "web"}, "web2": {"db"}}
		return r
	}
	night := hours(t, "daily 20:00-06:00")
	opens := at(t, "2026-11-02 20:00")
	outside := job.Because(job.OutsideWindow, "night", "2026-11-02T20:00:00Z")
	for _, c := range []struct {
		name  string
		rules gate.Rules
		s     gate.Subject
		want  gate.Verdict
	}{
		{"nothing", gate.Rules{}, web1(nil), gate.Verdict{}},
		{"a pause keeps everything", gate.Rules{Paused: true}, web1(func(s *gate.Subject) { s.Type = job.ServerBackup }), gate.Verdict{Reason: job.Because(job.ServerPaused)}},
		{"switched off for the server", off(gate.Whole, gate.DataProtection, time.Time{}), web1(nil), gate.Verdict{Reason: job.Because(job.ActivityDisabled, "the server (data-protection)")}},
		{"switched off for the computer", off(web, gate.DataProtection, time.Time{}), web1(nil), gate.Verdict{Reason: job.Because(job.ActivityDisabled, "computer web1 (data-protection)")}},
		{
			"switched off for its group", inWeb(off(group, gate.DataProtection, time.Time{})), web1(nil),
			gate.Verdict{Reason: job.Because(job.ActivityDisabled, "group web (data-protection)")},
		},
		{"switched off for a group that others are in", inWeb(off(group, gate.DataProtection, time.Time{})), web1(func(s *gate.Subject) { s.Computer = "web2" }), gate.Verdict{}},
		{"a window of its group", inWeb(windows(gate.Window{Name: "night", Open: night, Levels: []gate.Level{group}})), web1(nil), gate.Verdict{Reason: outside, Again: opens, LetGo: true}},
		{"switched off for another computer", off(other, gate.DataProtection, time.Time{}), web1(nil), gate.Verdict{}},
		{"another activity", off(gate.Whole, gate.DataRecovery, time.Time{}), web1(nil), gate.Verdict{}},
		{"switched off for a time", off(gate.Whole, gate.DataProtection, opens), web1(nil), gate.Verdict{Reason: job.Because(job.ActivityDisabled, "the server (data-protection)"), Again: opens}},
		{"that time is over", off(gate.Whole, gate.DataProtection, at(t, monday)), web1(nil), gate.Verdict{}},
		{"the scheduler is off, and a user started it", off(gate.Whole, gate.Scheduling, time.Time{}), web1(nil), gate.Verdict{}},
		{
			"the scheduler is off", off(gate.Whole, gate.Scheduling, time.Time{}), web1(func(s *gate.Subject) { s.Scheduled = true }),
			gate.Verdict{Reason: job.Because(job.ActivityDisabled, "the server (scheduler)")},
		},
		{"a closed window", windows(gate.Window{Name: "night", Open: night}), web1(nil), gate.Verdict{Reason: outside, Again: opens, LetGo: true}},
		{"a closed window that lets finish", windows(gate.Window{Name: "night", Open: night, Finish: true}), web1(nil), gate.Verdict{Reason: outside, Again: opens}},
		{"an open window", windows(gate.Window{Name: "day", Closed: night}), web1(nil), gate.Verdict{Again: opens}},
		{"a window of another computer", windows(gate.Window{Name: "night", Open: night, Levels: []gate.Level{other}}), web1(nil), gate.Verdict{}},
		{"a window of both", windows(gate.Window{Name: "night", Open: night, Levels: []gate.Level{other, web}}), web1(nil), gate.Verdict{Reason: outside, Again: opens, LetGo: true}},
		{"a window of another activity", windows(gate.Window{Name: "night", Open: night, Activities: []gate.Activity{gate.Verification}}), web1(nil), gate.Verdict{}},
		{
			"a window for what starts by itself", windows(gate.Window{Name: "night", Open: night, Activities: []gate.Activity{gate.Scheduling}}),
			web1(func(s *gate.Subject) { s.Scheduled = true }),
			gate.Verdict{Reason: outside, Again: opens, LetGo: true},
		},
		{
			"of two windows the closed one decides, the other changes first",
			windows(gate.Window{Name: "day", Open: hours(t, "daily 06:00-18:00")}, gate.Window{Name: "night", Open: night}), web1(nil),
			gate.Verdict{Reason: outside, Again: at(t, "2026-11-02 18:00"), LetGo: true},
		},
		{
			"a window that never opens", windows(gate.Window{Name: "none", Open: night, Closed: hours(t, "daily")}), web1(nil),
			gate.Verdict{Reason: job.Because(job.OutsideWindow, "none", "it is changed"), LetGo: true},
		},
		{
			"a start in the future",
			gate.Rules{},
			web1(func(s *gate.Subject) { s.Start = opens }),
			gate.Verdict{Reason: job.Because(job.StartTime, "2026-11-02T20:00:00Z"), Again: opens},
		},
		{"a start that has come", gate.Rules{}, web1(func(s *gate.Subject) { s.Start = at(t, monday) }), gate.Verdict{}},
		{"after another job", gate.Rules{}, web1(func(s *gate.Subject) { s.After = "docs" }), gate.Verdict{Reason: job.Because(job.AfterJob, "docs")}},
		{
			"a pause is told before a switch, and a switch before a window",
			gate.Rules{Paused: true, Off: map[gate.Switch]time.Time{{Level: gate.Whole, Activity: gate.DataProtection}: {}}, Windows: []gate.Window{{Name: "night", Open: night}}},
			web1(nil),
			gate.Verdict{Reason: job.Because(job.ServerPaused), Again: opens, LetGo: true},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := gate.New()
			g.SetRules(c.rules)
			g.Add(c.s)
			got := g.Ask("t", at(t, monday), true)
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if !g.Next().Equal(c.want.Again) {
				t.Errorf("it looks again at %v, want %v", g.Next(), c.want.Again)
			}
			if c.want.Again.IsZero() {
				return
			}
			if due := g.Due(c.want.Again.Add(-time.Second)); len(due) != 0 {
				t.Errorf("due too early: %v", due)
			}
			if due := g.Due(c.want.Again); len(due) != 1 || due[0] != "t" {
				t.Errorf("due at its moment: %v", due)
			}
			if v := g.Ask("t", c.want.Again, true); v.Again.Equal(c.want.Again) {
				t.Error("asked at that moment, it is to be asked at that moment again")
			}
		})
	}
}

func TestATaskLeavesTheQueueWhenTheJobBeforeItHasEnded(t *testing.T) {
	g := gate.New()
	g.Add(web1(nil))
	g.Follow("t", "docs")
	if d := cmp.Diff([]string{"t"}, g.Wakes()); d != "" {
		t.Errorf("woken (-want +got):\n%s", d)
	}
	if v := g.Ask("t", at(t, monday), true); v.Reason.Code != job.AfterJob {
		t.Errorf("while the job runs: %+v", v)
	}
	g.Follow("t", "docs")
	if w := g.Wakes(); len(w) != 0 {
		t.Errorf("nothing has changed, and %v are woken", w)
	}
	g.Follow("t", "")
	if d := cmp.Diff([]string{"t"}, g.Wakes()); d != "" {
		t.Errorf("woken (-want +got):\n%s", d)
	}
	if v := g.Ask("t", at(t, monday), true); !v.Reason.Zero() {
		t.Errorf("when the job has ended: %+v", v)
	}
	g.Follow("nobody", "docs")
}

func TestOnlyWhatAScheduleStartsIsNotSubmitted(t *testing.T) {
	g := gate.New()
	g.SetRules(gate.Rules{Windows: []gate.Window{
		{Name: "queues", Open: hours(t, "daily 20:00-06:00")},
		{Name: "refuses", Open: hours(t, "daily 22:00-04:00"), DoNotSubmit: true},
	}})
	scheduled := web1(func(s *gate.Subject) { s.Scheduled = true })
	for _, c := range []struct {
		s    gate.Subject
		when string
		want string
	}{
		{scheduled, monday, "refuses"},
		{scheduled, "2026-11-02 21:00", "refuses"},
		{scheduled, "2026-11-02 23:00", ""},
		{web1(nil), monday, ""},
	} {
		why := g.NotSubmitted(c.s, at(t, c.when))
		if c.want == "" && !why.Zero() || c.want != "" && (why.Zero() || why.Args[0] != c.want) {
			t.Errorf("at %s: %v, want %q", c.when, why, c.want)
		}
	}
}

func TestEveryJobTypeIsOfOneActivityAtMost(t *testing.T) {
	of := map[job.Type]gate.Activity{}
	for _, r := range gate.Activities {
		if !r.Activity.Known() || r.Meaning == "" {
			t.Errorf("row of %s: %+v", r.Activity, r)
		}
		for _, typ := range r.Types {
			if had := of[typ]; had != "" || !typ.Known() {
				t.Errorf("%s is of %s and of %s", typ, had, r.Activity)
			}
			of[typ] = r.Activity
		}
	}
	for _, r := range job.Types {
		if r.Operation < 2 && r.Type != job.ServerBackup && of[r.Type] == "" {
			t.Errorf("%s protects or recovers data, and no switch holds it", r.Type)
		}
	}
}

func TestLevelsComeBackFromTheirText(t *testing.T) {
	for _, text := range []string{"server", "computer/web1", "group/web", "repository/main"} {
		l, err := gate.ParseLevel(text)
		if err != nil || l.String() != text {
			t.Errorf("%s: %v, %v", text, l, err)
		}
	}
	for _, text := range []string{"", "web1", "computer/", "server/x", "job/x"} {
		if l, err := gate.ParseLevel(text); err == nil {
			t.Errorf("%q is read as %v", text, l)
		}
	}
}

func TestWindowsThatAreNeverOpenTogether(t *testing.T) {
	night := gate.Window{Name: "night", Open: hours(t, "daily 20:00-06:00")}
	day := gate.Window{Name: "day", Open: hours(t, "mon 08:00-18:00")}
	evening := gate.Window{Name: "evening", Open: hours(t, "sat 18:00-20:30")}
	for _, c := range []struct {
		windows []gate.Window
		want    bool
	}{
		{nil, false},
		{[]gate.Window{night}, false},
		{[]gate.Window{night, day}, true},
		{[]gate.Window{night, evening}, false},
		{[]gate.Window{evening, day}, true},
		{[]gate.Window{{Name: "shut", Closed: hours(t, "daily")}}, true},
	} {
		if got := gate.NeverTogether(c.windows, at(t, monday)); got != c.want {
			t.Errorf("%v: %v", c.windows, got)
		}
	}
}
