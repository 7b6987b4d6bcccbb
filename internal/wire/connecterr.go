package wire

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

// codes maps kinds to Connect codes, for clients that know nothing of Failure.
var codes = map[errs.Kind]connect.Code{
	errs.NotFound:    connect.CodeNotFound,
	errs.Exists:      connect.CodeAlreadyExists,
	errs.Busy:        connect.CodeFailedPrecondition,
	errs.Denied:      connect.CodePermissionDenied,
	errs.Unavailable: connect.CodeUnavailable,
	errs.Corrupt:     connect.CodeDataLoss,
	errs.Invalid:     connect.CodeInvalidArgument,
	errs.Cancelled:   connect.CodeCanceled,
	errs.NoSpace:     connect.CodeResourceExhausted,
	errs.Internal:    connect.CodeInternal,
}

// kinds is the way back for errors without a Failure, such as those Connect itself makes.
var kinds = map[connect.Code]errs.Kind{
	connect.CodeNotFound:           errs.NotFound,
	connect.CodeAlreadyExists:      errs.Exists,
	connect.CodeFailedPrecondition: errs.Busy,
	connect.CodeAborted:            errs.Busy,
	connect.CodePermissionDenied:   errs.Denied,
	connect.CodeUnauthenticated:    errs.Denied,
	connect.CodeUnavailable:        errs.Unavailable,
	connect.CodeDeadlineExceeded:   errs.Unavailable,
	connect.CodeDataLoss:           errs.Corrupt,
	connect.CodeInvalidArgument:    errs.Invalid,
	connect.CodeOutOfRange:         errs.Invalid,
	connect.CodeCanceled:           errs.Cancelled,
	connect.CodeResourceExhausted:  errs.NoSpace,
}

// ToFailure is err as it travels; part is who failed (server, agent, mover, transport).
// ToFailure(nil) is nil.
func ToFailure(err error, part string) *keepwardv1.Failure {
	if err == nil {
		return nil
	}
	return &keepwardv1.Failure{
		Kind:    string(errs.KindOf(err)),
		Code:    errs.CodeOf(err),
		Message: err.Error(),
		Hint:    errs.HintOf(err),
		Part:    part,
	}
}

// FromFailure is a received Failure as an *errs.Error. FromFailure(nil) is nil.
func FromFailure(f *keepwardv1.Failure) error {
	if f == nil {
		return nil
	}
	kind := errs.Kind(f.GetKind())
	if _, known := codes[kind]; !known {
		kind = errs.Internal
	}
	e := errs.New(kind, f.GetCode(), "%s", f.GetMessage())
	if f.GetHint() != "" {
		e = e.WithHint("%s", f.GetHint())
	}
	return e
}

// ToConnect is err as a Connect error with its Failure as detail.
func ToConnect(err error) error {
	if err == nil {
		return nil
	}
	var ce *connect.Error
	if errors.As(err, &ce) && errs.KindOf(err) == errs.Internal && errs.CodeOf(err) == "" {
		return ce // made by Connect, or already converted
	}
	ce = connect.NewError(codes[errs.KindOf(err)], err)
	if d, derr := connect.NewErrorDetail(ToFailure(err, "")); derr == nil {
		ce.AddDetail(d)
	}
	return ce
}

// FromConnect is what a call answered as an *errs.Error again: kind, code and hint as the
// other end meant them. Errors that are not Connect's are returned as they are.
func FromConnect(err error) error {
	var ce *connect.Error
	if !errors.As(err, &ce) {
		return err
	}
	for _, d := range ce.Details() {
		v, verr := d.Value()
		if f, ok := v.(*keepwardv1.Failure); verr == nil && ok {
			return FromFailure(f)
		}
	}
	var own *errs.Error
	if errors.As(err, &own) {
		return own // it never left this process: no connection, or one that was refused
	}
	kind, ok := kinds[ce.Code()]
	if !ok {
		kind = errs.Internal
	}
	return errs.New(kind, "", "%s", ce.Message())
}

// Errors is the interceptor that converts errors at both ends of every call: handlers
// return errs errors, and callers get them back.
func Errors() connect.Interceptor { return errorInterceptor{} }

type errorInterceptor struct{}

func (errorInterceptor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		res, err := next(ctx, req)
		if err == nil {
			return res, nil
		}
		if req.Spec().IsClient {
			return res, FromConnect(err)
		}
		return res, ToConnect(err)
	}
}

func (errorInterceptor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		return next(ctx, spec) // a stream's error is read by its caller, with FromConnect
	}
}

func (errorInterceptor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		return ToConnect(next(ctx, conn))
	}
}
