package manager

import (
	"errors"
	"slices"
	"testing"

	keepwardv1 "keepward/api/keepward/v1"
)

// Each computer has an end of its own: one whose agent is away, or too old, keeps nobody waiting.
func TestADryRunTellsOfEachComputerWhyThereIsNone(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		var got []string
		j := &keepwardv1.Job{Computers: []string{"web1", "gone"}}
		err := w.m.DryRun(t.Context(), j, j.Computers, func(r *keepwardv1.DryRunResponse) error {
			got = append(got, r.GetComputer()+" "+r.GetFailure().GetCode())
			return nil
		})
		slices.Sort(got)
		if err != nil || !slices.Equal(got, []string{"gone agent.offline", "web1 dry-run.old-agent"}) {
			t.Errorf("%v, %v", got, err)
		}
		hungUp := errors.New("nobody listens")
		if err := w.m.DryRun(t.Context(), j, j.Computers, func(*keepwardv1.DryRunResponse) error { return hungUp }); !errors.Is(err, hungUp) {
			t.Errorf("error %v", err)
		}
	})
}
