package server

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/manager"
	"keepward/internal/update"
)

// The statuses of a computer of a rollout.
const (
	memberToDo    = "to do"
	memberAtIt    = "at it"
	memberUpdated = "updated"
	memberFailed  = "failed"
	memberLeftOut = "left out"
)

const (
	// rolloutsEvery is how often rollouts that go on are looked at, and autoEvery how often it is looked
	// whether one has to begin by itself.
	rolloutsEvery = time.Second
	autoEvery     = time.Minute
	// restsFor is how long nothing begins by itself behind a rollout that a failure has stopped: time for
	// people to look, and an end where it was one computer's own matter, such as a laptop that was shut.
	restsFor = 24 * time.Hour
)

// rollouts bring versions to computers, some at once. What they do next follows from the catalog
// alone, so that a server that starts anew goes on with them.
type rollouts struct {
	*server
	packages *packages
	kick     chan struct{} // one slot: there is something to look at

	changing sync.Mutex // held while a rollout is read, changed and written
}

func newRollouts(s *server) *rollouts {
	return &rollouts{server: s, packages: newPackages(s), kick: make(chan struct{}, 1)}
}

func (r *rollouts) look() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

func (r *rollouts) serve(ctx context.Context) error {
	defer r.packages.close()
	every := cmp.Or(r.cfg.UpdatesEvery, autoEvery)
	var begun time.Time
	for {
		if now := time.Now(); now.Sub(begun) >= every {
			begun = now
			if err := r.byThemselves(ctx); err != nil && ctx.Err() == nil {
				r.log.Error("it was not looked which agents are to be updated", "error", err)
			}
		}
		active, err := r.advanceAll(ctx)
		if err != nil && ctx.Err() == nil {
			r.log.Error("rollouts not looked at, will try again", "error", err)
		}
		pause := every
		if active || err != nil {
			pause = min(every, rolloutsEvery)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.kick:
		case <-time.After(pause):
		}
	}
}

// advanceAll takes all rollouts as far as they go now, and tells whether one goes on.
func (r *rollouts) advanceAll(ctx context.Context) (active bool, err error) {
	r.changing.Lock()
	defer r.changing.Unlock()
	list, err := catalog.Rollouts(ctx, r.db.Read(), catalog.RolloutActive)
	for _, one := range list {
		if err := r.advance(ctx, one); err != nil {
			return true, err
		}
		active = active || one.GetStatus() == catalog.RolloutActive
	}
	return active, err
}

// advance begins what is due of a rollout. A session that was begun and not written down is begun
// twice: its order is the same, and is carried out once.
func (r *rollouts) advance(ctx context.Context, ro *keepwardv1.Rollout) error {
	changed, err := r.collect(ctx, ro)
	if err != nil {
		return err
	}
	atIt := count(ro, memberAtIt)
	for _, m := range ro.GetMembers() {
		if m.GetStatus() != memberToDo {
			continue
		}
		changed = changed || ro.GetReason() != "" || atIt < int(ro.GetAtOnce())
		if ro.GetReason() != "" {
			m.Status, m.Reason = memberLeftOut, "the rollout was stopped before it was this one's turn"
			continue
		}
		if atIt >= int(ro.GetAtOnce()) {
			break
		}
		if err = r.install(ctx, ro, m); err != nil {
			break
		}
		if m.GetStatus() == memberAtIt {
			atIt++
		}
	}
	if err != nil { // it is tried again; whoever has begun has begun, and does not do so every time
		if changed {
			err = errors.Join(err, r.db.Write(ctx, func(tx *sql.Tx) error { return catalog.PutRollout(ctx, tx, ro) }))
		}
		return err
	}
	if atIt == 0 {
		ro.Status, ro.Ended, changed = catalog.RolloutDone, timestamppb.Now(), true
		if ro.GetReason() != "" {
			ro.Status = catalog.RolloutStopped
		}
		r.log.Info("rollout is over", "rollout", ro.GetId(), "version", ro.GetVersion(), "status", ro.GetStatus(), "reason", ro.GetReason())
	}
	if !changed {
		return nil
	}
	return r.db.Write(ctx, func(tx *sql.Tx) error { return catalog.PutRollout(ctx, tx, ro) })
}

