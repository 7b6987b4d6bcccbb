package wire

import (
	"errors"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

func TestEveryKindSurvivesTheWire(t *testing.T) {
	for kind, code := range codes {
		in := errs.New(kind, "a.code", "open %s: no", "x").WithHint("do that")
		out := FromConnect(ToConnect(in))
		if errs.KindOf(out) != kind || errs.CodeOf(out) != "a.code" || errs.HintOf(out) != "do that" || out.Error() != in.Error() {
			t.Errorf("%s became %v (kind %s)", kind, out, errs.KindOf(out))
		}
		if got := connect.CodeOf(ToConnect(in)); got != code {
			t.Errorf("%s has Connect code %s, want %s", kind, got, code)
		}
		if kinds[code] != kind && kind != errs.Internal {
			t.Errorf("%s comes back as %s from a client that knows no Failure", kind, kinds[code])
		}
	}
}

func TestErrorsWithoutAFailureGetTheirKind(t *testing.T) {
	tests := []struct {
		err  error
		kind errs.Kind
	}{
		{connect.NewError(connect.CodeUnauthenticated, errors.New("no token")), errs.Denied},
		{connect.NewError(connect.CodeUnimplemented, errors.New("no such call")), errs.Internal},
		{connect.NewError(connect.CodeDeadlineExceeded, errors.New("late")), errs.Unavailable},
		{ToConnect(errors.New("a plain one")), errs.Internal},
	}
	for _, tt := range tests {
		if got := errs.KindOf(FromConnect(tt.err)); got != tt.kind {
			t.Errorf("%v: kind %s, want %s", tt.err, got, tt.kind)
		}
	}
	if ToConnect(nil) != nil || FromConnect(nil) != nil || ToFailure(nil, "") != nil || FromFailure(nil) != nil {
		t.Error("nil became an error")
	}
}

func TestAFailureNamesItsPart(t *testing.T) {
	got := ToFailure(errs.New(errs.Corrupt, "c", "m").WithHint("h"), "mover")
	want := &keepwardv1.Failure{Kind: "corrupt", Code: "c", Message: "m", Hint: "h", Part: "mover"}
	if diff := cmp.Diff(want.String(), got.String()); diff != "" {
		t.Error(diff)
	}
	if err := FromFailure(&keepwardv1.Failure{Kind: "of a later version", Message: "m"}); errs.KindOf(err) != errs.Internal {
		t.Errorf("an unknown kind became %s", errs.KindOf(err))
	}
}
