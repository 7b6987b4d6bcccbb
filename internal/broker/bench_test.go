package broker_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"keepward/internal/broker"
	"keepward/internal/job"
)

// BenchmarkSite submits n sessions of n/10 computers to 50 repositories of 10 streams, and ends
// them one after the other until nobody waits. A decision is a request or a release with all that
// it brings about; p99-µs is how long the slowest hundredth of the releases took.
func BenchmarkSite(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				runSite(b, n)
			}
		})
	}
}

const repositories = 50

func runSite(b *testing.B, n int) {
	now := time.Unix(0, 0)
	s := broker.New(func() time.Time { return now }, time.Hour)
	for i := range repositories {
		s.SetResource(res(broker.Stream, fmt.Sprint(i), 10))
		s.SetResource(res(broker.Writer, fmt.Sprint(i), 10))
	}
	for i := range n / 10 {
		s.SetResource(res(broker.Client, fmt.Sprint(i), 1))
	}
	random := rand.New(rand.NewPCG(1, uint64(n)))
	var running []string
	took := make([]time.Duration, 0, n)
	note := func(d broker.Decision) {
		for _, g := range d.Granted {
			running = append(running, g.Task)
			s.Update(g.Task, broker.Standing{Preemptable: true, Checkpoint: now})
		}
		for _, i := range d.Interrupt {
			at := slices.Index(running, i.Task)
			running = slices.Delete(running, at, at+1)
			for _, g := range s.Release(i.Task).Granted {
				running = append(running, g.Task)
			}
		}
	}
	start := time.Now()
	for i := range n {
		now = now.Add(time.Millisecond)
		repository := fmt.Sprint(random.IntN(repositories))
		r := broker.Request{Task: fmt.Sprint(i), Session: int64(i), Type: job.Backup, Priority: 166, Set: []broker.Need{
			broker.One(broker.Stream, repository), broker.One(broker.Writer, repository), broker.One(broker.Client, fmt.Sprint(random.IntN(n/10))),
		}}
		switch i % 20 {
		case 0:
			r.Type, r.Priority, r.Set = job.Restore, 66, []broker.Need{r.Set[0], r.Set[2]}
		case 1:
			r.Type, r.Priority, r.Set = job.Verify, 566, r.Set[:1]
		}
		note(s.Request(r))
	}
	for len(running) > 0 {
		now = now.Add(time.Millisecond)
		i := random.IntN(len(running))
		task := running[i]
		running[i] = running[len(running)-1]
		running = running[:len(running)-1]
		at := time.Now()
		d := s.Release(task)
		took = append(took, time.Since(at))
		note(d)
	}
	if left := len(s.Snapshot().Waiting); left > 0 {
		b.Fatalf("%d still wait", left)
	}
	slices.Sort(took)
	b.ReportMetric(float64(2*n)/time.Since(start).Seconds(), "decisions/s")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}
