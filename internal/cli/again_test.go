package cli

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

func TestACallWhoseAnswerWasLostIsMadeAgainWithItsKey(t *testing.T) {
	gone := connect.NewError(connect.CodeUnavailable, io.ErrUnexpectedEOF)
	refused := connect.NewError(connect.CodeUnavailable, &net.OpError{Op: "dial", Err: errors.New("connection refused")})
	foreign := connect.NewError(connect.CodeUnavailable, errs.New(errs.Denied, "client.untrusted", "another certificate"))
	denied := connect.NewError(connect.CodePermissionDenied, errors.New("no"))
	for name, c := range map[string]struct {
		answers []error
		want    error
		tries   int
	}{
		"answered":                 {[]error{nil}, nil, 1},
		"lost once":                {[]error{gone, nil}, nil, 2},
		"lost, then starting":      {[]error{gone, refused, refused, nil}, nil, 4},
		"lost, then refused by it": {[]error{gone, denied}, denied, 2},
		"lost for good":            {[]error{gone, refused, refused, refused, gone}, gone, 5},
		"never there":              {[]error{refused}, refused, 1},
		"cut off":                  {[]error{connect.NewError(connect.CodeInternal, io.ErrUnexpectedEOF), nil}, nil, 2},
		"not ours":                 {[]error{foreign}, foreign, 1},
		"refused by it":            {[]error{denied}, denied, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepeats()
			r.wait = func(context.Context, time.Duration) error { return nil }
			caller := &caller{token: "t", repeats: r}
			var keys []string
			_, err := caller.WrapUnary(func(_ context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
				keys = append(keys, req.Header().Get(keyHeader))
				return connect.NewResponse(&keepwardv1.StartSessionResponse{}), c.answers[len(keys)-1]
			})(t.Context(), connect.NewRequest(&keepwardv1.RunJobRequest{}))
			if (err == nil) != (c.want == nil) || len(keys) != c.tries || keys[0] == "" || len(slices.Compact(keys)) != 1 {
				t.Errorf("keys %q, %v; want %d tries with one key and %v", keys, err, c.tries, c.want)
			}
		})
	}
}

func TestWhoInterruptsDoesNotWaitForTheNextTry(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	tries := 0
	_, err := newRepeats().do(ctx, func(context.Context, connect.AnyRequest) (connect.AnyResponse, error) {
		tries++
		cancel()
		return nil, connect.NewError(connect.CodeUnavailable, io.ErrUnexpectedEOF)
	}, connect.NewRequest(&keepwardv1.RunJobRequest{}))
	if err == nil || tries != 1 {
		t.Errorf("%d tries, %v", tries, err)
	}
}

func TestALoginIsNotMadeAgain(t *testing.T) {
	caller := &caller{repeats: newRepeats()}
	tries := 0
	_, err := caller.WrapUnary(func(_ context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if tries++; req.Header().Get(keyHeader) != "" {
			t.Error("it has a key")
		}
		return nil, connect.NewError(connect.CodeUnavailable, io.ErrUnexpectedEOF)
	})(t.Context(), connect.NewRequest(&keepwardv1.LoginRequest{}))
	if err == nil || tries != 1 {
		t.Errorf("%d tries, %v", tries, err)
	}
}

func TestTheSameCommandAgainHasTheSameKeys(t *testing.T) {
	keys := func() (all []string) {
		r := newRepeats()
		r.given = "nightly-17"
		for _, p := range []string{"/keepward.v1.SessionService/KillSession", "/keepward.v1.JobService/RunJob", "/keepward.v1.SessionService/KillSession"} {
			all = append(all, r.key(p))
		}
		return all
	}
	first, again := keys(), keys()
	if want := []string{"nightly-17.SessionService-KillSession.1", "nightly-17.JobService-RunJob.1", "nightly-17.SessionService-KillSession.2"}; !slices.Equal(first, want) || !slices.Equal(again, want) {
		t.Errorf("keys are %q, then %q, want %q", first, again, want)
	}
	r := newRepeats()
	if one, two := r.key("/a.B/C"), r.key("/a.B/C"); one == two {
		t.Errorf("two calls have one key, %q", one)
	}
}
