package console

import (
	"testing"

	keepwardv1 "keepward/api/keepward/v1"
)

func TestARepositorySaysWhatItOwesOfProofs(t *testing.T) {
	for _, tt := range []struct {
		of          *keepwardv1.Repository
		debt, proof string
	}{
		{&keepwardv1.Repository{}, "", "no time is set"},
		{&keepwardv1.Repository{ProofDays: 30}, "", ""}, // nothing is there, or known yet
		{&keepwardv1.Repository{ProofDays: 30, Proof: &keepwardv1.ProofState{Packs: 9}}, "", "none: all proved within 30 days"},
		{&keepwardv1.Repository{ProofDays: 30, Proof: &keepwardv1.ProofState{Packs: 9, DuePacks: 2, DueBytes: 2 << 20}}, "2 packs, 2.00 MiB", "not proved within 30 days"},
	} {
		if got := (&view{}).repository(tt.of); got.debt != tt.debt || got.proof != tt.proof {
			t.Errorf("%v: debt %q, proof %q", tt.of, got.debt, got.proof)
		}
	}
}
