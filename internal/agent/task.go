package agent

import (
	"context"
	"errors"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/pipeline"
	"keepward/internal/restore"
	"keepward/internal/wire"
)

// Words of an AttemptEnd.
const (
	outcomeDone    = "done"
	outcomeFailed  = "failed"
	outcomeAborted = "aborted"
	partAgent      = "agent"
)

const (
	// dialFor bounds how long a mover is dialled at the start.
	dialFor = 60 * time.Second
	// progressEvery is the rate of progress reports.
	progressEvery = 500 * time.Millisecond
)

func (a *agent) backup(ctx context.Context, m *keepwardv1.StartBackupRequest, opts pipeline.Options) *keepwardv1.AttemptEnd {
	id := m.GetOrder().GetAttempt()
	count := &pipeline.Counters{}
	opts.Counters = count
	task := m.GetOrder().GetTask()
	opts.Trail, opts.CheckpointEvery = a.trails.of(task), a.cfg.CheckpointEvery
	note := a.trails.keeper(task, opts.Trail, count)
	opts.Streams, opts.StreamsAt = a.streams(m), job.CommandFolder
	opts.Selection.Nothing = len(opts.Streams) > 0
	opts.Scratch = a.cfg.DataDir // where there is room, and nobody else looks
	opts.Event = func(e pipeline.Event) {
		if e.Code == "include.missing" { // a job may be for many computers
			e.Text = "this include path is not on " + m.GetComputer() + ": " + e.Text
		}
		a.event(id, string(e.Level), e.Code, e.Text, rooted(e.Path))
	}
	var result pipeline.Result
	var waits waiting
	var shot *shot
	var also *apps
	if len(m.GetApplications()) > 0 && m.GetFiles() != nil {
		m = proto.CloneOf(m)
		m.Files.NoTracking = true // an application's files are walked whole, and nothing is known of them
	}
	link := a.linkOf(id)
	link.begin(m.GetRates())
	err := a.connected(ctx, id, m.GetMover(), func(ctx context.Context, client *wire.DataClient) error {
		ctx, fail := context.WithCancelCause(ctx)
		defer fail(nil)
		report := func() *keepwardv1.Progress {
			note()
			return &keepwardv1.Progress{Phase: "transfer", Counters: count.Proto(), Current: count.Current(), Reason: waits.reason(), Meter: link.meter()}
		}
		return a.watched(ctx, id, report, func() error {
			if a.before != nil {
				if err := a.before(ctx); err != nil {
					return err
				}
			}
			var err error
			if also, err = a.openApps(ctx, m, count, fail); err != nil {
				return err
			}
			defer also.close()
			if err = also.begin(ctx); err != nil {
				return err
			}
			if shot, err = a.state(ctx, m, &opts.Selection, also, &waits); err != nil {
				return err
			}
			if opts.Selection.View, err = shot.open(ctx); err != nil {
				return err
			}
			defer shot.close()
			if err = also.lay(ctx, opts.Selection.View, &opts); err != nil {
				return err
			}
			shot.follow(id, &opts)
			return shot.sound(ctx, client, &opts, func(ctx context.Context, store pipeline.Store) (err error) {
				if result, err = pipeline.Run(ctx, store, opts); err == nil && !result.Partial {
					also.committed(ctx)
				}
				if err != nil && context.Cause(ctx) != nil {
					err = context.Cause(ctx)
				}
				return err
			})
		})
	})
	shot.release(ctx, id, err == nil, m.GetSnapshotKept().AsDuration())
	end := ended(ctx, err, count.Proto())
	if err == nil {
		a.trails.forget(task)
		end.Committed = true
		end.Point = &keepwardv1.PointSummary{
			Id: id, Completeness: result.Body.Completeness.String(), Partial: result.Partial, Counters: end.GetCounters(),
		}
	} else {
		a.trails.keep(task, opts.Trail, count)
	}
	return end
}

func (a *agent) restore(ctx context.Context, m *keepwardv1.StartRestoreRequest, opts restore.Options) *keepwardv1.AttemptEnd {
	id := m.GetOrder().GetAttempt()
	count := &restore.Counters{}
	opts.Counters = count
	opts.Event = func(e restore.Event) { a.event(id, e.Level, e.Code, e.Text, e.Path) }
	var at, phase current
	phase.set([]byte("restore"))
	opts.Current = at.set
	opts.Phase = func(p string) { phase.set([]byte(p)) }
	link := a.linkOf(id)
	link.begin(m.GetRates())
	err := a.connected(ctx, id, m.GetMover(), func(ctx context.Context, client *wire.DataClient) error {
		opts.Store = client
		report := func() *keepwardv1.Progress {
			return &keepwardv1.Progress{Phase: phase.get(), Counters: restoreCounters(count), Current: at.get(), Meter: link.meter()}
		}
		return a.watched(ctx, id, report, func() error {
			if order := m.GetApplication(); order != nil {
				r := &appRestore{a: a, attempt: id, task: m.GetOrder().GetTask(), order: order, opts: opts, phase: func(p string) { phase.set([]byte(p)) }}
				return r.do(ctx)
			}
			return a.marked(ctx, m.GetOrder().GetTask(), opts)
		})
	})
	return ended(ctx, err, restoreCounters(count))
}

