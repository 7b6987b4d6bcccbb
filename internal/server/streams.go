package server

import (
	"context"
	"sync"

	"connectrpc.com/connect"

	"keepward/internal/errs"
)

// streams ends what goes on, where who opened it may no more: a call is looked at when it comes, and
// a stream may stay for days. It is an interceptor, and safe for concurrent use.
type streams struct {
	check func(ctx context.Context, method string, c caller) error

	mu   sync.Mutex
	open map[*openStream]bool
}

type openStream struct {
	method string
	caller caller
	end    context.CancelCauseFunc
}

// recheck looks at all that are open. It is called behind every change of users and tokens.
func (s *streams) recheck(ctx context.Context) {
	s.mu.Lock()
	list := make([]*openStream, 0, len(s.open))
	for o := range s.open {
		list = append(list, o)
	}
	s.mu.Unlock()
	for _, o := range list {
		s.look(ctx, o)
	}
}

func (s *streams) look(ctx context.Context, o *openStream) {
	if err := s.check(ctx, o.method, o.caller); errs.KindOf(err) == errs.Denied {
		o.end(err)
	}
}

// enter is the context of a stream, which ends with its token.
func (s *streams) enter(ctx context.Context, method string, c caller) (context.Context, func()) {
	ctx, end := context.WithCancelCause(ctx)
	stop := func() {}
	if !c.token.Expires.IsZero() {
		over := errs.New(errs.Denied, "access.token-expired", "call %s: the token has expired", callName(method)).
			WithHint("log in again with: keepward login HOST:PORT")
		ctx, stop = context.WithDeadlineCause(ctx, c.token.Expires, over)
	}
	o := &openStream{method, c, end}
	s.mu.Lock()
	s.open[o] = true
	s.mu.Unlock()
	s.look(ctx, o) // something may have changed since the call was let in
	return ctx, func() {
		s.mu.Lock()
		delete(s.open, o)
		s.mu.Unlock()
		stop()
		end(nil)
	}
}

func (*streams) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc { return next }

func (*streams) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (s *streams) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		c, ok := callerOf(ctx)
		if !ok {
			return next(ctx, conn)
		}
		ctx, leave := s.enter(ctx, conn.Spec().Procedure, c)
		defer leave()
		err := next(ctx, conn)
		if cause := context.Cause(ctx); errs.KindOf(cause) == errs.Denied {
			return cause
		}
		return err
	}
}
