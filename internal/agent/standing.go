package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/durable"
	"keepward/internal/errs"
	"keepward/internal/power"
	"keepward/internal/schedule"
	"keepward/internal/wire"
)

// standing is the jobs that this agent manages: what the server has issued for them, D/standing/policies.pb,
// and how far the agent is with them, D/standing/state.pb. The server gives both and takes both away;
// nothing at this computer can add to them.
//
// When a run begins is decided by this computer's clock, and by how the computer is supplied then;
// whether it may by the transport's.
type standing struct {
	dir     string
	log     *slog.Logger
	runner  standingRunner
	started time.Time
	supply  func(context.Context) power.State
	wake    chan struct{} // capacity 1

	mu       sync.Mutex
	policies *keepwardv1.AgentPolicies
	state    *keepwardv1.AgentStandingState
}

// standingRunner is what a run needs of the agent.
type standingRunner interface {
	// busy tells whether anything runs already.
	busy() bool
	// run opens an attempt and begins it; ended is called with its end. An error: nothing was begun.
	run(ctx context.Context, p *keepwardv1.AgentPolicy, a *keepwardv1.AgentAttempt, began func() error, ended func(*keepwardv1.AttemptEnd)) error
	// stop ends an attempt that was begun; its end says why.
	stop(attempt string, why error)
}

const (
	standingDir      = "standing" // below the data directory
	standingPolicies = "policies.pb"
	standingState    = "state.pb"
	// standingRuns bounds the runs that are shown.
	standingRuns = 20
	// standingLook bounds the sleep to the next run: a timer does not follow a clock that is set, or
	// a computer that was suspended.
	standingLook = time.Minute
	// standingBusy is how often it is looked whether what runs has ended.
	standingBusy = 2 * time.Second
	// refusedMost is how many attempts of one run may be refused before it counts as failed.
	refusedMost = 3
	// notOpened is the outcome of a run for which no mover was reached.
	notOpened = "not opened"
	// missedSkip leaves out runs that were due while the agent was not there.
	missedSkip = "skip"
)

// openStanding reads what an earlier process left. What was issued by another authority is of no use.
func openStanding(dir string, ca []byte, log *slog.Logger, r standingRunner, supply func(context.Context) power.State) (*standing, error) {
	st := &standing{dir: dir, log: log, runner: r, started: time.Now(), supply: supply, wake: make(chan struct{}, 1)}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, errs.New(errs.KindOf(err), "datadir.create", "create the directory of the jobs that this agent manages: %w", err)
	}
	st.policies, st.state = readStanding(dir)
	if sum := sha256.Sum256(ca); !bytes.Equal(st.policies.GetCa(), sum[:]) {
		st.policies = &keepwardv1.AgentPolicies{Ca: sum[:]}
	}
	for _, j := range st.state.GetJobs() {
		if j.GetRunning() == "" {
			continue
		}
		// Its process ended with the run: it goes on at once, from what is stored.
		lost := errs.New(errs.Unavailable, "agent.restarted", "the agent's process ended while the attempt ran")
		st.note(j, &keepwardv1.AttemptEnd{Outcome: outcomeFailed, Failure: wire.ToFailure(lost, partAgent)})
		j.Again = nil
		if j.Tries++; j.GetTries() >= st.policy(j).GetTries() {
			j.Due, j.Tries = nil, 0
		}
	}
	return st, nil
}

// readStanding reads both files; what cannot be read is as if there were none, for the server gives it again.
func readStanding(dir string) (*keepwardv1.AgentPolicies, *keepwardv1.AgentStandingState) {
	p, s := &keepwardv1.AgentPolicies{}, &keepwardv1.AgentStandingState{}
	if b, err := os.ReadFile(filepath.Join(dir, standingPolicies)); err != nil || proto.Unmarshal(b, p) != nil {
		p = &keepwardv1.AgentPolicies{}
	}
	if b, err := os.ReadFile(filepath.Join(dir, standingState)); err != nil || proto.Unmarshal(b, s) != nil {
		s = &keepwardv1.AgentStandingState{}
	}
	return p, s
}

