package node

import (
	"context"
	"log/slog"
	"testing"

	"keepward/internal/errs"
)

// A report that the server refuses for good must not take the link with it, again and again, and
// with the link all that the node does for others.
func TestAReportThatIsRefusedForGoodIsAnswered(t *testing.T) {
	r := &Reporter{log: slog.New(slog.DiscardHandler)}
	for code, kind := range map[string]errs.Kind{"attempt.stranger": errs.Denied, "attempt.end": errs.Invalid, "session.unknown": errs.NotFound} {
		if err := r.call(t.Context(), func(context.Context) error { return errs.New(kind, code, "no") }); err != nil {
			t.Errorf("%s ends the link: %v", code, err)
		}
	}
	for code, kind := range map[string]errs.Kind{"access.link": errs.Denied, "server.starting": errs.Unavailable, "": errs.Internal} {
		if err := r.call(t.Context(), func(context.Context) error { return errs.New(kind, code, "not now") }); err == nil {
			t.Errorf("%q is taken for an answer", code)
		}
	}
}
