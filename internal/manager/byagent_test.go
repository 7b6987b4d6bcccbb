package manager

import (
	"context"
	"database/sql"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/group"
	"keepward/internal/job"
	sealed "keepward/internal/standing"
)

// standingSite is a world whose nodes take part in jobs managed by agents.
type standingSite struct {
	*world
	policies map[string][]*keepwardv1.AgentPolicy // by computer
	issued   map[string]*keepwardv1.StandingOrder // at the transport
	opened   map[string]bool                      // likewise
	revoked  []string
	puts     int
}

type (
	standingAgentOf struct {
		s    *standingSite
		name string
	}
	standingTransportOf struct{ s *standingSite }
)

func (s *standingSite) StandingAgent(name string) (keepwardv1connect.StandingAgentServiceClient, bool) {
	_, online := s.Agent(name)
	return standingAgentOf{s, name}, online
}

func (s *standingSite) StandingTransport(name string) (keepwardv1connect.StandingTransportServiceClient, bool) {
	_, online := s.Transport(name)
	return standingTransportOf{s}, online
}

func (s *standingSite) Doors(string) []string { return []string{"host1:7483"} }

func (a standingAgentOf) PutPolicies(_ context.Context, req *connect.Request[keepwardv1.PutPoliciesRequest]) (*connect.Response[keepwardv1.PutPoliciesResponse], error) {
	s := a.s
	s.mu.Lock()
	defer s.mu.Unlock()
	res := &keepwardv1.PutPoliciesResponse{}
	var next []*keepwardv1.AgentPolicy
	for _, p := range req.Msg.GetPolicies() {
		if len(p.GetAttempts()) == 0 {
			i := slices.IndexFunc(s.policies[a.name], func(o *keepwardv1.AgentPolicy) bool { return o.GetId() == p.GetId() })
			if i < 0 {
				res.Unknown = append(res.Unknown, p.GetId())
				continue
			}
			p = s.policies[a.name][i]
		}
		next = append(next, p)
	}
	s.policies[a.name] = next
	return connect.NewResponse(res), nil
}

func (a standingTransportOf) PutStanding(_ context.Context, req *connect.Request[keepwardv1.PutStandingRequest]) (*connect.Response[keepwardv1.PutStandingResponse], error) {
	s := a.s
	s.mu.Lock()
	defer s.mu.Unlock()
	s.puts++
	res := &keepwardv1.PutStandingResponse{}
	next := map[string]*keepwardv1.StandingOrder{}
	for _, o := range req.Msg.GetAttempts() {
		had := s.issued[o.GetAttempt()]
		switch {
		case len(o.GetStart()) > 0:
			next[o.GetAttempt()] = o
		case had == nil:
			res.Unknown = append(res.Unknown, o.GetAttempt())
		default:
			next[o.GetAttempt()] = had
		}
	}
	s.revoked = append(s.revoked, req.Msg.GetRevoked()...)
	for id := range s.opened {
		if s.issued[id] != nil {
			next[id] = s.issued[id]
			res.Opened = append(res.Opened, id)
		}
	}
	s.issued = next
	return connect.NewResponse(res), nil
}

// byAgents runs fn in a world where job docs is managed by the agent of web1, which has its attempts.
func byAgents(t *testing.T, fn func(t *testing.T, s *standingSite)) {
	t.Helper()
	site(t, func(t *testing.T, w *world) {
		s := &standingSite{world: w, policies: map[string][]*keepwardv1.AgentPolicy{}, issued: map[string]*keepwardv1.StandingOrder{}, opened: map[string]bool{}}
		w.byAgent = s
		w.reopen()
		w.connect()
		w.setJob(agentJob())
		fn(t, s)
	})
}

func agentJob() *keepwardv1.Job {
	j := theJobOf("web1")
	j.Mode, j.Schedule, j.Missed = job.ModeAgent, "daily 00:20", "run once"
	return j
}

func (s *standingSite) policy(t *testing.T) *keepwardv1.AgentPolicy {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.policies["web1"]) != 1 {
		t.Fatalf("the agent manages %d jobs, want 1", len(s.policies["web1"]))
	}
	return s.policies["web1"][0]
}

