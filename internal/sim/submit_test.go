package sim

import (
	"context"
	"fmt"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/job"
	"keepward/internal/manager"
)

// sharedJob is the job of backups of files: two of the same computer conflict.
const sharedJob = "docs"

// submit starts a session of a kind, with its tasks on these computers.
func (s *site) submit(k kind, p manager.Places, on ...string) int64 {
	s.t.Helper()
	return s.submitAt(time.Time{}, k, p, on...)
}

// submitAt starts a session that stays in the queue until a time; zero: until nothing holds it.
func (s *site) submitAt(at time.Time, k kind, p manager.Places, on ...string) int64 {
	s.t.Helper()
	name := fmt.Sprintf("j%d", len(s.known)+1)
	if k.typ == job.Backup {
		name = sharedJob
	}
	if len(on) == 0 {
		on = []string{""}
	}
	s.mu.Lock()
	s.places[name] = p
	s.mu.Unlock()
	id, err := s.m.Try(context.Background(), manager.Trial{
		Type: k.typ, Job: name, Repository: p.Target.Repository, Computers: on, Point: "p", StartAt: at, Definition: definition(k.typ, p.Target.Repository, on[0]),
	})
	s.must(err)
	s.known[id] = &known{typ: k.typ, job: name}
	s.count.sessions++
	s.note("session %d is submitted: %s of %v, at %s", id, k, on, at.Format(time.TimeOnly))
	synctest.Wait()
	return id
}

// definition is what the server keeps of what a session does.
func definition(t job.Type, repository, computer string) proto.Message {
	switch t {
	case job.Backup:
		return &keepwardv1.Job{Name: sharedJob, Type: "backup", Repository: repository}
	case job.Restore:
		return &keepwardv1.RestoreFilesRequest{Computer: computer, TargetComputer: computer}
	case job.Sweep:
		return &keepwardv1.SweepRepositoryRequest{Name: repository}
	case job.Rescan:
		return &keepwardv1.RescanOrder{}
	case job.UpdateInstall:
		return &keepwardv1.UpdateOrder{Computer: computer}
	case job.Retention:
		return &keepwardv1.RetentionOrder{Repository: repository}
	}
	return &keepwardv1.CheckRepositoryRequest{Name: repository}
}

func (s *site) session(id int64) *keepwardv1.Session {
	s.t.Helper()
	res, err := s.m.GetSession(context.Background(), connect.NewRequest(&keepwardv1.GetSessionRequest{Id: id}))
	s.must(err)
	return res.Msg.GetSession()
}

func (s *site) status(id int64) job.Status { return job.Status(s.session(id).GetStatus()) }

// events are the changes of status of a session, from first to last.
func (s *site) events(id int64) []*keepwardv1.Event {
	s.t.Helper()
	list, err := catalog.Events(context.Background(), s.db.Read(), id, 0, 100_000)
	s.must(err)
	return list
}

func (s *site) log(id int64) string {
	out := ""
	for _, e := range s.events(id) {
		out += fmt.Sprintf("%s %s %s > %s: %s\n", e.GetTime().AsTime().Format("02 15:04:05"), e.GetCode(), e.GetFrom(), e.GetTo(), e.GetText())
	}
	return out
}

// Users.
func (s *site) suspend(id int64) {
	_, err := s.m.SuspendSession(context.Background(), connect.NewRequest(&keepwardv1.SuspendSessionRequest{Id: id}))
	s.note("session %d: suspend: %v", id, err)
	synctest.Wait()
}

func (s *site) resume(id int64) {
	_, err := s.m.ResumeSession(context.Background(), connect.NewRequest(&keepwardv1.ResumeSessionRequest{Id: id}))
	s.note("session %d: resume: %v", id, err)
	synctest.Wait()
}

func (s *site) killSession(id int64) {
	s.count.kills++
	s.known[id].spoiled = true
	_, err := s.m.KillSession(context.Background(), connect.NewRequest(&keepwardv1.KillSessionRequest{Id: id}))
	s.note("session %d: kill: %v", id, err)
	synctest.Wait()
}

// commitSession ends a backup early and keeps what it has written.
func (s *site) commitSession(id int64) {
	s.count.kills++
	s.known[id].spoiled = true
	_, err := s.m.KillSession(context.Background(), connect.NewRequest(&keepwardv1.KillSessionRequest{Id: id, Commit: true}))
	s.note("session %d: kill with commit: %v", id, err)
	synctest.Wait()
}

func (s *site) prioritise(id int64, priority int) {
	_, err := s.m.SetSessionPriority(context.Background(), connect.NewRequest(&keepwardv1.SetSessionPriorityRequest{Id: id, Priority: int32(priority)}))
	s.note("session %d: priority %03d: %v", id, priority, err)
	synctest.Wait()
}

// beatEvery is how often nodes are heard of.
const beatEvery = 15 * time.Second

// pass lets time go by, with the heartbeats of the nodes that are connected.
func (s *site) pass(d time.Duration) { s.passBy(d, beatEvery) }

func (s *site) passBy(d, step time.Duration) {
	for d > 0 {
		now := min(d, step)
		time.Sleep(now)
		synctest.Wait()
		d -= now
		for _, n := range s.sorted() {
			if n.online {
				s.beat(n)
			}
		}
	}
}

// workAll has every attempt at every node end, well or as it was told to; it tells whether any did.
func (s *site) workAll() bool {
	did := false
	for _, n := range s.sorted() {
		for _, id := range n.attempts() {
			if !s.refuses(n, id) {
				s.finish(n, id, nil)
			}
			did = true
		}
		s.report(n, false)
	}
	return did
}
