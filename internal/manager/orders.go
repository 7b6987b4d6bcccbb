package manager

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/broker"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/repo/point"
	"keepward/internal/wire"
)

// The modes of a mover.
const (
	modeBackup  = "backup"
	modeRestore = "restore"
	modeBrowse  = "browse"
	modeCheck   = "check"
	modeRebuild = "rebuild"
	modeSweep   = "sweep"

	modeReconcile = "reconcile"
)

var modes = map[job.Type]string{
	job.Backup: modeBackup, job.Restore: modeRestore, job.Verify: modeCheck, job.RebuildIndex: modeRebuild,
	job.Sweep: modeSweep, job.Reconcile: modeReconcile, job.IndexRestore: modeBrowse, job.ServerBackup: modeBackup,
}

// carryOut does what was ordered. Calls to nodes run beside the session, each bounded, and
// their answer is an event.
func (s *session) carryOut(ctx context.Context, o order) {
	id := o.task.row.ID
	switch o.do {
	case doRequest:
		s.m.dispatch(s.m.broker.Request(broker.Request{
			Task: id, Session: s.row.ID, Type: o.task.typ, Priority: o.task.priority, Set: o.task.needs(), Preemptions: o.task.row.Preemptions,
		}))
		return
	case doRequestMore:
		s.m.broker.Renew(id) // what it keeps while it waits for more
		s.m.dispatch(s.m.broker.Request(broker.Request{
			Task: id, Session: s.row.ID, Type: o.task.typ, Priority: o.task.priority, Set: o.task.secondSet(), Preemptions: o.task.row.Preemptions,
			More: true,
		}))
		return
	case doRelease:
		s.m.dispatch(s.m.broker.Release(id))
		return
	case doReprioritise:
		s.m.dispatch(s.m.broker.Reprioritise(id, o.task.priority))
		return
	case doScript, doStopScript:
		s.carryOutScript(ctx, o)
		return
	case doStopAge:
		s.stopAge[id]()
		return
	}
	// Copies: the task belongs to this goroutine, the call does not.
	c := call{m: s.m, plan: s.plan, typ: o.task.typ, row: o.task.row, session: s.row, attempt: o.attempt.row, order: o}
	if o.do == doAge {
		if s.stopAge == nil {
			s.stopAge = map[string]context.CancelFunc{}
		}
		aging, stop := context.WithCancel(s.callsIn(ctx))
		s.stopAge[id] = stop
		s.beside(ctx, func(context.Context) { s.post(id, c.do(aging)) })
		return
	}
	s.beside(ctx, func(ctx context.Context) { s.post(id, c.do(ctx)) })
}

// grantValues are what an attempt is opened with: randomness and what the catalog knows.
func (s *session) grantValues(ctx context.Context, t *task) (any, error) {
	if !t.lacking || !s.m.broker.Renew(t.row.ID) {
		return nil, nil // it has left the queue meanwhile
	}
	g := evGranted{attempt: randomID()}
	if t.choice() {
		g.holds, _ = s.m.broker.Held(t.row.ID)
	}
	g.agent = t.row.Computer
	s.m.mu.Lock()
	mover := s.m.node(transportOf(t.transport))
	g.moverBoot, g.moverAway = mover.boot, !mover.online
	if g.agent != "" {
		agent := s.m.node(agentOf(g.agent))
		g.agentBoot, g.agentAway = agent.boot, !agent.online
	}
	s.m.mu.Unlock()
	if !t.makesPoint() {
		return g, nil
	}
	for {
		err := s.parents(ctx, t, &g)
		if err == nil {
			return g, nil
		}
		s.m.log.Error("parent not read, will try again", "session", s.row.ID, "task", t.row.ID, "error", err)
		if err := sleep(ctx, writeAgain); err != nil {
			return nil, err
		}
	}
}

// parents finds what a backup may take over: the newest point of the same job, computer and
// repository, and the checkpoint of this task's last attempt that made one.
func (s *session) parents(ctx context.Context, t *task, g *evGranted) error {
	q := s.m.deps.DB.Read()
	if !t.full {
		parent, err := catalog.ParentPoint(ctx, q, t.row.Computer, t.job, t.row.Repository)
		if err != nil {
			return err
		}
		g.parent = parent
	}
	if t.att == nil {
		return nil // this is the first
	}
	attempts, err := catalog.Attempts(ctx, q, t.row.ID)
	if err != nil {
		return err
	}
	for _, a := range attempts {
		if a.Checkpointed {
			g.checkpoint = a.ID
			break
		}
	}
	return nil
}