// install begins the session of a computer, unless that is gone.
func (r *rollouts) install(ctx context.Context, ro *keepwardv1.Rollout, m *keepwardv1.RolloutMember) error {
	if _, err := catalog.GetComputer(ctx, r.db.Read(), m.GetComputer()); errs.KindOf(err) == errs.NotFound {
		m.Status, m.Reason = memberLeftOut, err.Error()
		return nil
	} else if err != nil {
		return err
	}
	id, err := r.manager.InstallUpdate(ctx, &keepwardv1.UpdateOrder{
		Id: fmt.Sprintf("%x/%d/%s", r.data.serverID, ro.GetId(), m.GetComputer()), Computer: m.GetComputer(), Version: ro.GetVersion(),
		AllowDowngrade: ro.GetAllowDowngrade(), Again: ro.GetAgain(),
	}, ro.GetUser())
	if err != nil {
		return err
	}
	m.Status, m.Session = memberAtIt, id
	return nil
}

// leavesOut are the failures that say nothing of the version: the computer is not one that can be
// updated this way.
var leavesOut = map[string]bool{"update.managed": true, "update.too-old": true}

// collect takes over how the sessions of a rollout ended. The first failure stops it.
func (r *rollouts) collect(ctx context.Context, ro *keepwardv1.Rollout) (changed bool, err error) {
	for _, m := range ro.GetMembers() {
		if m.GetStatus() != memberAtIt {
			continue
		}
		s, err := catalog.GetSession(ctx, r.db.Read(), m.GetSession())
		if err != nil && errs.KindOf(err) != errs.NotFound {
			return changed, err
		}
		code := s.Failure.GetCode()
		switch {
		case err == nil && !s.Status.Final():
			continue
		case s.Status == job.Completed || s.Status == job.CompletedWithWarnings:
			m.Status = memberUpdated
		case code == manager.CodeServerRestarted:
			m.Status = memberToDo // the agent goes on; its order is followed up
		case leavesOut[code] && !ro.GetAgain():
			m.Status, m.Code, m.Reason = memberLeftOut, code, s.Failure.GetMessage()
		default:
			m.Status, m.Code = memberFailed, cmp.Or(code, "update.failed")
			m.Reason = cmp.Or(s.Failure.GetMessage(), fmt.Sprintf("its session ended as %s", s.Status))
			if ro.GetReason() == "" {
				ro.Reason = fmt.Sprintf("the update of %s failed: %s", m.GetComputer(), m.GetReason())
			}
		}
		changed = true
	}
	return changed, nil
}

func count(ro *keepwardv1.Rollout, status string) (n int) {
	for _, m := range ro.GetMembers() {
		if m.GetStatus() == status {
			n++
		}
	}
	return n
}

// begin makes a rollout to computers; those for which there is nothing to do are left out.
func (r *rollouts) begin(ctx context.Context, ro *keepwardv1.Rollout, computers []*keepwardv1.Computer) (*keepwardv1.Rollout, error) {
	list, err := r.packages.list(ctx)
	if err != nil {
		return nil, err
	}
	problems, err := catalog.UpdateProblems(ctx, r.db.Read())
	if err != nil {
		return nil, err
	}
	r.changing.Lock()
	defer r.changing.Unlock()
	active, err := catalog.Rollouts(ctx, r.db.Read(), catalog.RolloutActive)
	if err != nil {
		return nil, err
	}
	if ro.AtOnce <= 0 {
		_, atOnce, _ := r.manager.AgentUpdates()
		ro.AtOnce = int32(min(atOnce, 1<<20))
	}
	ro.Status, ro.Created = catalog.RolloutActive, timestamppb.Now()
	for _, c := range computers {
		m := &keepwardv1.RolloutMember{Computer: c.GetName(), From: c.GetAgentVersion(), Status: memberToDo}
		if m.Reason = needless(ro, c, list, problems[c.GetName()], active); m.Reason != "" {
			m.Status = memberLeftOut
		}
		ro.Members = append(ro.Members, m)
	}
	if count(ro, memberToDo) == 0 {
		return nil, nothingToDo(ro)
	}
	if err := r.db.Write(ctx, func(tx *sql.Tx) error { return catalog.AddRollout(ctx, tx, ro) }); err != nil {
		return nil, err
	}
	r.look()
	return ro, nil
}

func nothingToDo(ro *keepwardv1.Rollout) error {
	if len(ro.GetMembers()) == 0 {
		return errs.New(errs.NotFound, "update.nobody", "update agents to %s: there is no computer of which that is wanted", ro.GetVersion())
	}
	m := ro.GetMembers()[0]
	return errs.New(errs.Invalid, "update.nobody", "update agents to %s: none of %d computers is to be updated; %s: %s", ro.GetVersion(), len(ro.GetMembers()), m.GetComputer(), m.GetReason())
}

