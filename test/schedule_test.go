package test

import (
	"path/filepath"
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/test/site"
)

// A schedule runs its job by itself, and a switched off job does not run.
func TestScheduleRuns(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 10, 1<<20, 1))
	// The next full minute but one: never so near that it is missed.
	at := time.Now().Add(75 * time.Second).Truncate(time.Minute)
	f.createJob("docs", "web1", []string{src}, "--schedule", "daily "+at.Format("15:04"))
	f.createJob("off", "web1", []string{src}, "--schedule", "daily "+at.Format("15:04"))
	f.do("job", "disable", "off")

	var got keepwardv1.GetJobResponse
	f.must(f.Message(&got, "job", "show", "docs"))
	if next := got.GetJob().GetNextRun().AsTime(); !next.Equal(at) {
		t.Errorf("the next run is shown as %s, want %s", next.Local(), at)
	}
	var id int64
	f.must(site.Until(3*time.Minute, "session of the schedule", func() (bool, error) {
		all, err := f.Sessions("--job", "docs")
		if err == nil && len(all) > 0 {
			id = all[0].Id
		}
		return id != 0, err
	}))
	s := f.final(id, "Completed")
	if s.User != "schedule" {
		t.Errorf("the session was started by %q", s.User)
	}
	if s.Created.AsTime().Before(at) {
		t.Errorf("it was started at %s, before %s", s.Created.AsTime(), at)
	}
	all, err := f.Sessions("--job", "off")
	f.must(err)
	if len(all) != 0 {
		t.Errorf("the disabled job ran: %v", all)
	}
}
