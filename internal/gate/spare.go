package gate

import "keepward/internal/job"

// Supply is how a computer is supplied, as its agent said last. One that was not heard of has mains
// and a free network.
type Supply struct {
	Battery bool
	Charge  int // percent
	Metered bool
}

// sparing keeps how computers are supplied, and which tasks mind.
type sparing struct {
	supply  map[string]Supply // by computer; those with mains and a free network are left out
	minding map[string]map[string]struct{}
}

func newSparing() sparing {
	return sparing{supply: map[string]Supply{}, minding: map[string]map[string]struct{}{}}
}

// minds tells whether it may ever matter to a task how its computer is supplied.
func (s *Subject) minds() bool {
	return s.Scheduled && s.Computer != "" && (s.LeastCharge > 0 || s.Unmetered)
}

func (p *sparing) add(s *Subject) {
	if !s.minds() {
		return
	}
	if p.minding[s.Computer] == nil {
		p.minding[s.Computer] = map[string]struct{}{}
	}
	p.minding[s.Computer][s.Task] = struct{}{}
}

func (p *sparing) remove(s *Subject) {
	delete(p.minding[s.Computer], s.Task)
	if len(p.minding[s.Computer]) == 0 {
		delete(p.minding, s.Computer)
	}
}

// of is why the computer of a task is to be spared; zero: it is not.
func (p *sparing) of(s *Subject) job.Reason {
	if !s.minds() {
		return job.Reason{}
	}
	now := p.supply[s.Computer]
	switch {
	case now.Battery && now.Charge < s.LeastCharge:
		return job.Because(job.OnBattery, s.Computer, job.ChargeNeeded(s.LeastCharge))
	case now.Metered && s.Unmetered:
		return job.Because(job.MeteredNetwork, s.Computer)
	}
	return job.Reason{}
}

// Supplied is told how a computer is supplied from now on. The tasks to which that makes a
// difference are among those of Wakes.
func (g *Gate) Supplied(computer string, now Supply) {
	if !now.Battery {
		now.Charge = 0
	}
	before := g.sparing.supply[computer]
	if before == now {
		return
	}
	reasons := map[string]string{}
	for task := range g.sparing.minding[computer] {
		reasons[task] = g.sparing.of(&g.tasks[task].Subject).Text()
	}
	if g.sparing.supply[computer] = now; now == (Supply{}) {
		delete(g.sparing.supply, computer)
	}
	for task, text := range reasons {
		if g.sparing.of(&g.tasks[task].Subject).Text() != text {
			g.wake[task] = struct{}{}
		}
	}
}
