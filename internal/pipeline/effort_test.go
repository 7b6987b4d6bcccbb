package pipeline

import "testing"

func TestEffortFollowsTheProcessors(t *testing.T) {
	for name, tc := range map[string]struct {
		from effort
		idle float64
		want effort
	}{
		"scarce":               {fullEffort, 0, fullEffort - effortStep},
		"scarce and quick":     {0, 0.05, 0},
		"idle":                 {0, 0.5, effortStep},
		"idle and at its most": {fullEffort, 0.9, fullEffort},
		"just enough":          {8, 0.2, 8},
		"at the lower border":  {8, scarceBelow, 8},
		"at the upper border":  {8, idleAbove, 8},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.from.next(tc.idle); got != tc.want {
				t.Errorf("from %d with %.2f idle to %d, want %d", tc.from, tc.idle, got, tc.want)
			}
		})
	}
}

// site is a model of a backup: a computer that compresses, and a line behind it.
type modelSite struct {
	procs       float64 // seconds of work a second
	line        float64 // MB a second that the line carries
	quick, well float64 // seconds of work for a MB
}

// idle answers what the processors have left when the slower of both sets the pace.
func (m modelSite) idle(e effort) float64 {
	const quickRatio, wellRatio = 0.46, 0.37
	share := float64(e) / float64(fullEffort)
	work := share*m.well + (1-share)*m.quick
	size := share*wellRatio + (1-share)*quickRatio
	pace := min(m.procs/work, m.line/size)
	return 1 - pace*work/m.procs
}

func TestEffortSettlesWhereNothingIsGained(t *testing.T) {
	for name, tc := range map[string]struct {
		site     modelSite
		min, max effort
	}{
		"two processors, local disk": {modelSite{2, 1000, 1.0 / 300, 1.0 / 140}, 0, 0},
		"sixteen, gigabit":           {modelSite{16, 110, 1.0 / 300, 1.0 / 140}, fullEffort, fullEffort},
		"two, gigabit":               {modelSite{2, 110, 1.0 / 300, 1.0 / 140}, 4, 12},
		"two, a slow line":           {modelSite{2, 10, 1.0 / 300, 1.0 / 140}, fullEffort, fullEffort},
	} {
		t.Run(name, func(t *testing.T) {
			e := fullEffort
			var last [8]effort
			for i := range 40 {
				e = e.next(tc.site.idle(e))
				last[i%len(last)] = e
			}
			for _, e := range last {
				if e < tc.min || e > tc.max {
					t.Errorf("it ends among %v, want between %d and %d", last, tc.min, tc.max)
					break
				}
				if e != last[0] {
					t.Errorf("it swings: %v", last)
					break
				}
			}
		})
	}
}

func TestDiceGivesTheShareAskedFor(t *testing.T) {
	for e := effort(0); e <= fullEffort; e++ {
		var d dice
		well := effort(0)
		for range fullEffort {
			if !d.quick(e) {
				well++
			}
		}
		if well != e {
			t.Errorf("of %d chunks %d are compressed well, want %d", fullEffort, well, e)
		}
	}
}

func TestControllerStaysWhereItCannotTell(t *testing.T) {
	known := false
	c := newController(func() (float64, bool) { return 0, known })
	c.look()
	if got := effort(c.effort.Load()); got != fullEffort {
		t.Errorf("knowing nothing it went to %d", got)
	}
	known = true
	c.look()
	if got := effort(c.effort.Load()); got != fullEffort-effortStep {
		t.Errorf("with busy processors it went to %d", got)
	}
}
