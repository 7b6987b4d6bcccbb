package wire

import (
	"context"

	"connectrpc.com/connect"

	"keepward/internal/errs"
)

// Only is the interceptor that lets callers of one role in, as their certificates say.
func Only(role Role) connect.Interceptor { return only(role) }

type only Role

func (o only) check(ctx context.Context) error {
	peer, ok := Peer(ctx)
	if !ok {
		return errs.New(errs.Denied, "call.identity", "call: the caller has no identity")
	}
	if peer.Role != Role(o) {
		return errs.New(errs.Denied, "call.role", "call: %s is not a %s", peer, Role(o))
	}
	return nil
}

func (o only) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if err := o.check(ctx); err != nil {
			return nil, ToConnect(err)
		}
		return next(ctx, req)
	}
}

func (o only) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (o only) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		if err := o.check(ctx); err != nil {
			return ToConnect(err)
		}
		return next(ctx, conn)
	}
}
