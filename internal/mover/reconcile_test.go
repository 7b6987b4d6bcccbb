package mover

import (
	"testing"

	keepwardv1 "keepward/api/keepward/v1"
)

func TestReconcilingNamesWhatOnlyOneSideKnows(t *testing.T) {
	task := sweepTask(t, &keepwardv1.SweepOrder{})
	end := &keepwardv1.AttemptEnd{}
	if err := task.reconcile(t.Context(), end); err != nil {
		t.Fatal(err)
	}
	if c := end.GetCheck(); c.GetPacks() == 0 || c.GetSegments() == 0 || len(c.GetFindings()) > 0 {
		t.Errorf("of a repository that is whole it says %v", c)
	}
	if err := task.repo.Backend().Put(t.Context(), "README", []byte("mine")); err != nil {
		t.Fatal(err)
	}
	end = &keepwardv1.AttemptEnd{}
	if err := task.reconcile(t.Context(), end); err != nil {
		t.Fatal(err)
	}
	f := end.GetCheck().GetFindings()
	if len(f) != 1 || f[0].GetCode() != "file.stranger" || f[0].GetRepaired() == "" {
		t.Errorf("the findings are %v", f)
	}
	if c := task.progress().GetCounters(); c.GetWarnings() != 1 || c.GetErrors() != 0 {
		t.Errorf("the counters are %v", c)
	}
}
