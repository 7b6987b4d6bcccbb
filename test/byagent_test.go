package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/test/site"
)

// alone is a site with a job that the agent of web1 manages.
type alone struct{ *fleet }

func (f *alone) status() *keepwardv1.AgentStatus {
	f.t.Helper()
	var s keepwardv1.AgentStatus
	f.must(f.Message(&s, "agent", "status", "--data-dir", f.agent["web1"].DataDir))
	return &s
}

func (f *alone) until(what string, ok func(*keepwardv1.AgentStatus) bool) *keepwardv1.AgentStatus {
	f.t.Helper()
	var s *keepwardv1.AgentStatus
	f.must(site.Until(20*time.Second, what, func() (bool, error) { s = f.status(); return ok(s), nil }))
	return s
}

// due has the agent find that it was off when its job should have run.
func (f *alone) due() {
	f.t.Helper()
	a := f.agent["web1"]
	f.must(a.Stop())
	path := filepath.Join(a.DataDir, "standing", "state.pb")
	b, err := os.ReadFile(path)
	f.must(err)
	var s keepwardv1.AgentStandingState
	f.must(proto.Unmarshal(b, &s))
	s.Jobs[0].Seen = timestamppb.New(time.Now().AddDate(0, 0, -2))
	b, err = proto.Marshal(&s)
	f.must(err)
	f.must(os.WriteFile(path, b, 0o600))
	f.must(a.Start())
}

// The server is killed; the agent runs its job by itself, straight to the mover, once to its end and
// once after it was killed in the middle. Then the server comes back, and at last the computer is removed.
func TestAnAgentManagesItsJobWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	server.TransportArgs = []string{"--agents", "127.0.0.1:0"}
	f := &alone{server}
	f.addTransport("store")
	f.addAgent("web1")
	f.createRepository("main", filepath.Join(f.Dir, "repository"))
	src := filepath.Join(f.Dir, "src")
	f.must(site.RandomTree(src, 200, 8<<20, 1))
	f.createJob("docs", "web1", []string{src}, "--schedule", "daily 03:00", "--mode", "agent", "--attempts", "5")
	f.until("attempts at the agent", func(s *keepwardv1.AgentStatus) bool {
		return len(s.GetJobs()) == 1 && s.GetJobs()[0].GetAttemptsLeft() >= 7
	})

	f.Server.Kill()
	f.due()
	f.until("run without the server", func(s *keepwardv1.AgentStatus) bool {
		return len(s.GetRuns()) == 1 && s.GetRuns()[0].GetOutcome() == "done"
	})

	f.must(largeFile(filepath.Join(src, "large.img"), 200<<20))
	f.due()
	f.until("second run", func(s *keepwardv1.AgentStatus) bool { return s.GetJobs()[0].GetRunning() != "" })
	f.agent["web1"].Kill()
	f.must(f.agent["web1"].Start())
	s := f.until("run that goes on", func(s *keepwardv1.AgentStatus) bool {
		return len(s.GetRuns()) == 3 && s.GetRuns()[0].GetOutcome() == "done"
	})
	if got := s.GetRuns()[1].GetFailure().GetCode(); got != "agent.restarted" {
		t.Errorf("the killed run: %s", got)
	}

	f.must(f.Server.Start())
	var sessions []*keepwardv1.Session
	f.must(site.Until(30*time.Second, "sessions of what the agent did", func() (bool, error) {
		var err error
		sessions, err = f.Sessions("--job", "docs")
		over := len(sessions) == 3
		for _, s := range sessions {
			over = over && site.Final(s.GetStatus())
		}
		return over, err
	}))
	how := map[string]int{}
	for _, s := range sessions {
		how[s.GetStatus()]++
		if s.GetUser() != "its agent" {
			t.Errorf("session %d was started by %q", s.GetId(), s.GetUser())
		}
	}
	if how["Completed"] != 2 || how["Failed"] != 1 {
		t.Errorf("sessions: %v", how)
	}
	points, err := f.Points("web1")
	f.must(err)
	if len(points) != 2 || points[0].GetParent() != points[1].GetId() {
		t.Fatalf("points: %v", points)
	}
	to := filepath.Join(f.Dir, "back")
	f.do("restore", "files", "--computer", "web1", "--point", points[0].GetId(), "--to", to, "--wait")
	diff, err := site.RsyncDiff(src, filepath.Join(to, src))
	if err != nil || diff != "" {
		t.Errorf("restored: %v\n%s", err, diff)
	}
	f.until("reports taken over", func(s *keepwardv1.AgentStatus) bool { return s.GetUnreported() == 0 })

	f.do("computer", "remove", "web1")
	f.due()
	s = f.until("refusal", func(s *keepwardv1.AgentStatus) bool { return len(s.GetRuns()) == 4 })
	if run := s.GetRuns()[0]; run.GetFailure().GetCode() != "standing.unknown" || !strings.Contains(run.GetFailure().GetMessage(), "web1") {
		t.Errorf("a computer that was removed: %v", run)
	}
}
