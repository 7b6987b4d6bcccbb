package gate_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/gate"
	"keepward/internal/job"
)

// laptop is a scheduled backup of computer lap; change makes another of it.
func laptop(task string, change func(s *gate.Subject)) gate.Subject {
	s := gate.Subject{Task: task, Session: 1, Type: job.Backup, Computer: "lap", Repository: "main", Scheduled: true, LeastCharge: 30, Unmetered: true}
	if change != nil {
		change(&s)
	}
	return s
}

func TestWhatIsSupplied(t *testing.T) {
	battery := job.Because(job.OnBattery, "lap", "mains or 30 %")
	metered := job.Because(job.MeteredNetwork, "lap")
	for _, c := range []struct {
		name   string
		supply gate.Supply
		change func(s *gate.Subject)
		want   job.Reason
	}{
		{"mains", gate.Supply{}, nil, job.Reason{}},
		{"enough charge", gate.Supply{Battery: true, Charge: 30}, nil, job.Reason{}},
		{"too little", gate.Supply{Battery: true, Charge: 29}, nil, battery},
		{"mains only", gate.Supply{Battery: true, Charge: 100}, func(s *gate.Subject) { s.LeastCharge = job.OnlyMains }, job.Because(job.OnBattery, "lap", "mains")},
		{"it does not matter", gate.Supply{Battery: true}, func(s *gate.Subject) { s.LeastCharge = 0 }, job.Reason{}},
		{"metered", gate.Supply{Metered: true}, nil, metered},
		{"metered, and allowed", gate.Supply{Metered: true}, func(s *gate.Subject) { s.Unmetered = false }, job.Reason{}},
		{"both", gate.Supply{Battery: true, Charge: 3, Metered: true}, nil, battery},
		{"somebody asked for it", gate.Supply{Battery: true, Charge: 3, Metered: true}, func(s *gate.Subject) { s.Scheduled = false }, job.Reason{}},
		{"another computer", gate.Supply{Battery: true, Charge: 3}, func(s *gate.Subject) { s.Computer = "web1" }, job.Reason{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := gate.New()
			g.Add(laptop("t", c.change))
			g.Supplied("lap", c.supply)
			got := g.Ask("t", time.Now(), true)
			if d := cmp.Diff(gate.Verdict{Reason: c.want, LetGo: !c.want.Zero()}, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// A rule that an administrator made is told before the computer, and a window that lets finish does
// not keep a battery from being spared.
func TestSparingBesideOtherRules(t *testing.T) {
	g := gate.New()
	g.SetRules(gate.Rules{Windows: []gate.Window{{Name: "night", Open: hours(t, "daily 20:00-06:00"), Finish: true}}})
	g.Add(laptop("t", nil))
	now := at(t, monday)
	if v := g.Ask("t", now, true); v.LetGo || v.Reason.Code != job.OutsideWindow {
		t.Errorf("with mains: %+v", v)
	}
	g.Supplied("lap", gate.Supply{Battery: true, Charge: 5})
	if v := g.Ask("t", now, true); !v.LetGo || v.Reason.Code != job.OutsideWindow {
		t.Errorf("on battery: %+v", v)
	}
}

func TestOnlyWhomItConcernsIsWoken(t *testing.T) {
	g := gate.New()
	g.Add(laptop("low", func(s *gate.Subject) { s.LeastCharge = 10 }))
	g.Add(laptop("high", func(s *gate.Subject) { s.LeastCharge = 80 }))
	g.Add(laptop("byhand", func(s *gate.Subject) { s.Scheduled = false }))
	g.Add(laptop("other", func(s *gate.Subject) { s.Computer = "web1" }))
	for i, c := range []struct {
		supply gate.Supply
		want   []string
	}{
		{gate.Supply{}, nil},
		{gate.Supply{Battery: true, Charge: 90}, nil},
		{gate.Supply{Battery: true, Charge: 60}, []string{"high"}},
		{gate.Supply{Battery: true, Charge: 59}, nil},
		{gate.Supply{Battery: true, Charge: 9}, []string{"low"}},
		{gate.Supply{Metered: true}, []string{"high", "low"}},
		{gate.Supply{}, []string{"high", "low"}},
		{gate.Supply{Charge: 44}, nil}, // of a battery that it does not run on
	} {
		g.Supplied("lap", c.supply)
		if d := cmp.Diff(c.want, g.Wakes()); d != "" {
			t.Errorf("step %d, %+v (-want +got):\n%s", i, c.supply, d)
		}
	}
	g.Supplied("lap", gate.Supply{Battery: true, Charge: 5})
	g.Wakes()
	g.Remove("low")
	g.Remove("high")
	g.Supplied("lap", gate.Supply{})
	if w := g.Wakes(); w != nil {
		t.Errorf("what is over is woken: %v", w)
	}
}
