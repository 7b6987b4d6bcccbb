package node

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
)

const (
	// progressEvery bounds the rate of progress reports of one attempt.
	progressEvery = 500 * time.Millisecond
	// callTimeout bounds every call to the server.
	callTimeout = 20 * time.Second
)

// deliver sends what is reported until ctx is done or a call fails for want of a server.
func (r *Reporter) deliver(ctx context.Context, server keepwardv1connect.NodeServiceClient) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.wake:
		case <-timer.C:
		}
		again, err := r.round(ctx, server)
		if err != nil {
			return err
		}
		if again {
			timer.Reset(progressEvery)
		}
	}
}

// round sends everything that may be sent now; again says that progress waits for its time.
func (r *Reporter) round(ctx context.Context, server keepwardv1connect.NodeServiceClient) (again bool, err error) {
	for _, a := range r.all() {
		if err := r.sendEvents(ctx, server, a); err != nil {
			return false, err
		}
		waits, err := r.sendProgress(ctx, server, a)
		if err != nil {
			return false, err
		}
		again = again || waits
		if err := r.sendEnd(ctx, server, a); err != nil {
			return false, err
		}
	}
	return again, nil
}

func (r *Reporter) all() []*attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*attempt, 0, len(r.attempts))
	for _, a := range r.attempts {
		out = append(out, a)
	}
	return out
}

func (r *Reporter) sendEvents(ctx context.Context, server keepwardv1connect.NodeServiceClient, a *attempt) error {
	for {
		r.mu.Lock()
		if r.gone(a) {
			r.mu.Unlock()
			return nil
		}
		events, next, err := a.events.pending()
		if err != nil {
			r.log.Error("events are unreadable and are left out", "attempt", a.state.GetAttempt(), "error", err)
			a.events.sent = a.events.size
		}
		r.mu.Unlock()
		if len(events) == 0 {
			return nil
		}
		err = r.call(ctx, func(ctx context.Context) error {
			_, err := server.ReportEvents(ctx, connect.NewRequest(&keepwardv1.ReportEventsRequest{Attempt: a.state.GetAttempt(), Events: events}))
			return err
		})
		if err != nil {
			return err
		}
		r.mu.Lock()
		a.events.sent = next
		r.mu.Unlock()
	}
}

func (r *Reporter) sendProgress(ctx context.Context, server keepwardv1connect.NodeServiceClient, a *attempt) (waits bool, err error) {
	r.mu.Lock()
	p := a.progress
	if p == nil || r.gone(a) {
		r.mu.Unlock()
		return false, nil
	}
	if time.Since(a.sentAt) < progressEvery && a.end == nil {
		r.mu.Unlock()
		return true, nil
	}
	a.progress, a.sentAt = nil, time.Now()
	r.mu.Unlock()
	return false, r.call(ctx, func(ctx context.Context) error {
		_, err := server.ReportProgress(ctx, connect.NewRequest(&keepwardv1.ReportProgressRequest{Attempt: a.state.GetAttempt(), Progress: p}))
		return err
	})
}

func (r *Reporter) sendEnd(ctx context.Context, server keepwardv1connect.NodeServiceClient, a *attempt) error {
	r.mu.Lock()
	if a.end == nil || r.gone(a) || a.events.sent < a.events.size {
		r.mu.Unlock()
		return nil
	}
	id, end := a.state.GetAttempt(), proto.CloneOf(a.end)
	r.mu.Unlock()
	err := r.call(ctx, func(ctx context.Context) error {
		_, err := server.ReportEnd(ctx, connect.NewRequest(&keepwardv1.ReportEndRequest{Attempt: id, End: end}))
		return err
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.gone(a) {
		r.forget(id)
	}
	return nil
}

// gone tells whether an attempt was forgotten or dropped since it was listed; called with
// the lock held.
func (r *Reporter) gone(a *attempt) bool {
	return a.dropped || r.attempts[a.state.GetAttempt()] != a
}

// codeStranger is a server's answer about an attempt in which this node has no part, as by the
// catalog that it goes by now.
const codeStranger = "attempt.stranger"

// call makes one call. A server that answers "not found" or "invalid", or that this node has no part
// in it, will not think otherwise next time: that is an answer too.
func (r *Reporter) call(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := do(ctx)
	switch kind := errs.KindOf(err); {
	case kind == errs.NotFound, kind == errs.Invalid, errs.CodeOf(err) == codeStranger:
		r.log.Warn("the server does not take a report", "error", err)
		return nil
	}
	return err
}
