package manager

import (
	"context"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/config"
	"keepward/internal/retention"
	"keepward/internal/schedule"
)

// runsOfYear bounds how many runs of a year are looked at: an hourly job has as many.
const runsOfYear = 9_000

// KeptYear says what would be there of a computer if a job had run by its schedule for a year. daily: it
// has no moments of its own, or too many, and is taken to run once a day.
func (m *Manager) KeptYear(_ context.Context, j *keepwardv1.Job) (days []retention.Day, daily bool) {
	now := time.Now()
	from := now.AddDate(0, 0, -retention.YearDays)
	var made []time.Time
	s, ok := scheduleOf(j)
	daily = !ok || s.Kind() != schedule.Calendar
	for at := from; !daily; {
		next, more := s.Next(at)
		if !more || next.After(now) {
			break
		}
		if made, at = append(made, next), next; len(made) > runsOfYear {
			daily = true
		}
	}
	if daily {
		made = nil
		for i := range retention.YearDays {
			made = append(made, now.AddDate(0, 0, -i))
		}
	}
	return config.PolicyOf(j.GetRetention()).Year(made, now, time.Local), daily
}