func (st *standing) save(name string, m proto.Message) error {
	b, err := proto.Marshal(m)
	if err == nil {
		err = durable.WriteFile(filepath.Join(st.dir, name), b, 0o600)
	}
	if err != nil {
		return errs.New(errs.KindOf(err), "datadir.write", "keep the jobs that this agent manages: %w", err)
	}
	return nil
}

// keep writes the state; one that cannot be written is written with the next change.
func (st *standing) keep() {
	if err := st.save(standingState, st.state); err != nil {
		st.log.Warn("how far the jobs are that this agent manages is not kept", "error", err)
	}
}

// put takes over what the server has issued, and answers the ids of what it takes for known and is not.
func (st *standing) put(policies []*keepwardv1.AgentPolicy) (unknown []string, err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	next := &keepwardv1.AgentPolicies{Ca: st.policies.GetCa()}
	for _, p := range policies {
		if len(p.GetAttempts()) == 0 {
			i := slices.IndexFunc(st.policies.GetPolicies(), func(o *keepwardv1.AgentPolicy) bool { return o.GetId() == p.GetId() })
			if i < 0 {
				unknown = append(unknown, p.GetId())
				continue
			}
			p = st.policies.GetPolicies()[i]
		}
		next.Policies = append(next.Policies, p)
	}
	if err := st.save(standingPolicies, next); err != nil {
		return nil, err
	}
	st.policies = next
	for _, p := range next.GetPolicies() {
		st.job(p, time.Now()) // from now on it is known what was missed
	}
	st.prune()
	st.keep()
	select {
	case st.wake <- struct{}{}:
	default:
	}
	return unknown, nil
}

// prune forgets the state of what is not managed here any more.
func (st *standing) prune() {
	issued := map[string]bool{}
	for _, p := range st.policies.GetPolicies() {
		for _, a := range p.GetAttempts() {
			issued[a.GetAttempt()] = true
		}
	}
	st.state.Spent = slices.DeleteFunc(st.state.Spent, func(id string) bool { return !issued[id] })
	st.state.Jobs = slices.DeleteFunc(st.state.Jobs, func(j *keepwardv1.AgentJobState) bool {
		return j.GetRunning() == "" && st.policy(j) == nil
	})
}

func (st *standing) policy(j *keepwardv1.AgentJobState) *keepwardv1.AgentPolicy {
	for _, p := range st.policies.GetPolicies() {
		if p.GetJob() == j.GetJob() && p.GetRepository() == j.GetRepository() {
			return p
		}
	}
	return nil
}

// job is the state of a policy's job; a new one begins now.
func (st *standing) job(p *keepwardv1.AgentPolicy, now time.Time) *keepwardv1.AgentJobState {
	for _, j := range st.state.GetJobs() {
		if j.GetJob() == p.GetJob() && j.GetRepository() == p.GetRepository() {
			return j
		}
	}
	j := &keepwardv1.AgentJobState{Job: p.GetJob(), Repository: p.GetRepository(), Seen: timestamppb.New(now)}
	st.state.Jobs = append(st.state.Jobs, j)
	return j
}

// left is the first attempt of a policy that is not used up; nil: there is none.
func (st *standing) left(p *keepwardv1.AgentPolicy) *keepwardv1.AgentAttempt {
	for _, a := range p.GetAttempts() {
		if !slices.Contains(st.state.GetSpent(), a.GetAttempt()) {
			return a
		}
	}
	return nil
}

