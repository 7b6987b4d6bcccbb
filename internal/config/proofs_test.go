package config

import (
	"testing"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

func TestProofsOfARepositoryAreChecked(t *testing.T) {
	for _, c := range []struct {
		days    int32
		foreign string
		bad     string
	}{
		{0, "", ""},
		{30, "first-use", ""},
		{3650, "never", ""},
		{-1, "", "proof_days"},
		{3651, "", "proof_days"},
		{30, "always", "foreign_proof"},
	} {
		r := &keepwardv1.Repository{Name: "main", ProofDays: c.days, ForeignProof: c.foreign}
		CompleteRepository(r)
		faults := CheckLimits(r)
		switch {
		case c.bad == "" && len(faults) > 0, c.bad != "" && (len(faults) != 1 || faults[0].Field != c.bad || faults[0].Err.Kind != errs.Invalid):
			t.Errorf("%+v: %v", c, faults)
		}
	}
}
