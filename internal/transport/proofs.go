package transport

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/repo"
)

// proofState counts how well a repository is proved, by the server's clock.
func proofState(ctx context.Context, r *repo.Repository, req *keepwardv1.InspectRepositoryRequest) (*keepwardv1.ProofState, error) {
	var since time.Time // none is due
	if days := req.GetProofDays(); days > 0 && req.GetTime() != nil {
		since = req.GetTime().AsTime().AddDate(0, 0, -int(days))
	}
	st, err := r.ProofState(ctx, since)
	if err != nil {
		return nil, err
	}
	out := &keepwardv1.ProofState{
		Packs: st.Packs, Bytes: st.Bytes, ProvedPacks: st.ProvedPacks, ProvedBytes: st.ProvedBytes,
		DuePacks: st.DuePacks, DueBytes: st.DueBytes, DamagedPacks: st.DamagedPacks, LostChunks: st.LostChunks,
	}
	if !st.Oldest.IsZero() {
		out.Oldest = timestamppb.New(st.Oldest)
	}
	return out, nil
}