// marked restores, and keeps a mark at the target until that has ended well.
func (a *agent) marked(ctx context.Context, task string, opts restore.Options) error {
	if opts.DryRun || opts.Estimate {
		_, err := restore.Run(ctx, opts)
		return err
	}
	marks := a.restoreMarks()
	var err error
	if opts.Earlier, err = marks.begin(task, opts.To, time.Now()); err != nil {
		// The restore can do without: what it cannot tell it does again.
		a.log.Warn("the mark of a restore could not be kept", "task", task, "error", err)
	}
	if _, err = restore.Run(ctx, opts); err != nil {
		return err
	}
	if err := marks.end(opts.To); err != nil {
		a.log.Warn("the mark of a restore could not be removed", "task", task, "error", err)
	}
	return nil
}

// connected calls fn with a connection to the mover, and ends the connection in order when
// all went well.
func (a *agent) connected(ctx context.Context, id string, mover *keepwardv1.MoverEndpoint, fn func(context.Context, *wire.DataClient) error) error {
	dialCtx, cancel := context.WithTimeout(ctx, dialFor)
	defer cancel()
	link := a.linkOf(id)
	client, err := wire.DialData(dialCtx, wire.DialConfig{
		Credentials: a.node.Credentials(), Endpoint: mover, Attempt: id, Logger: a.log, Door: a.door, Limit: &link.limit,
		Connected: func(c wire.Arrival) {
			link.met(c)
			text := "the agent dialled the mover at " + c.Address
			if c.Dialled {
				text = "the mover dialled the agent, from " + c.Address
			}
			if c.Local {
				text = "the agent reached the mover on its own host"
			}
			if c.Again {
				text += ", again after the connection was lost"
			}
			if c.Connections > 1 {
				text += ", over " + strconv.Itoa(c.Connections) + " connections"
			}
			text += a.controlText()
			a.event(id, "info", "data.connected", text, nil)
		},
	})
	if err != nil {
		return wire.WithReachHint(err)
	}
	if err := fn(ctx, client); err != nil {
		client.Abort(reason(ctx, err)) // the mover's report may be the first
		return err
	}
	if err := client.Close(); err != nil {
		a.log.Warn("the data connection did not end in order", "attempt", id, "error", err)
	}
	return nil
}

// controlText says who dialled the link over which the order came.
func (a *agent) controlText() string {
	if a.dialled == nil || a.dialled() == "" {
		return ""
	}
	return "; the control connection was dialled by the " + a.dialled()
}

// watched reports progress while fn runs.
func (a *agent) watched(ctx context.Context, id string, progress func() *keepwardv1.Progress, fn func() error) error {
	report := func() {
		p := progress()
		usage(p.GetCounters())
		p.Current = display(p.GetCurrent())
		a.reports.Progress(id, p)
	}
	watch, stop := context.WithCancel(ctx)
	gone := make(chan struct{})
	a.work.Go(func() {
		defer close(gone)
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-watch.Done():
				return
			case <-tick.C:
				report()
			}
		}
	})
	err := fn()
	stop()
	<-gone
	report()
	return err
}

func (a *agent) event(id, level, code, text string, path []byte) {
	a.reports.Events(id, &keepwardv1.Event{Level: level, Part: partAgent, Code: code, Text: text, Path: path})
}

// rooted is the full name of an entry of the file index, whose paths begin below the root.
func rooted(path []byte) []byte {
	if len(path) == 0 {
		return nil
	}
	return append([]byte{'/'}, path...)
}

// ended makes the report of how it ended.
func ended(ctx context.Context, err error, c *keepwardv1.Counters) *keepwardv1.AttemptEnd {
	usage(c)
	end := &keepwardv1.AttemptEnd{Outcome: outcomeDone, Counters: c}
	if err == nil {
		return end
	}
	end.Outcome = outcomeFailed
	err = reason(ctx, err)
	if errs.CodeOf(err) == errStopped.Code {
		end.Outcome = outcomeAborted
	}
	end.Failure = wire.ToFailure(err, partAgent)
	return end
}

// reason is why an attempt failed: what ended its context, if that is over.
func reason(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	cause := context.Cause(ctx)
	if errs.CodeOf(cause) != errStopped.Code && errors.Is(cause, context.Canceled) {
		return errs.New(errs.Unavailable, "agent.stopping", "the agent was shut down while the attempt ran")
	}
	return cause
}

// display makes a raw path fit to be shown: control characters and what is not UTF-8 are
// escaped.
func display(path string) string {
	if path == "" {
		return ""
	}
	q := strconv.Quote("/" + path)
	return q[1 : len(q)-1]
}
