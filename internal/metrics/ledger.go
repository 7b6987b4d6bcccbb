package metrics

import (
	"context"
	"slices"
	"time"

	"keepward/internal/job"
)

// overlap is how long after its end a session may show up: who ends it takes the time before the
// commit, and another may commit sooner.
const overlap = time.Minute

// durations are the bounds of the histogram, in seconds: ten seconds to a day.
var durations = []float64{10, 60, 300, 900, 3600, 2 * 3600, 4 * 3600, 8 * 3600, 12 * 3600, 24 * 3600}

// ledger keeps the counters: each session that ends is entered once, so that what a scrape costs
// does not grow with the history.
type ledger struct {
	since  time.Time
	seen   map[int64]time.Time // when they ended: those that the next look finds again
	newest time.Time
	types  map[job.Type]*account
	jobs   map[string]*jobEnd
}

// account is what the sessions of a type come to.
type account struct {
	results map[job.Result]float64
	volume  Volume
	buckets []uint64 // not cumulated; one for each bound
	count   uint64
	seconds float64
}

// jobEnd is how a job's sessions ended.
type jobEnd struct {
	success time.Time // of the newest that left a result
	last    time.Time
	failed  bool // the newest did
}

var results = []job.Result{job.ResultNone, job.ResultSuccess, job.ResultWarning, job.ResultFailed}

func newLedger(since time.Time) *ledger {
	l := &ledger{since: since, seen: map[int64]time.Time{}, types: map[job.Type]*account{}, jobs: map[string]*jobEnd{}}
	for _, t := range job.Types {
		if t.Implemented {
			l.account(t.Type) // a counter that begins at 0 shows its first step
		}
	}
	return l
}

func (l *ledger) account(t job.Type) *account {
	a := l.types[t]
	if a == nil {
		a = &account{results: map[job.Result]float64{}, buckets: make([]uint64, len(durations))}
		for _, r := range results {
			a.results[r] = 0
		}
		l.types[t] = a
	}
	return a
}

// enter reads what has ended since the last time.
func (l *ledger) enter(ctx context.Context, src Source) error {
	list, err := src.Ended(ctx, l.from())
	if err != nil {
		return err
	}
	for _, e := range list {
		if _, known := l.seen[e.ID]; known {
			continue
		}
		v, err := src.Volume(ctx, e.ID)
		if err != nil {
			return err // what is entered stays so, the rest comes next time
		}
		l.add(e, v)
	}
	for id, ended := range l.seen {
		if ended.Before(l.from()) {
			delete(l.seen, id)
		}
	}
	return nil
}

func (l *ledger) from() time.Time {
	if at := l.newest.Add(-overlap); at.After(l.since) {
		return at
	}
	return l.since
}

func (l *ledger) add(e Ended, v Volume) {
	l.seen[e.ID] = e.Ended
	if e.Ended.After(l.newest) {
		l.newest = e.Ended
	}
	a := l.account(e.Type)
	a.results[e.Status.Result()]++
	a.volume = Volume{a.volume.Processed + v.Processed, a.volume.Read + v.Read, a.volume.Sent + v.Sent, a.volume.Stored + v.Stored}
	if !e.Started.IsZero() {
		took := max(e.Ended.Sub(e.Started), 0).Seconds()
		a.count++
		a.seconds += took
		if i, _ := slices.BinarySearch(durations, took); i < len(durations) {
			a.buckets[i]++
		}
	}
	if j := l.jobs[e.Job]; j != nil {
		j.note(e)
	}
}

func (j *jobEnd) note(e Ended) {
	if !e.Ended.Before(j.last) {
		j.last, j.failed = e.Ended, e.Status.Result() == job.ResultFailed
	}
	if e.Status.LeftResult() && e.Ended.After(j.success) {
		j.success = e.Ended
	}
}

// know reads the past of jobs that are new here, and forgets those that are gone.
func (l *ledger) know(ctx context.Context, src Source, jobs []Job) error {
	there := make(map[string]bool, len(jobs))
	for _, j := range jobs {
		there[j.Name] = true
		if l.jobs[j.Name] != nil {
			continue
		}
		past, err := src.EndedOf(ctx, j.Name)
		if err != nil {
			return err
		}
		end := &jobEnd{}
		for _, e := range past {
			end.note(e)
		}
		l.jobs[j.Name] = end
	}
	for name := range l.jobs {
		if !there[name] {
			delete(l.jobs, name)
		}
	}
	return nil
}
