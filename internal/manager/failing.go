package manager

import (
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

// failing tells that what sessions do cannot be written, so that they stand still: nothing may
// happen that is not written. All else that shows then is its echo, such as nodes that are cut off.
type failing struct{ now atomic.Pointer[writeFailure] }

// writeFailure is how it fails.
type writeFailure struct {
	err   error
	since time.Time
}

// note notes a write that failed.
func (f *failing) note(err error, since time.Time) {
	if old := f.now.Load(); old != nil {
		since = old.since
	}
	f.now.Store(&writeFailure{err, since})
}

// over notes one that did not.
func (f *failing) over() {
	if f.now.Load() != nil {
		f.now.Store(nil)
	}
}

// conditions is that lasting problem, while it lasts.
func (f *failing) conditions() []*keepwardv1.Condition {
	at := f.now.Load()
	if at == nil {
		return nil
	}
	return []*keepwardv1.Condition{{
		Code: "catalog.not-written", Severity: "error", Subject: "server",
		Text: fmt.Sprintf("sessions stand still, since what they do cannot be written: %v", at.err), Hint: errs.HintOf(at.err),
		Since: timestamppb.New(at.since),
	}}
}