// needless says why a computer is left out of a rollout; empty: it is not.
func needless(ro *keepwardv1.Rollout, c *keepwardv1.Computer, list []*keepwardv1.AgentPackage, p *keepwardv1.UpdateProblem, active []*keepwardv1.Rollout) string {
	version := ro.GetVersion()
	for _, other := range active {
		for _, m := range other.GetMembers() {
			if m.GetComputer() == c.GetName() && (m.GetStatus() == memberToDo || m.GetStatus() == memberAtIt) {
				return fmt.Sprintf("rollout %d has it already", other.GetId())
			}
		}
	}
	switch {
	case c.GetName() == job.ServerComputer:
		return "its agent is part of the server's program"
	case c.GetAgentVersion() == version:
		return "it is this version already"
	case c.GetOs() == "" || c.GetArch() == "":
		return "it has never been connected"
	case !ro.GetAgain() && c.GetStatus() != statusOnline:
		return "it is offline"
	case !ro.GetAgain() && p.GetVersion() == version && p.GetCode() != "":
		return "this version failed here before: " + p.GetReason()
	case !ro.GetAllowDowngrade() && update.Older(version, c.GetAgentVersion()):
		return fmt.Sprintf("its agent, %s, is newer", c.GetAgentVersion())
	case !ro.GetAllowDowngrade() && !update.Newer(version, c.GetAgentVersion()):
		return fmt.Sprintf("which of %s and %s is newer cannot be told; --allow-downgrade does it all the same", c.GetAgentVersion(), version)
	}
	if _, err := pick(list, c.GetOs(), c.GetArch(), version); err != nil {
		return err.Error()
	}
	return ""
}

// rests tells whether no rollout of a version is to begin by itself behind the newest one: a person has
// stopped that, or a computer not long ago. Else a version that fails everywhere would be tried on some
// more computers every minute.
func rests(newest *keepwardv1.Rollout, now time.Time) bool {
	return newest.GetStatus() == catalog.RolloutStopped && (count(newest, memberFailed) == 0 || now.Sub(newest.GetEnded().AsTime()) < restsFor)
}

// byThemselves begins a rollout of the server's version where that is wanted, and somebody is older.
func (r *rollouts) byThemselves(ctx context.Context) error {
	wanted, _, _ := r.manager.AgentUpdates()
	if !wanted {
		return nil
	}
	active, err := catalog.Rollouts(ctx, r.db.Read(), catalog.RolloutActive)
	if err != nil || len(active) > 0 {
		return err
	}
	newest, err := catalog.NewestRollout(ctx, r.db.Read(), r.cfg.Version)
	if err != nil || rests(newest, time.Now()) {
		return err
	}
	list, err := r.computersIn(ctx, viewOutOfDate, "")
	if err != nil || len(list) == 0 {
		return err
	}
	_, err = r.begin(ctx, &keepwardv1.Rollout{Version: r.cfg.Version}, list)
	if errs.CodeOf(err) == "update.nobody" {
		return nil
	}
	return err
}

// updateConditions are the newest rollout, where a computer stopped it.
func (s *server) updateConditions(ctx context.Context) ([]*keepwardv1.Condition, error) {
	ro, err := catalog.NewestRollout(ctx, s.db.Read(), "")
	if err != nil || ro == nil {
		return nil, err
	}
	i := slices.IndexFunc(ro.GetMembers(), func(m *keepwardv1.RolloutMember) bool { return m.GetStatus() == memberFailed })
	if i < 0 {
		return nil, nil
	}
	left := 0
	for _, m := range ro.GetMembers() {
		if m.GetStatus() == memberToDo || m.GetStatus() == memberLeftOut {
			left++
		}
	}
	return []*keepwardv1.Condition{{
		Code: "update.rollout-stopped", Severity: severityWarning, Subject: ro.GetMembers()[i].GetComputer(),
		Text: fmt.Sprintf("rollout %d of %s was stopped with %d of %d computers left: %s", ro.GetId(), ro.GetVersion(), left, len(ro.GetMembers()), ro.GetReason()),
		Hint: fmt.Sprintf("see it with: keepward computer rollout show %d; a new rollout goes on with the others", ro.GetId()), Since: cmp.Or(ro.GetEnded(), ro.GetCreated()),
	}}, nil
}
