package config

import (
	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
)

// proofDaysMost: who asks for less often asks for nothing.
const proofDaysMost = 3650

// proofs checks how well the content of a repository is to be proved.
func (f *faults) proofs(r *keepwardv1.Repository) {
	if r.ProofDays < 0 || r.ProofDays > proofDaysMost {
		f.invalid("proof_days", "repository.proofs", "check repository %q: the days within which everything is proved must be 0 (never) to %d, not %d", r.Name, proofDaysMost, r.ProofDays)
	}
	if p := r.ForeignProof; p != "" && p != job.DefaultForeignProof && p != job.ForeignProofArrival && p != job.ForeignProofNever {
		f.invalid("foreign_proof", "repository.proofs", "check repository %q: foreign chunks are proved at %s, %s or %s, not %q", r.Name, job.DefaultForeignProof, job.ForeignProofArrival, job.ForeignProofNever, p)
	}
	if r.Parity < 0 || r.Parity > job.MaxParity {
		f.invalid("parity", "repository.parity", "check repository %q: the parity of its packs must be 0 (none) to %d percent, not %d", r.Name, job.MaxParity, r.Parity)
	}
}
