package mover

import (
	"context"
	"fmt"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/repo"
)

// reconcile compares index and directory of the repository, and reports what only one of them
// knows. Nothing of it is damage by itself: every finding is a warning.
func (t *task) reconcile(ctx context.Context, end *keepwardv1.AttemptEnd) error {
	t.enter("reconcile")
	report, err := t.repo.Reconcile(ctx, repo.CheckOptions{Scratch: t.order.GetDirectory()})
	if err != nil {
		return err
	}
	end.Check = toReport(&report)
	t.events.add("info", "reconcile.done", fmt.Sprintf("compared %d packs with %d index segments: %d differences",
		report.Packs, report.Segments, int64(len(report.Findings))+report.MoreFindings))
	for i, f := range end.GetCheck().GetFindings() {
		t.count(func(c *keepwardv1.Counters) { c.Warnings++ })
		if i < maxEvents/2 {
			t.events.add("warning", f.GetCode(), findingText(f))
		}
	}
	return nil
}
