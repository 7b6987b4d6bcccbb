package manager

import (
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/broker"
	"keepward/internal/schedule"
)

// Ready tells whether all sessions are taken up and the schedules run.
func (m *Manager) Ready() bool {
	select {
	case <-m.ready:
		return true
	default:
		return false
	}
}

// Streams is how many streams of each repository are in use.
func (m *Manager) Streams() []broker.Use { return m.broker.Use(broker.Stream) }

// spacingRuns is how many coming runs are looked at: an hourly job that rests at night shows its
// longest pause within a day, one of every working day within a week.
const spacingRuns = 32

// Spacing is the longest time between two coming runs of a job; false: no calendar starts it.
func Spacing(j *keepwardv1.Job, now time.Time) (time.Duration, bool) {
	s, ok := scheduleOf(j)
	if !ok {
		return 0, false
	}
	var longest time.Duration
	runs := s.NextN(now, spacingRuns)
	for i := 1; i < len(runs); i++ {
		longest = max(longest, runs[i].Sub(runs[i-1]))
	}
	return longest, longest > 0
}

// perComputerSlack is between the first and the last zone of the world: a run in the hours of its
// computers is not late before it is in all of them.
const perComputerSlack = 26 * time.Hour

// DueAfter is when a job should have run at the latest if it last ran at a moment; false: nothing
// says when, as with a job that follows another one, or a computer that comes online.
func DueAfter(j *keepwardv1.Job, last time.Time) (time.Time, bool) {
	s, ok := scheduleOf(j)
	if !ok {
		return time.Time{}, false
	}
	switch s.Kind() {
	case schedule.Calendar:
		at, ok := s.Next(last)
		if s.PerComputer() {
			at = at.Add(perComputerSlack)
		}
		return at.Add(j.GetJitter().AsDuration()), ok
	case schedule.Continuously:
		at, ok := s.Allowed(last.Add(s.Gap()))
		return at, ok
	}
	return time.Time{}, false
}