// call is one call to a node, with copies of all it needs.
type call struct {
	m       *Manager
	plan    plan
	typ     job.Type
	row     catalog.Task
	session catalog.Session
	attempt catalog.Attempt
	order   order
}

// do makes the call and answers the event that comes of it.
func (c *call) do(ctx context.Context) any {
	switch c.order.do {
	case doStartMover:
		endpoint, keys, err := c.startMover(ctx)
		c.noteBrowser(endpoint, err)
		return evOrdered{attempt: c.attempt.ID, part: partMover, endpoint: endpoint, keys: keys, failure: wire.ToFailure(err, "")}
	case doStartAgent:
		err := c.startAgent(ctx)
		return evOrdered{attempt: c.attempt.ID, part: partAgent, failure: wire.ToFailure(err, "")}
	case doAge:
		switch c.typ {
		case job.Rescan:
			return c.rescan(ctx)
		case job.UpdateInstall:
			return c.install(ctx)
		}
		return c.age(ctx)
	case doClear:
		return c.clear(ctx)
	case doStop:
		return evStopped{attempt: c.attempt.ID, part: c.order.part, gone: errs.KindOf(c.stop(ctx, c.order.part)) == errs.NotFound}
	}
	s, err := c.settle(ctx)
	return evSettled{attempt: c.attempt.ID, committed: s.committed, partial: s.partial, checkpoint: s.checkpoint, failure: wire.ToFailure(err, string(partServer))}
}

func (c *call) wireOrder() *keepwardv1.Order {
	return &keepwardv1.Order{Attempt: c.attempt.ID, Task: c.row.ID, Session: c.row.Session, Term: c.m.deps.Term(), Owner: c.m.deps.Owner}
}

func (m *Manager) transport(name string) (transportClient, error) {
	t, ok := m.deps.Nodes.Transport(name)
	if !ok {
		return nil, errs.New(errs.Unavailable, "transport.offline", "call transport %s: it is offline", name)
	}
	return t, nil
}

func (m *Manager) agent(name string) (agentClient, error) {
	a, ok := m.deps.Nodes.Agent(name)
	if !ok {
		return nil, errs.New(errs.Unavailable, "agent.offline", "call the agent of %s: it is offline", name)
	}
	return a, nil
}

func (c *call) startMover(ctx context.Context) (*keepwardv1.MoverEndpoint, *repositoryKeys, error) {
	ctx, cancel := context.WithTimeout(ctx, c.m.set.Order)
	defer cancel()
	k, err := c.m.keysOf(ctx, c.row.Repository)
	if err != nil {
		return nil, nil, err
	}
	req, err := c.moverRequest(ctx, k)
	if err != nil {
		return nil, nil, err
	}
	t, err := c.m.transport(c.attempt.Transport)
	if err != nil {
		return nil, nil, err
	}
	res, err := t.StartMover(ctx, connect.NewRequest(req))
	if err != nil {
		return nil, nil, err
	}
	mover := res.Msg.GetMover()
	mover.Heartbeat, mover.Passive = req.Heartbeat, len(req.AgentAddresses) > 0
	mover.Addresses = wire.Preferred(mover.Addresses, c.m.networks())
	return mover, k, nil
}

