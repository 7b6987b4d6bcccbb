package server

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
)

// checkable refuses an order to check that says nothing sensible.
func checkable(r *keepwardv1.CheckRepositoryRequest) error {
	bad := func(format string, args ...any) *errs.Error {
		return errs.New(errs.Invalid, "check.options", "check repository %q: "+format, append([]any{r.Name}, args...)...)
	}
	budget, older := r.Budget.AsDuration(), r.OlderThan.AsDuration()
	partly := r.Sample != 0 || budget != 0 || older != 0 || r.Rate != 0 || r.ProofDays != 0
	switch {
	case !(r.Sample >= 0 && r.Sample <= 1):
		return bad("the sample must be a share of 0 to 1, not %v", r.Sample)
	case budget < 0, older < 0, r.Rate < 0, r.ProofDays < 0:
		return bad("budget, age, rate and days must not be negative")
	case partly && !r.ReadData:
		return bad("without reading data there is nothing to choose from").WithHint("add --read-data")
	}
	return nil
}

// editProofs applies what is to change of how a repository is proved.
func editProofs(r *keepwardv1.Repository, req *keepwardv1.EditRepositoryRequest) {
	if req.ProofDays != nil {
		r.ProofDays = *req.ProofDays
	}
	if req.ForeignProof != nil {
		r.ForeignProof = *req.ForeignProof
	}
	if req.Parity != nil {
		r.Parity = *req.Parity
	}
}

// proofsOf is a completed repository's proofs as the catalog keeps them.
func proofsOf(r *keepwardv1.Repository) catalog.Proofs {
	return catalog.Proofs{Days: r.ProofDays, Foreign: r.ForeignProof, Parity: r.Parity}
}

// setProofs keeps what was asked for, not the state.
func setProofs(ctx context.Context, tx *sql.Tx, name string, p catalog.Proofs) error {
	if err := catalog.SetProofs(ctx, tx, name, p.Days, p.Foreign); err != nil {
		return err
	}
	return catalog.SetParity(ctx, tx, name, p.Parity)
}

// putProofs puts what is known of a repository's proofs into a message.
func putProofs(r *keepwardv1.Repository, p catalog.Proofs) {
	r.ProofDays, r.ForeignProof, r.Parity, r.Proof = p.Days, p.Foreign, p.Parity, p.State
}

// inspection asks for the figures of a repository as of now.
func (r *repositories) inspection(row catalog.Repository) *keepwardv1.InspectRepositoryRequest {
	return &keepwardv1.InspectRepositoryRequest{
		Path: row.Path, RepositoryId: row.ID[:], Term: r.data.term.Load(), Time: timestamppb.Now(), ProofDays: row.Proofs.Days,
	}
}

// noteProofs keeps what a transport counted.
func (r *repositories) noteProofs(ctx context.Context, row *catalog.Repository, state *keepwardv1.ProofState) {
	if state == nil {
		return // a transport of an older version
	}
	row.Proofs.State = state
	err := r.db.Write(ctx, func(tx *sql.Tx) error { return catalog.NoteProofs(ctx, tx, row.Name, state) })
	if err != nil {
		r.log.Warn("proofs of a repository not saved", "repository", row.Name, "error", err)
	}
}

// keepProved starts the day's check of a repository in which everything is to be proved within
// some days.
func (r *repositories) keepProved(ctx context.Context, row catalog.Repository) {
	if row.Proofs.Days == 0 || row.Proofs.State.GetPacks() == 0 {
		return
	}
	if _, online := r.nodes.Transport(row.Transport); !online {
		return
	}
	started, err := r.manager.KeepProved(ctx, row, time.Now())
	switch {
	case ctx.Err() != nil:
	case err != nil:
		r.log.Error("check that keeps a repository proved not started, will try again", "repository", row.Name, "error", err)
	case started > 0:
		r.log.Info("check that keeps a repository proved started", "repository", row.Name, "session", started)
	}
}

// proofConditions tell of a repository that is damaged, or whose content is not proved as often
// as was asked for.
func proofConditions(row catalog.Repository) (out []*keepwardv1.Condition) {
	st := row.Proofs.State
	if n := st.GetLostChunks(); n > 0 {
		out = append(out, &keepwardv1.Condition{
			Code: "repository.damaged", Severity: severityError, Subject: row.Name,
			Text:  fmt.Sprintf("%d chunks of repository %s are damaged and lie nowhere else", n, row.Name),
			Hint:  fmt.Sprintf("keepward repository check %s names the files; run their jobs with --full: what is still there is stored again", row.Name),
			Since: timestamp(row.Figures.Looked),
		})
	}
	if row.Proofs.Days == 0 || st.GetDuePacks() == 0 {
		return out
	}
	return append(out, &keepwardv1.Condition{
		Code: "repository.proof-debt", Severity: severityWarning, Subject: row.Name,
		Text: fmt.Sprintf("%d of %d packs of repository %s (%d of %d bytes) were not proved within %d days",
			st.GetDuePacks(), st.GetPacks(), row.Name, st.GetDueBytes(), st.GetBytes(), row.Proofs.Days),
		Hint:  fmt.Sprintf("keepward repository check %s --read-data --older-than %dd, or allow more days", row.Name, row.Proofs.Days),
		Since: timestamp(row.Figures.Looked),
	})
}
