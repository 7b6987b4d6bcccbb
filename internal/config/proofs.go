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
	if p := r.ForeignProof; p != "" && p != job.DefaultForeignProof && p != job.ForeignProofNever {
		f.invalid("foreign_proof", "repository.proofs", "check repository %q: foreign chunks are proved at %s or %s, not %q", r.Name, job.DefaultForeignProof, job.ForeignProofNever, p)
	}
}
