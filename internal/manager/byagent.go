package manager

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/group"
	"keepward/internal/job"
	"keepward/internal/wire"
)

// This file is jobs that are managed by agents: which attempts are issued to whom, and taken back.
// Nodes are told in
// byagent_tell.go; what comes of it is taken over in byagent_adopt.go.

// StandingNodes finds the nodes that take part in jobs managed by agents, as Nodes does.
type StandingNodes interface {
	StandingAgent(name string) (keepwardv1connect.StandingAgentServiceClient, bool)
	StandingTransport(name string) (keepwardv1connect.StandingTransportServiceClient, bool)
	// Doors are where agents reach a transport that is online; none: it has no door.
	Doors(transport string) []string
}

const (
	// renewEvery is how old what an agent has may be before it gets new attempts, and how often that
	// is looked at.
	renewEvery = time.Hour
	// attemptsMost bounds what is issued of one job to one computer, attemptsLeast is for retries.
	attemptsMost  = 120
	attemptsLeast = 6
	// triesByAgent is how often an agent tries one run, where the job does not say.
	triesByAgent = 3
)

// runStanding issues attempts anew when their time comes.
func (m *Manager) runStanding(ctx context.Context) error {
	if m.deps.Standing == nil {
		return nil
	}
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			m.syncStanding(ctx, nil, false)
		}
	}
}

// loadStanding learns which attempts were issued, so that no report of one is taken for a stranger's.
func (m *Manager) loadStanding(ctx context.Context) error {
	ids, err := catalog.IssuedAttempts(ctx, m.deps.DB.Read())
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		m.issued[id] = true
	}
	return nil
}

func (m *Manager) noteIssued(issued bool, ids ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		if issued {
			m.issued[id] = true
		} else {
			delete(m.issued, id)
		}
	}
}

func (m *Manager) isIssued(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.issued[id]
}

// syncStanding brings agents and transports up to what the jobs say; about is the node that has
// just come, nil: all. quick leaves out those for which nothing has changed.
func (m *Manager) syncStanding(ctx context.Context, about *Node, quick bool) {
	if m.deps.Standing == nil {
		return
	}
	select {
	case m.standing <- struct{}{}:
		defer func() { <-m.standing }()
	case <-ctx.Done():
		return
	}
	if err := m.syncAll(ctx, about, quick); err != nil && ctx.Err() == nil {
		m.log.Error("what agents manage could not be looked at, will be tried again", "error", err)
	}
}

func (m *Manager) syncAll(ctx context.Context, about *Node, quick bool) error {
	only := ""
	if about != nil && about.Role == wire.RoleAgent {
		only = about.Name
	}
	wanted, err := m.wantedByAgents(ctx, only)
	if err != nil {
		return err
	}
	m.forgetUnissued(only, wanted)
	var all error
	for computer, jobs := range wanted {
		again, err := m.syncComputer(ctx, computer, jobs, only != "", quick)
		if err == nil && again { // one of them has lost what it had
			_, err = m.syncComputer(ctx, computer, jobs, true, false)
		}
		if err != nil {
			m.log.Warn("the jobs that an agent manages are not up to date, will be tried again", "computer", computer, "error", err)
			all = errors.Join(all, err)
		}
	}
	if about != nil { // it is tried again when the next node comes, and every hour
		return nil
	}
	return all
}

// wantedByAgents are the jobs that agents are to manage, by computer; only: of this one, empty: of all.
// Who still has something of a job, and is to have nothing, is there with none. Of one nothing is read
// that is about others: after a start of the server thousands of agents come within a minute.
func (m *Manager) wantedByAgents(ctx context.Context, only string) (map[string][]*keepwardv1.Job, error) {
	q := m.deps.DB.Read()
	kept, err := catalog.StandingPolicies(ctx, q, only)
	if err != nil {
		return nil, err
	}
	var jobs []*keepwardv1.Job
	if only == "" {
		jobs, err = catalog.Jobs(ctx, q)
	} else {
		jobs, err = catalog.JobsWith(ctx, q, only)
	}
	if err != nil {
		return nil, err
	}
	jobs = slices.DeleteFunc(jobs, func(j *keepwardv1.Job) bool { return j.GetMode() != job.ModeAgent || j.GetDisabled() })
	if jobs, err = group.Expanded(ctx, q, jobs); err != nil {
		return nil, err
	}
	wanted := map[string][]*keepwardv1.Job{}
	for _, j := range jobs {
		for _, c := range j.GetComputers() {
			if only == "" || c == only {
				wanted[c] = append(wanted[c], j)
			}
		}
	}
	for _, p := range kept {
		if _, ok := wanted[p.Computer]; !ok {
			wanted[p.Computer] = nil
		}
	}
	return wanted, nil
}

