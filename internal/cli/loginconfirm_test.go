package cli

import (
	"context"
	"testing"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

// TestACallThatWantsAConfirmedLoginIsMadeAgain, once, with its key, and only if somebody could be asked.
func TestACallThatWantsAConfirmedLoginIsMadeAgain(t *testing.T) {
	for what, tt := range map[string]struct {
		asked     bool  // somebody is there
		confirm   error // what comes of it
		then      bool  // the server is content
		calls     int
		questions int
		want      string
	}{
		"confirmed":         {asked: true, then: true, calls: 2, questions: 1},
		"a wrong password":  {asked: true, confirm: errs.New(errs.Denied, "user.current-password", "wrong"), calls: 1, questions: 1, want: "user.current-password"},
		"still not content": {asked: true, calls: 2, questions: 1, want: codeUnconfirmed},
		"nobody to ask":     {calls: 1, want: codeUnconfirmed},
	} {
		caller := &caller{token: "t", repeats: newRepeats()}
		questions, keys := 0, map[string]bool{}
		calls := 0
		if tt.asked {
			caller.confirm = func(context.Context) error {
				questions++
				return tt.confirm
			}
		}
		_, err := caller.WrapUnary(func(_ context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			keys[req.Header().Get(keyHeader)] = true
			if calls++; tt.then && calls == 2 {
				return connect.NewResponse(&keepwardv1.ChangePointsResponse{}), nil
			}
			return nil, wire.ToConnect(errs.New(errs.Denied, codeUnconfirmed, "call PointService/DeletePoints"))
		})(t.Context(), connect.NewRequest(&keepwardv1.ChangePointsRequest{}))
		if errs.CodeOf(err) != tt.want || calls != tt.calls || questions != tt.questions || len(keys) != 1 || keys[""] {
			t.Errorf("%s: %d calls with keys %v, %d questions, %v", what, calls, keys, questions, err)
		}
	}
}
