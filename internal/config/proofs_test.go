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
		parity  int32
		bad     string
	}{
		{0, "", 0, ""},
		{30, "first-use", 1, ""},
		{30, "arrival", 25, ""},
		{3650, "never", 0, ""},
		{-1, "", 0, "proof_days"},
		{3651, "", 0, "proof_days"},
		{30, "always", 0, "foreign_proof"},
		{0, "", -1, "parity"},
		{0, "", 26, "parity"},
	} {
		r := &keepwardv1.Repository{Name: "main", ProofDays: c.days, ForeignProof: c.foreign, Parity: c.parity}
		CompleteRepository(r)
		faults := CheckLimits(r)
		switch {
		case c.bad == "" && len(faults) > 0, c.bad != "" && (len(faults) != 1 || faults[0].Field != c.bad || faults[0].Err.Kind != errs.Invalid):
			t.Errorf("%+v: %v", c, faults)
		}
	}
}