// issue is a policy with what its two ends are to keep of it; halves are known to nobody else.
type issue struct {
	row      catalog.StandingPolicy
	attempts []catalog.StandingAttempt
	policy   *keepwardv1.AgentPolicy
	orders   []*keepwardv1.StandingOrder
	fresh    bool // it was made now
}

// syncComputer brings one computer up to date. What is not wanted any more is taken back from
// transports first; new attempts reach the transport before the agent, and old ones go when the
// agent has the new. So a crash between two steps leaves the agent with attempts that hold. tell has
// the agent told although nothing has changed. again: somebody does not have what he should.
func (m *Manager) syncComputer(ctx context.Context, computer string, jobs []*keepwardv1.Job, tell, quick bool) (again bool, err error) {
	trusted := true
	if _, err := catalog.GetComputer(ctx, m.deps.DB.Read(), computer); errs.KindOf(err) == errs.NotFound {
		trusted = false
	} else if err != nil {
		return false, err
	}
	had, err := m.issuedTo(ctx, computer)
	if err != nil {
		return false, err
	}
	_, online := m.deps.Standing.StandingAgent(computer)
	var current []*issue
	var old []*issue // hold until the agent has the new ones
	for _, j := range jobs {
		keep, stale, err := m.policyFor(ctx, j, computer, had, online)
		if err != nil {
			return false, err
		}
		if keep != nil {
			current = append(current, keep)
		}
		old = append(old, stale...)
	}
	holds := slices.Concat(current, old)
	if err := m.supersede(ctx, had, holds); err != nil {
		return false, err
	}
	tell = tell || len(old) > 0
	for _, i := range current {
		if i.fresh {
			if err := m.keepIssue(ctx, i); err != nil {
				return false, err
			}
			had, tell = append(had, i), true
		}
	}
	for _, i := range had {
		tell = tell || i.row.Superseded && i.row.Delivered
	}
	pending := func(i *issue) bool { return i.row.Superseded || !i.row.Delivered }
	if quick && !tell && trusted && !slices.ContainsFunc(had, pending) {
		return false, nil
	}
	again, err = m.putStanding(ctx, computer, trusted, had, holds)
	if err != nil || !trusted || !online || !tell {
		return again && trusted && online, err
	}
	unknown, err := m.putPolicies(ctx, computer, had, current)
	if err != nil {
		return false, err
	}
	if err := m.supersede(ctx, had, current); err != nil {
		return false, err
	}
	_, err = m.putStanding(ctx, computer, trusted, had, current)
	return again || unknown, err
}

// issuedTo is what a computer has, with the attempts that are left of it.
func (m *Manager) issuedTo(ctx context.Context, computer string) ([]*issue, error) {
	q := m.deps.DB.Read()
	rows, err := catalog.StandingPolicies(ctx, q, computer)
	if err != nil {
		return nil, err
	}
	var out []*issue
	for _, row := range rows {
		attempts, err := catalog.StandingAttempts(ctx, q, row.ID)
		if err != nil {
			return nil, err
		}
		out = append(out, &issue{row: row, attempts: attempts})
	}
	return out, nil
}