// opens is the agent opening an attempt while nobody tells the server.
func (s *standingSite) opens(t *testing.T) *keepwardv1.AgentAttempt {
	t.Helper()
	a := s.policy(t).GetAttempts()[0]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened[a.GetAttempt()] = true
	s.agents["web1"].backups[a.GetAttempt()] = &keepwardv1.StartBackupRequest{}
	s.transports[theNode].movers[a.GetAttempt()] = &keepwardv1.StartMoverRequest{}
	return a
}

func (s *standingSite) end(t *testing.T, n Node, attempt string, end *keepwardv1.AttemptEnd) {
	t.Helper()
	if err := s.m.End(t.Context(), n, attempt, end); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func (s *standingSite) sessions(t *testing.T) []catalog.Session {
	t.Helper()
	rows, err := catalog.Sessions(t.Context(), s.db.Read(), catalog.SessionFilter{Job: theJob})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestAnAgentGetsAttemptsForAWeekWhichItsTransportKnows(t *testing.T) {
	byAgents(t, func(t *testing.T, s *standingSite) {
		p := s.policy(t)
		if n := len(p.GetAttempts()); n != 7+attemptsLeast {
			t.Errorf("%d attempts, want one for each of seven days and %d for retries", n, attemptsLeast)
		}
		if got := p.GetValidUntil().AsTime().Sub(p.GetIssued().AsTime()); got != 7*24*time.Hour {
			t.Errorf("they hold for %s", got)
		}
		for _, a := range p.GetAttempts() {
			o := s.issued[a.GetAttempt()]
			start, keys := &keepwardv1.StartMoverRequest{}, &keepwardv1.RepositoryKeys{}
			if err := sealed.Open(a.GetHalf(), o.GetStart(), sealed.Start, a.GetAttempt(), start); err != nil || start.GetComputer() != "web1" {
				t.Fatalf("the agent's half opens %v, %v", start, err)
			}
			if err := sealed.Open(o.GetHalf(), a.GetKeys(), sealed.Keys, a.GetAttempt(), keys); err != nil || len(keys.GetIdKey()) == 0 {
				t.Fatalf("the transport's half opens nothing: %v", err)
			}
			if err := sealed.Open(a.GetHalf(), a.GetKeys(), sealed.Keys, a.GetAttempt(), keys); err == nil {
				t.Fatal("the agent can open its keys by itself")
			}
		}
		s.pass(21 * time.Minute) // past its moment
		if rows := s.sessions(t); len(rows) != 0 {
			t.Errorf("the server ran the job by itself: %d sessions", len(rows))
		}
	})
}

func TestWhatAnAgentIssuedIsRenewedWithoutAGap(t *testing.T) {
	byAgents(t, func(t *testing.T, s *standingSite) {
		first := s.policy(t)
		s.pass(renewEvery + time.Minute)
		second := s.policy(t)
		if first.GetId() == second.GetId() {
			t.Fatal("nothing was issued anew after an hour")
		}
		if len(s.issued) != len(second.GetAttempts()) {
			t.Errorf("the transport knows %d attempts, the agent has %d", len(s.issued), len(second.GetAttempts()))
		}
		s.agentDown("web1")
		s.pass(renewEvery + time.Minute)
		if s.policy(t).GetId() != second.GetId() || len(s.issued) != len(second.GetAttempts()) {
			t.Error("an agent that is away lost what it has")
		}
	})
}

func TestARunWhileTheServerIsAwayBecomesASessionAndAPoint(t *testing.T) {
	byAgents(t, func(t *testing.T, s *standingSite) {
		a := s.opens(t)
		opened := time.Now()
		s.pass(time.Hour)
		s.reopen()
		s.m.NodeOnline(transportOf(theNode))
		ctx := t.Context()
		line := &keepwardv1.Event{Time: timestamppb.New(opened), Level: levelWarning, Code: "file.changed", Text: "a file changed"}
		if err := s.m.Events(ctx, agentOf("web1"), a.GetAttempt(), []*keepwardv1.Event{line}); err != nil {
			t.Fatal(err)
		}
		s.end(t, agentOf("web1"), a.GetAttempt(), &keepwardv1.AttemptEnd{Outcome: outcomeDone, Committed: true})
		mover := &keepwardv1.AttemptEnd{
			Outcome: outcomeDone, Committed: true, Opened: timestamppb.New(opened), Point: &keepwardv1.PointSummary{Id: a.GetAttempt(), Completeness: "complete"},
		}
		s.end(t, transportOf(theNode), a.GetAttempt(), mover)
		s.end(t, transportOf(theNode), a.GetAttempt(), mover) // its answer was lost
		rows := s.sessions(t)
		if len(rows) != 1 || rows[0].Status != job.CompletedWithWarnings || rows[0].StartedBy != byTheAgent {
			t.Fatalf("sessions: %+v", rows)
		}
		points := s.points()
		if len(points) != 1 || points[0].GetId() != a.GetAttempt() || !points[0].GetTime().AsTime().Equal(opened.UTC()) || points[0].GetSession() != rows[0].ID {
			t.Errorf("points: %v, opened %s", points, opened)
		}
		s.holdsOnlyWhatItMay()
	})
}

func TestARunThatGoesOnWhenTheServerComesBackIsSeenAndNotTriedAgain(t *testing.T) {
	byAgents(t, func(t *testing.T, s *standingSite) {
		a := s.opens(t)
		s.reopen()
		s.connect() // heartbeats name the attempt, and nobody drops it
		s.connect()
		rows := s.sessions(t)
		if len(rows) != 1 {
			t.Fatalf("%d sessions, want 1", len(rows))
		}
		s.expect(rows[0].ID, job.Running, "")
		second := s.run() // by a user, of the same job and computer
		s.expect(second, job.Queued, job.Conflict)
		s.end(t, agentOf("web1"), a.GetAttempt(), &keepwardv1.AttemptEnd{Outcome: outcomeFailed, Failure: &keepwardv1.Failure{Code: "source.gone", Message: "gone"}})
		delete(s.transports[theNode].movers, a.GetAttempt())
		s.end(t, transportOf(theNode), a.GetAttempt(), &keepwardv1.AttemptEnd{Outcome: outcomeAborted})
		s.pass(time.Minute)
		s.expect(rows[0].ID, job.Failed, "")
		if got := s.transports[theNode].names[a.GetAttempt()]; got != "tombstone" {
			t.Errorf("the failed attempt is not settled: %q", got)
		}
	})
}

func TestAnAgentOutOfTheServersReachIsLeftToWork(t *testing.T) {
	byAgents(t, func(t *testing.T, s *standingSite) {
		a := s.opens(t)
		s.beat(transportOf(theNode), "boot-t", []string{a.GetAttempt()})
		s.agentDown("web1")
		s.pass(30 * time.Minute) // only the transport names it
		if got := s.transports[theNode].names[a.GetAttempt()]; got != "" {
			t.Errorf("the attempt was cut off (%s) because its agent does not reach the server", got)
		}
	})
}

func TestASweepDoesNotCutOffWhatAnAgentHasOpened(t *testing.T) {
	byAgents(t, func(t *testing.T, s *standingSite) {
		a := s.opens(t)
		c := &call{m: s.m, row: catalog.Task{Repository: theRepo}, attempt: catalog.Attempt{ID: "sweep", Transport: theNode}, order: order{unsettled: []string{a.GetAttempt()}}}
		if done := c.clear(t.Context()); done.failure != nil {
			t.Fatal(done.failure)
		}
		synctest.Wait()
		if got := s.transports[theNode].names[a.GetAttempt()]; got != "" {
			t.Errorf("the sweep left a %s under the name of a running attempt", got)
		}
		if len(s.sessions(t)) != 1 {
			t.Error("the attempt has no session that the sweep could wait for")
		}
	})
}

func TestWhatIsTakenFromAnAgentIsRevokedAtItsTransport(t *testing.T) {
	change := map[string]func(s *standingSite){
		"disabled":          func(s *standingSite) { j := agentJob(); j.Disabled = true; s.setJob(j) },
		"managed by server": func(s *standingSite) { j := agentJob(); j.Mode = job.ModeServer; s.setJob(j) },
		"edited":            func(s *standingSite) { j := agentJob(); j.Files.Include = []string{"/etc"}; s.setJob(j) },
		"removed": func(s *standingSite) {
			s.write(func(ctx context.Context, tx *sql.Tx) error {
				if err := catalog.PutJob(ctx, tx, theJobOf(), time.Now()); err != nil {
					return err
				}
				return catalog.RemoveComputer(ctx, tx, "web1")
			})
			s.m.ConfigChanged()
			synctest.Wait()
		},
	}
	for name, do := range change {
		t.Run(name, func(t *testing.T) {
			byAgents(t, func(t *testing.T, s *standingSite) {
				before := maps.Clone(s.issued)
				s.agentDown("web1")
				do(s)
				for id := range s.issued {
					if before[id] != nil {
						t.Fatalf("the transport still takes attempt %s", id)
					}
				}
				if name == "removed" && len(s.revoked) != len(before) {
					t.Errorf("%d attempts were revoked, want %d", len(s.revoked), len(before))
				}
				if name == "removed" {
					return
				}
				s.agentUp("web1")
				switch got := s.policies["web1"]; {
				case name == "edited" && (len(got) != 1 || got[0].GetBackup().GetFiles().GetInclude()[0] != "/etc"):
					t.Errorf("the agent has %v", got)
				case name != "edited" && len(got) != 0:
					t.Errorf("the agent still manages %d jobs", len(got))
				}
				rows, err := catalog.StandingPolicies(t.Context(), s.db.Read(), "")
				if want := len(s.policies["web1"]); err != nil || len(rows) != want {
					t.Errorf("the catalog keeps %d policies, want %d (%v)", len(rows), want, err)
				}
			})
		})
	}
}

func TestATransportThatLostWhatItKeptGetsItAnew(t *testing.T) {
	byAgents(t, func(t *testing.T, s *standingSite) {
		first := s.policy(t).GetId()
		s.transportDown()
		clear(s.issued)
		s.transportUp()
		second := s.policy(t)
		if second.GetId() == first || len(s.issued) != len(second.GetAttempts()) {
			t.Errorf("the transport has %d attempts, the agent %d", len(s.issued), len(second.GetAttempts()))
		}
	})
}

// After a start of the server thousands of agents come at once. What is read for one is about that one:
// the jobs of others, as many as there are, and whatever is the matter with them, are not looked at.
func TestAnAgentThatComesIsLookedAtAlone(t *testing.T) {
	byAgents(t, func(t *testing.T, s *standingSite) {
		s.agentDown("web1")
		s.mu.Lock()
		clear(s.policies)
		s.mu.Unlock()
		s.m.noteUnissued("docs", "web9", "its transport does not wait for agents", "start it otherwise")
		s.write(func(ctx context.Context, tx *sql.Tx) error {
			j := theJobOf()
			j.Name, j.Disabled = "other", true
			if err := catalog.PutJob(ctx, tx, j, time.Now()); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, `UPDATE jobs SET definition = 'nothing that can be read' WHERE name = ?`, j.Name)
			return err
		})
		s.agentUp("web1")
		s.policy(t)
		if got := s.m.unissuedConditions(); len(got) != 1 {
			t.Errorf("what is the matter with another computer is forgotten: %v", got)
		}
	})
}

// A member of a group is found by what was noted of the job, and by what the group is now.
func TestAMemberOfAGroupGetsWhatItsAgentManagesWhenItComes(t *testing.T) {
	byAgents(t, func(t *testing.T, s *standingSite) {
		put := func(g *keepwardv1.Group) {
			t.Helper()
			s.write(func(ctx context.Context, tx *sql.Tx) error {
				if err := catalog.PutGroup(ctx, tx, g, time.Now()); err != nil {
					return err
				}
				j := agentJob()
				j.Computers, j.Groups = nil, []string{g.Name}
				if err := catalog.PutJob(ctx, tx, j, time.Now()); err != nil {
					return err
				}
				_, err := group.Note(ctx, tx, time.Now())
				return err
			})
		}
		s.write(func(ctx context.Context, tx *sql.Tx) error {
			return catalog.AddCertificate(ctx, tx, catalog.Certificate{Serial: "1", Role: "agent", Name: "web1", DER: []byte("c"), Issued: time.Now(), Expires: time.Now().Add(1000 * time.Hour)})
		})
		s.agentDown("web1")
		s.mu.Lock()
		clear(s.policies)
		s.mu.Unlock()
		put(&keepwardv1.Group{Name: "web", Computers: []string{"web1"}})
		s.agentUp("web1")
		s.policy(t)
		s.agentDown("web1")
		put(&keepwardv1.Group{Name: "web", Computers: []string{"web1"}, Exclude: []string{"web*"}})
		s.agentUp("web1")
		s.mu.Lock()
		defer s.mu.Unlock()
		if n := len(s.policies["web1"]); n != 0 {
			t.Errorf("one whom the group excludes manages %d jobs", n)
		}
	})
}

// atLine calls do at a line of a log.
type atLine struct {
	slog.Handler
	line string
	do   func()
}

func (a atLine) Enabled(context.Context, slog.Level) bool { return true }

func (a atLine) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, a.line) {
		a.do()
	}
	return nil
}

