package test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
	"keepward/test/site"
)

// change is a task's change of status, as the server wrote it.
type change struct {
	task     string
	from, to job.Status
	at       time.Time
}

// changes are the changes of status of a session's tasks, in their order.
func (f *fleet) changes(id int64) []change {
	f.t.Helper()
	var list []change
	for _, e := range f.eventsOf(id) {
		if e.GetCode() == "status" {
			list = append(list, change{e.GetTask(), job.Status(e.GetFrom()), job.Status(e.GetTo()), e.GetTime().AsTime()})
		}
	}
	return list
}

// most is how many tasks held resources at once, by what the server wrote.
func most(list []change) int {
	holding, n := map[string]bool{}, 0
	for _, c := range list {
		delete(holding, c.task)
		if class := c.to.Class(); class == job.Active || class == job.Leaving {
			holding[c.task] = true
		}
		n = max(n, len(holding))
	}
	return n
}

// Forty computers share four streams; the server is killed in the middle of it. Never do more than
// four run, none is lost, and none is backed up twice.
func TestFortyComputersOnFourStreams(t *testing.T) {
	const computers, streams = 40, 4
	f := newServer(t)
	f.addTransport("store")
	f.createRepository("main", filepath.Join(f.Dir, "repository"))
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 200, 8<<20, 5))
	var names []string
	for i := range computers {
		names = append(names, fmt.Sprintf("web%02d", i))
		f.addAgent(names[i])
	}
	f.createJob("all", strings.Join(names, ","), []string{src}, "--restart-interval", "1s")

	id := f.start("all")
	f.must(site.Until(sessionWithin, "a quarter of the tasks done", func() (bool, error) {
		s, err := f.Session(id)
		return over(s) >= computers/4, err
	}))
	f.Server.Kill()
	f.must(f.Server.Start())
	s := f.final(id, "Completed", "Completed w/ warnings")

	list := f.changes(id)
	if n := most(list); n != streams {
		t.Errorf("%d tasks had a stream at once, want %d", n, streams)
	}
	var done []string
	for _, task := range s.GetTasks() {
		if task.GetPoint() == "" {
			t.Errorf("the task of %s is %s without a point", task.GetComputer(), task.GetStatus())
		}
		done = append(done, task.GetComputer())
	}
	slices.Sort(done)
	if !slices.Equal(done, names) {
		t.Errorf("the session's computers are %q", done)
	}
	for _, name := range names {
		points, err := f.Points(name)
		f.must(err)
		if len(points) != 1 {
			t.Errorf("%s has %d points, want 1", name, len(points))
		}
	}
	ends := 0
	for _, c := range list {
		if c.to.Final() {
			ends++
		}
	}
	if ends != computers {
		t.Errorf("%d tasks ended, want each of %d once", ends, computers)
	}
	same(t, src, below(f.restore(names[computers-1], "latest"), src))
}

// over is how many tasks of a session are.
func over(s *keepwardv1.Session) (n int) {
	for _, t := range s.GetTasks() {
		if job.Status(t.GetStatus()).Final() {
			n++
		}
	}
	return n
}

// Two computers share one stream: the second says for whom it waits, and starts as soon as the
// stream is free.
func TestAFreedStreamIsGivenAtOnce(t *testing.T) {
	const rounds = 7
	f := newFleet(t, "web1", "web2")
	f.do("repository", "edit", "main", "--streams", "1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 20, 1<<20, 1))
	f.createJob("one", "web1", []string{src})
	f.createJob("two", "web2", []string{src})
	var took []time.Duration
	for range rounds {
		goOn := f.pause("web1")
		first := f.start("one")
		f.hasStatus(first, "Running", time.Minute)
		second := f.start("two")
		f.must(site.Until(time.Minute, "wait of the second", func() (bool, error) {
			s, err := f.Session(second)
			return s.GetStatus() == "Waiting" && s.GetReason().GetCode() == string(job.StreamsShort), err
		}))
		goOn()
		f.final(first, "Completed")
		f.final(second, "Completed")
		if said := f.sessionLog(second); !strings.Contains(said, "not enough streams of repository main") || !strings.Contains(said, "held by sessions ["+itoa(int(first))+"]") {
			t.Errorf("the second does not say that it waits for session %d:\n%s", first, said)
		}
		freed, err := ended(f.changes(first))
		f.must(err)
		started, err := began(f.changes(second))
		f.must(err)
		took = append(took, started.Sub(freed))
	}
	slices.Sort(took)
	median := took[len(took)/2]
	t.Logf("from the end of the first to the start of the second: median %s, longest %s, of %d", median, took[len(took)-1], len(took))
	if median > 100*time.Millisecond {
		t.Errorf("the median is %s", median)
	}
}

// pause stops an agent's process in its tracks, until goOn is called.
func (f *fleet) pause(computer string) (goOn func()) {
	f.t.Helper()
	pid := f.agent[computer].Pid()
	f.must(syscall.Kill(pid, syscall.SIGSTOP))
	return func() { f.must(syscall.Kill(pid, syscall.SIGCONT)) }
}

// ended is when a session of one task was over.
func ended(list []change) (time.Time, error) {
	for _, c := range list {
		if c.to.Final() {
			return c.at, nil
		}
	}
	return time.Time{}, errors.New("the session has not ended")
}

// began is when a session of one task began to run.
func began(list []change) (time.Time, error) {
	for _, c := range list {
		if c.to == job.Running {
			return c.at, nil
		}
	}
	return time.Time{}, errors.New("the session has not run")
}