// policyFor is what a computer shall have of a job: what it has, if that will do, or something new,
// with what must hold until the agent has that.
func (m *Manager) policyFor(ctx context.Context, j *keepwardv1.Job, computer string, had []*issue, online bool) (keep *issue, stale []*issue, err error) {
	var same []*issue
	r, err := catalog.GetRepository(ctx, m.deps.DB.Read(), j.GetRepository())
	if errs.KindOf(err) == errs.NotFound {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	fingerprint, definition, err := m.fingerprint(ctx, j, computer, r)
	if err != nil {
		return nil, nil, err
	}
	for _, i := range had {
		if i.row.Job == j.GetName() && i.row.Fingerprint == fingerprint && !i.row.Superseded {
			same = append(same, i)
		}
	}
	_, reached := m.deps.Standing.StandingTransport(r.Transport)
	doors := m.deps.Standing.Doors(r.Transport)
	now := time.Now()
	for n, i := range same {
		if i.row.Delivered && (!online || !reached || now.Sub(i.row.Issued) < renewEvery && i.left() > 1) {
			return i, slices.Delete(slices.Clone(same), n, n+1), nil
		}
	}
	if !online || !reached {
		return nil, same, nil
	}
	if len(doors) == 0 {
		m.noteUnissued(j.GetName(), computer, "transport "+r.Transport+" does not wait for agents", "start it with: keepward transport --agents :7483")
		return nil, nil, nil
	}
	if m.deps.Reach != nil {
		reach, err := m.deps.Reach(ctx, computer)
		if err != nil {
			return nil, nil, err
		}
		if reach.Passive {
			m.noteUnissued(j.GetName(), computer, "data movers dial this computer, and that takes the server", "let the agent dial: keepward computer edit "+computer+" --data agent")
			return nil, nil, nil
		}
	}
	m.noteIssuable(j.GetName(), computer)
	keep, err = m.newIssue(ctx, j, computer, r, doors)
	if err != nil {
		return nil, nil, err
	}
	keep.row.Fingerprint, keep.row.Definition = fingerprint, definition
	return keep, same, nil
}

func (i *issue) left() (n int) {
	for _, a := range i.attempts {
		if a.Session == 0 {
			n++
		}
	}
	return n
}

// fingerprint is of all that would have to be told anew if it were another.
func (m *Manager) fingerprint(ctx context.Context, j *keepwardv1.Job, computer string, r catalog.Repository) (sum, definition string, err error) {
	saved, err := catalog.GetJob(ctx, m.deps.DB.Read(), j.GetName())
	if err != nil {
		return "", "", err
	}
	saved.Created = nil
	if definition, err = catalog.Definition(saved); err != nil {
		return "", "", err
	}
	k := m.knobs()
	h := sha256.New()
	for _, part := range []string{
		definition, computer, r.Name, r.Transport, r.Path, string(r.ID[:]), r.Proofs.Foreign,
		k.Duration("snapshot_kept").String(), k.Duration("tracking_kept").String(),
	} {
		h.Write([]byte(part + "\x00"))
	}
	return hex.EncodeToString(h.Sum(nil)), definition, nil
}

// keepIssue writes an issue down before anybody is told of it.
func (m *Manager) keepIssue(ctx context.Context, i *issue) error {
	ids := make([]string, len(i.attempts))
	for n, a := range i.attempts {
		ids[n] = a.ID
	}
	m.noteIssued(true, ids...)
	err := m.deps.DB.Write(ctx, func(tx *sql.Tx) error { return catalog.AddStandingPolicy(ctx, tx, i.row, i.attempts) })
	if err != nil {
		m.noteIssued(false, ids...)
	}
	return err
}

// supersede marks what holds no more.
func (m *Manager) supersede(ctx context.Context, had, holds []*issue) error {
	var list []*issue
	for _, i := range had {
		if !i.row.Superseded && !slices.Contains(holds, i) {
			list = append(list, i)
		}
	}
	if len(list) == 0 { // as it is for almost all of thousands
		return nil
	}
	err := m.deps.DB.Write(ctx, func(tx *sql.Tx) error { // it may be called again
		for _, i := range list {
			if err := catalog.PutStandingPolicy(ctx, tx, i.row.ID, i.row.Delivered, true); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, i := range list {
		i.row.Superseded = true
	}
	return nil
}

// agentPolicy is what an agent is told of a job.
func (m *Manager) agentPolicy(j *keepwardv1.Job, computer string, row catalog.StandingPolicy, doors []string) *keepwardv1.AgentPolicy {
	p := &keepwardv1.AgentPolicy{
		Id: row.ID, Job: j.GetName(), Repository: row.Repository, Schedule: j.GetSchedule(), Missed: j.GetMissed(),
		Delay:  durationpb.New(spread(j.GetName(), computer, j.GetJitter().AsDuration())),
		Issued: timestamppb.New(row.Issued), ValidUntil: timestamppb.New(row.ValidUntil),
		Transport: row.Transport, Addresses: m.Preferred(doors), Tries: j.GetAttempts(), RetryAfter: j.GetRestartInterval(),
		Unmetered: j.GetOnMetered() == job.SupplyWait,
	}
	least, _ := job.LeastCharge(j.GetOnBattery()) // it was checked when the job was saved; 0: it does not matter
	p.LeastCharge = int32(least)
	if p.Tries <= 0 {
		p.Tries = triesByAgent
	}
	if p.RetryAfter.AsDuration() <= 0 {
		p.RetryAfter = durationpb.New(m.knobs().Duration("restart_interval"))
	}
	return p
}