// Two nodes tell of an attempt at about one time. While its session is made for the one, the other is not
// told to drop what it runs.
func TestAnAttemptThatIsBeingTakenOverIsNotDropped(t *testing.T) {
	byAgents(t, func(t *testing.T, s *standingSite) {
		a := s.opens(t)
		looked := 0
		s.m.log = slog.New(atLine{slog.DiscardHandler, "runs a job by itself", func() {
			looked++
			drop, err := s.m.Heartbeat(t.Context(), transportOf(theNode), "boot-t", []*keepwardv1.AttemptState{{Attempt: a.GetAttempt()}})
			if err != nil || len(drop) > 0 {
				t.Errorf("the transport is to drop %v (%v)", drop, err)
			}
		}})
		s.beat(agentOf("web1"), s.agents["web1"].boot(), []string{a.GetAttempt()})
		synctest.Wait()
		if n := len(s.sessions(t)); looked != 1 || n != 1 {
			t.Errorf("%d sessions, %d looks", n, looked)
		}
	})
}

func TestAnAgentIsToldWhenItsComputerIsToBeSpared(t *testing.T) {
	byAgents(t, func(t *testing.T, s *standingSite) {
		if p := s.policy(t); p.GetLeastCharge() != 0 || p.GetUnmetered() {
			t.Errorf("without a rule: %v", p)
		}
		j := agentJob()
		j.OnBattery, j.OnMetered = "30%", job.SupplyWait
		s.setJob(j)
		if p := s.policy(t); p.GetLeastCharge() != 30 || !p.GetUnmetered() {
			t.Errorf("least charge %d, unmetered %v", p.GetLeastCharge(), p.GetUnmetered())
		}
	})
}