func (c *call) moverRequest(ctx context.Context, k *repositoryKeys) (req *keepwardv1.StartMoverRequest, err error) {
	req = &keepwardv1.StartMoverRequest{
		Order: c.wireOrder(), Mode: modes[c.typ], RepositoryPath: k.repository.Path, Agent: c.attempt.Agent,
		ReadData: c.plan.check.GetReadData(), AgentWait: durationpb.New(c.m.set.AgentWait), Heartbeat: durationpb.New(c.m.set.Heartbeat),
		Parity: k.repository.Proofs.Parity, Time: timestamppb.New(c.attempt.Time), Rates: c.m.movement.start(c.attempt.ID, partMover, ""),
	}
	if req.AgentAddresses, err = c.m.agentAddresses(ctx, c.typ, c.attempt.Agent); err != nil {
		return nil, err
	}
	switch c.typ {
	case job.Backup, job.ServerBackup:
		req.Computer, req.Keys = c.row.Computer, k.forComputer(c.row.Computer)
		req.Owner, req.ForeignProof = k.owner(c.row.Computer), k.repository.Proofs.Foreign
		req.ReadablePoints = nonEmpty(c.attempt.Parent, c.attempt.Checkpoint)
		req.FullSpeed = c.plan.interval.GetFullSpeed()
		if req.Issue, err = c.issue(k); err != nil {
			return nil, err
		}
	case job.Restore:
		req.Computer, req.Keys = c.plan.restore.GetComputer(), k.forMover()
		req.Owner = k.owner(req.Computer)
		later, err := c.laterPoints(ctx)
		if err != nil {
			return nil, err
		}
		req.ReadablePoints = append([]string{c.row.Point}, later...)
	case job.Reconcile:
		req.Keys = k.forMover()
	case job.IndexRestore:
		req.Keys = k.forAll()
	case job.Sweep:
		req.Keys = k.forMover()
		if req.Sweep, err = c.sweepOrder(ctx, k.repository); err != nil {
			return nil, err
		}
		if req.Sweep.GetRecompress() != "" { // what stands in the points leads to what is to be opened
			req.Keys = k.forAll()
		}
	default:
		req.Keys, req.Check = k.forAll(), c.checkOrder()
	}
	return req, nil
}

func nonEmpty(names ...string) []string {
	var out []string
	for _, n := range names {
		if n != "" {
			out = append(out, n)
		}
	}
	return out
}

// issue is what the server alone may say of the point to be made.
func (c *call) issue(k *repositoryKeys) ([]byte, error) {
	name, err := point.ParseAttempt(c.attempt.ID)
	if err != nil {
		return nil, err
	}
	i := point.Issue{
		Computer: c.row.Computer, Job: c.session.Job, Session: c.session.ID, Time: c.attempt.Time,
		Full: c.session.Full || c.attempt.Parent == "", Definition: definition(ownMembership(c.plan.interval, c.row.Computer)),
	}
	if c.attempt.Parent != "" {
		if i.Parent, err = point.ParseAttempt(c.attempt.Parent); err != nil {
			return nil, err
		}
	}
	return point.SealIssue(k.master.IssueKey(), k.repository.ID, name, i)
}

// maxDefinition bounds what of a job goes into each of its points: one with more includes than
// this holds is not worth as many bytes.
const maxDefinition = 64 << 10

// definition is a job for its points, as a server that lost its catalog wants it back.
func definition(j *keepwardv1.Job) []byte {
	b, err := proto.Marshal(j)
	if err != nil || len(b) > maxDefinition {
		return nil // the point is what counts
	}
	return b
}

func (c *call) startAgent(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.m.set.Order)
	defer cancel()
	k := c.order.keys
	a, err := c.m.agent(c.attempt.Agent)
	if err != nil {
		return err
	}
	rates := c.m.movement.start(c.attempt.ID, partAgent, c.order.endpoint.GetAddress())
	if c.typ == job.Restore {
		r := c.plan.restore
		application, err := c.applicationOrder(ctx)
		if err != nil {
			return err
		}
		_, err = a.StartRestore(ctx, connect.NewRequest(&keepwardv1.StartRestoreRequest{
			Order: c.wireOrder(), Keys: k.forComputer(r.GetComputer()), Mover: c.endpoint(), Point: c.row.Point,
			Paths: r.GetPaths(), To: r.GetTo(), Overwrite: r.GetOverwrite(), DeleteExtra: r.GetDeleteExtra(),
			DryRun: r.GetDryRun(), Strip: r.GetStrip(), Verify: r.GetVerify(), Estimate: r.GetEstimate(),
			// On the computer that they are of, numbers are what the names are.
			NumericOwner: r.GetNumericOwner() || r.GetTargetComputer() == r.GetComputer(),
			Owners:       r.GetOwners(), Renames: r.GetRenames(), Application: application,
			Command: r.GetCommand(), CommandVariables: commandVariables(c.session, c.row), Rates: rates,
		}))
		return err
	}
	applications, err := c.applicationOrders(ctx)
	if err != nil {
		return err
	}
	commands := config.CommandsOf(c.plan.interval, c.row.Computer)
	secrets, err := c.commandSecrets(ctx, commands)
	if err != nil {
		return err
	}
	_, err = a.StartBackup(ctx, connect.NewRequest(&keepwardv1.StartBackupRequest{
		Order: c.wireOrder(), Keys: k.forComputer(c.row.Computer), Mover: c.endpoint(), Files: config.FilesOf(c.plan.interval, c.row.Computer),
		Parent: c.attempt.Parent, Checkpoint: c.attempt.Checkpoint, Compression: c.plan.compression,
		Time: timestamppb.New(c.attempt.Time), Computer: c.row.Computer, Job: c.session.Job, Full: c.session.Full,
		Scripts: freezeScripts(c.plan.interval.GetScripts()), ScriptVariables: taskVariables(c.session, c.row, job.PreFreeze),
		SnapshotRetries: int32(c.m.knobs().Int("snapshot_retries")), SnapshotKept: durationpb.New(c.m.knobs().Duration("snapshot_kept")),
		FullSpeed: c.plan.interval.GetFullSpeed(), Processors: c.plan.interval.GetProcessors(),
		Applications: applications,
		Rates:        rates,
		CompareEvery: int32(c.m.knobs().Int("compare_every")),
		TrackingKept: durationpb.New(c.m.knobs().Duration("tracking_kept")),
		Commands:     commands, CommandVariables: commandVariables(c.session, c.row), CommandSecrets: secrets,
	}))
	return err
}