// running tells whether a run of a job goes on that this agent has begun by itself.
func (st *standing) running(jobName string) bool {
	if st == nil {
		return false
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	return slices.ContainsFunc(st.state.GetJobs(), func(j *keepwardv1.AgentJobState) bool { return j.GetJob() == jobName && j.GetRunning() != "" })
}

// nextRun is the next moment of a policy after seen; false: it has none. Hours without a zone are
// those of this computer.
func nextRun(p *keepwardv1.AgentPolicy, seen time.Time) (time.Time, bool) {
	if p.GetSchedule() == "" {
		return time.Time{}, false
	}
	s, err := schedule.Parse(p.GetSchedule(), time.Local)
	if err != nil {
		return time.Time{}, false
	}
	at, ok := s.In(time.Local).Next(seen)
	return at.Add(p.GetDelay().AsDuration()), ok
}

// plan notes which runs are due by now, and answers when to look again. All that was missed is one run.
func (st *standing) plan(now time.Time) (next time.Time) {
	next = now.Add(standingLook)
	for _, p := range st.policies.GetPolicies() {
		j := st.job(p, now)
		if seen := j.GetSeen().AsTime(); seen.After(now) { // the clock was set back
			j.Seen = timestamppb.New(now)
		}
		at, ok := nextRun(p, j.GetSeen().AsTime())
		if !ok || j.GetRunning() != "" { // what comes while a run goes on is looked at when it has ended
			continue
		}
		if at.After(now) {
			if at.Before(next) {
				next = at
			}
			continue
		}
		j.Seen = timestamppb.New(now.Add(-p.GetDelay().AsDuration()))
		if p.GetMissed() == missedSkip && at.Before(st.started) {
			st.log.Info("missed run skipped", "job", p.GetJob(), "at", at)
		} else if j.GetDue() == nil {
			j.Due, j.Tries, j.Again = timestamppb.New(at), 0, nil
		}
		st.keep()
		if again, ok := nextRun(p, j.GetSeen().AsTime()); ok && again.Before(next) {
			next = again
		}
	}
	return next
}

// serve begins runs when their moment comes, until ctx is done.
func (st *standing) serve(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-st.wake:
		case <-timer.C:
		}
		timer.Reset(max(time.Until(st.look(ctx)), 0))
	}
}

// look begins what is due, one run at a time, and answers when to look again.
func (st *standing) look(ctx context.Context) time.Time {
	st.mu.Lock()
	now := time.Now()
	next := st.plan(now)
	mind := st.minds()
	st.mu.Unlock()
	if mind {
		next = earlier(next, now.Add(supplyLook))
		if letGo := st.spare(st.supply(ctx), now); letGo != nil {
			letGo()
		}
	}
	st.mu.Lock()
	var p *keepwardv1.AgentPolicy
	for _, j := range st.state.GetJobs() {
		switch {
		case j.GetDue() == nil || j.GetRunning() != "" || j.GetWaits() != nil:
			continue
		case j.GetAgain().IsValid() && j.GetAgain().AsTime().After(now) && j.GetAgain().AsTime().Before(now.Add(24*time.Hour)):
			next = earlier(next, j.GetAgain().AsTime())
			continue
		}
		if p = st.policy(j); p != nil && st.left(p) != nil {
			break
		}
		p = nil // it waits for attempts
	}
	st.mu.Unlock()
	if p == nil {
		return next
	}
	if st.runner.busy() {
		return earlier(next, now.Add(standingBusy))
	}
	st.begin(ctx, p)
	return earlier(next, time.Now().Add(standingBusy))
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// begin opens an attempt of a policy and lets it run. One that its transport refuses is used up.
func (st *standing) begin(ctx context.Context, p *keepwardv1.AgentPolicy) {
	var err error
	for range refusedMost {
		st.mu.Lock()
		a := st.left(p)
		st.mu.Unlock()
		if a == nil {
			break
		}
		if err = st.runner.run(ctx, p, a, func() error { return st.began(p, a.GetAttempt()) }, func(end *keepwardv1.AttemptEnd) { st.ended(p, end) }); err == nil {
			return
		}
		st.log.Warn("a run that this agent manages did not begin", "job", p.GetJob(), "attempt", a.GetAttempt(), "error", err, "hint", errs.HintOf(err))
		if ctx.Err() != nil {
			return
		}
		if errs.CodeOf(err) == "agent.stopping" { // it makes place for another version, which goes on with it
			st.putBack(p)
			return
		}
		if k := errs.KindOf(err); k != errs.Denied && k != errs.Exists || errs.CodeOf(err) == "standing.expired" {
			break // another one would fare no better
		}
		st.mu.Lock()
		st.state.Spent = append(st.state.Spent, a.GetAttempt())
		st.keep()
		st.mu.Unlock()
	}
	st.ended(p, &keepwardv1.AttemptEnd{Outcome: notOpened, Failure: wire.ToFailure(err, partAgent)})
}

// putBack notes that a run did not begin, and is due as before.
func (st *standing) putBack(p *keepwardv1.AgentPolicy) {
	st.mu.Lock()
	defer st.mu.Unlock()
	j := st.job(p, time.Now())
	j.Running, j.Since = "", nil
	st.keep()
}

// began writes down that an attempt is used, before it does anything.
func (st *standing) began(p *keepwardv1.AgentPolicy, attempt string) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	j := st.job(p, time.Now())
	j.Running, j.Since = attempt, timestamppb.Now()
	st.state.Spent = append(st.state.Spent, attempt)
	return st.save(standingState, st.state)
}

