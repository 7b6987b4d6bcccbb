package errs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"
)

func TestKindOfIsTheOutermostMark(t *testing.T) {
	base := New(Corrupt, "x.y", "read pack %s: %w", "p1", fs.ErrNotExist)
	for _, tc := range []struct {
		err  error
		want Kind
	}{
		{nil, ""},
		{base, Corrupt},
		{fmt.Errorf("open: %w", base), Corrupt},
		{New(Denied, "", "no: %w", base), Denied},
		{context.Canceled, Cancelled},
		{context.DeadlineExceeded, Unavailable},
		{&fs.PathError{Op: "write", Path: "f", Err: syscall.ENOSPC}, NoSpace},
		{fmt.Errorf("a: %w", fs.ErrNotExist), NotFound},
		{errors.New("plain"), Internal},
	} {
		if got := KindOf(tc.err); got != tc.want {
			t.Errorf("KindOf(%v) = %q, want %q", tc.err, got, tc.want)
		}
	}
	if !errors.Is(base, fs.ErrNotExist) || base.Error() != "read pack p1: file does not exist" {
		t.Errorf("cause or text lost: %v", base)
	}
}

func TestHintsAreFoundBelowAndDoNotChangeTheOriginal(t *testing.T) {
	base := New(NotFound, "job.unknown", "job %q is unknown", "docs")
	hinted := base.WithHint("did you mean %s?", "doc")
	if HintOf(base) != "" || HintOf(New(Internal, "", "run: %w", hinted)) != "did you mean doc?" || CodeOf(hinted) != "job.unknown" {
		t.Errorf("hints: %q, %q", HintOf(base), HintOf(hinted))
	}
}