func TestARunThatItsAgentEndedToSpareTheComputerHasNotFailed(t *testing.T) {
	spared := &keepwardv1.AttemptEnd{Outcome: outcomeFailed, Failure: &keepwardv1.Failure{Kind: string(errs.Busy), Code: codeSpared, Message: "it lets go"}}
	lost := &keepwardv1.AttemptEnd{Outcome: outcomeFailed, Failure: &keepwardv1.Failure{Kind: string(errs.Unavailable), Code: "connection.lost", Message: "the agent is gone"}}
	for name, moverFirst := range map[string]bool{"the agent says so first": false, "the mover notices first": true} {
		t.Run(name, func(t *testing.T) {
			byAgents(t, func(t *testing.T, s *standingSite) {
				a := s.opens(t)
				s.reopen()
				s.connect()
				s.connect()
				id := s.sessions(t)[0].ID
				delete(s.transports[theNode].movers, a.GetAttempt())
				if moverFirst {
					s.end(t, transportOf(theNode), a.GetAttempt(), lost)
				}
				s.end(t, agentOf("web1"), a.GetAttempt(), spared)
				if !moverFirst {
					s.end(t, transportOf(theNode), a.GetAttempt(), lost)
				}
				s.pass(time.Minute)
				s.expect(id, job.Killed, "")
				if got := s.transports[theNode].names[a.GetAttempt()]; got != "tombstone" {
					t.Errorf("the attempt is not settled: %q", got)
				}
			})
		})
	}
}