// ended writes down how a run ended, and whether it is tried again.
func (st *standing) ended(p *keepwardv1.AgentPolicy, end *keepwardv1.AttemptEnd) {
	st.mu.Lock()
	defer st.mu.Unlock()
	j := st.job(p, time.Now())
	st.note(j, end)
	spared := end.GetFailure().GetCode() == codeSpared
	if !spared { // else nothing is wrong with the run: it goes on as soon as it may
		j.Tries++
	}
	if spared {
		j.Again = nil
	} else if end.GetOutcome() == outcomeDone || end.GetOutcome() == outcomeAborted || j.GetTries() >= p.GetTries() {
		j.Due, j.Tries, j.Again = nil, 0, nil
	} else {
		j.Again = timestamppb.New(time.Now().Add(p.GetRetryAfter().AsDuration()))
	}
	st.keep()
	select {
	case st.wake <- struct{}{}:
	default:
	}
}

// note adds a run to those that are shown; the newest is the first.
func (st *standing) note(j *keepwardv1.AgentJobState, end *keepwardv1.AttemptEnd) {
	run := &keepwardv1.AgentRun{
		Job: j.GetJob(), Repository: j.GetRepository(), Attempt: j.GetRunning(), Started: j.GetSince(), Ended: timestamppb.Now(),
		Outcome: end.GetOutcome(), Failure: end.GetFailure(),
	}
	if run.Started == nil {
		run.Started = run.Ended
	}
	st.state.Runs = slices.Insert(st.state.Runs, 0, run)
	st.state.Runs = st.state.Runs[:min(len(st.state.Runs), standingRuns)]
	j.Running, j.Since, j.Waits = "", nil, nil
}

// PutPolicies takes over which jobs this agent manages.
func (s *service) PutPolicies(_ context.Context, req *connect.Request[keepwardv1.PutPoliciesRequest]) (*connect.Response[keepwardv1.PutPoliciesResponse], error) {
	if err := s.a.node.CheckTerm(req.Msg.GetOrder().GetTerm()); err != nil {
		return nil, err
	}
	if s.a.standing == nil {
		return nil, errs.New(errs.Invalid, "agent.no-jobs", "take over jobs: this agent manages none")
	}
	unknown, err := s.a.standing.put(req.Msg.GetPolicies())
	if err != nil {
		return nil, err
	}
	s.a.log.Info("took over the jobs that this agent manages", "jobs", len(req.Msg.GetPolicies()), "unknown", len(unknown))
	return connect.NewResponse(&keepwardv1.PutPoliciesResponse{Unknown: unknown}), nil
}