func (c *call) stop(ctx context.Context, p part) error {
	ctx, cancel := context.WithTimeout(ctx, c.m.set.Order)
	defer cancel()
	if p == partAgent {
		a, err := c.m.agent(c.attempt.Agent)
		if err != nil {
			return err
		}
		_, err = a.StopAttempt(ctx, connect.NewRequest(&keepwardv1.StopAttemptRequest{Order: c.wireOrder(), Reason: c.order.reason, Commit: c.order.commit}))
		return err
	}
	t, err := c.m.transport(c.attempt.Transport)
	if err != nil {
		return err
	}
	_, err = t.StopMover(ctx, connect.NewRequest(&keepwardv1.StopMoverRequest{Order: c.wireOrder(), Reason: c.order.reason}))
	return err
}

// settlement is what became of an attempt that makes a point.
type settlement struct {
	committed  bool
	partial    bool // the point that was committed
	checkpoint bool // there is one to go on from
}

// settle makes sure what became of the attempt. A stop counts only where nothing can be
// committed, for elsewhere the tombstone decides; a restore is over when its agent says so.
func (c *call) settle(ctx context.Context) (settlement, error) {
	if c.typ == job.Restore {
		return settlement{}, unlessGone(c.stop(ctx, partAgent))
	}
	if serversOwn(c.typ) {
		return settlement{}, nil // it is done here, and what it marked, read or changed stands
	}
	stopErr := c.stop(ctx, partMover)
	if !c.typ.MakesPoint() {
		return settlement{}, unlessGone(stopErr)
	}
	return c.m.fence(ctx, fencing{c.row.Repository, c.attempt.Transport, c.wireOrder(), c.order.reason, c.order.commit})
}

// unlessGone takes a node's word that it does not know the attempt for a stop.
func unlessGone(err error) error {
	if errs.KindOf(err) == errs.NotFound {
		return nil
	}
	return err
}

// fencing is an attempt that is to be settled in its repository.
type fencing struct {
	repository, transport string
	order                 *keepwardv1.Order
	reason                string
	commit                bool // its last checkpoint becomes its point, where it has none
}

func (m *Manager) fence(ctx context.Context, f fencing) (settlement, error) {
	ctx, cancel := context.WithTimeout(ctx, m.set.Order)
	defer cancel()
	r, err := catalog.GetRepository(ctx, m.deps.DB.Read(), f.repository)
	if err != nil {
		return settlement{}, err
	}
	t, err := m.transport(f.transport)
	if err != nil {
		return settlement{}, err
	}
	res, err := t.FenceAttempt(ctx, connect.NewRequest(&keepwardv1.FenceAttemptRequest{
		RepositoryPath: r.Path, RepositoryId: r.ID[:], Order: f.order, Reason: f.reason, Commit: f.commit,
	}))
	if err != nil {
		return settlement{}, err
	}
	return settlement{res.Msg.GetCommitted(), res.Msg.GetPartial(), res.Msg.GetCheckpoint()}, nil
}

// endpoint is where the agent finds its mover, and over how many connections they talk.
func (c *call) endpoint() *keepwardv1.MoverEndpoint {
	e := proto.CloneOf(c.order.endpoint)
	if e.Connections = c.plan.interval.GetConnections(); e.Connections == 0 {
		e.Connections = int32(c.m.knobs().Int("data_connections"))
	}
	return e
}
