package server

import (
	"context"
	"math"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

// provingTransport tells of packs that are not proved.
type provingTransport struct{ *fakeTransport }

func (p provingTransport) InspectRepository(ctx context.Context, req *connect.Request[keepwardv1.InspectRepositoryRequest]) (*connect.Response[keepwardv1.InspectRepositoryResponse], error) {
	res, err := p.fakeTransport.InspectRepository(ctx, req)
	if err != nil {
		return nil, err
	}
	res.Msg.Proof = &keepwardv1.ProofState{Packs: 9, Bytes: 900}
	if req.Msg.ProofDays > 0 && req.Msg.Time != nil {
		res.Msg.Proof.DuePacks, res.Msg.Proof.DueBytes = 2, 200
	}
	return res, nil
}

// Who asks for everything within some days gets a check every day, and is told what is overdue.
func TestARepositoryIsKeptProved(t *testing.T) {
	s, f, n := withTransportLink(t)
	_ = n.link.Close()
	mux := http.NewServeMux()
	mux.Handle(keepwardv1connect.NewTransportServiceHandler(provingTransport{f}, connect.WithInterceptors(wire.Errors())))
	s.join(wire.RoleTransport, "t1", mux)
	if _, err := s.createRepository("main", "t1", "/srv/main"); err != nil {
		t.Fatal(err)
	}
	if got := codes(s.status().Conditions); got != "repository.recovery-key main" {
		t.Errorf("nobody asked: %s", got)
	}
	days, never, parity := int32(30), "never", int32(5)
	edit := func(req *keepwardv1.EditRepositoryRequest) (*keepwardv1.Repository, error) {
		req.Name = "main"
		res, err := s.repositories().EditRepository(t.Context(), connect.NewRequest(req))
		if err != nil {
			return nil, err
		}
		return res.Msg.Repository, nil
	}
	r, err := edit(&keepwardv1.EditRepositoryRequest{ProofDays: &days, ForeignProof: &never, Parity: &parity})
	if err != nil || r.ProofDays != 30 || r.ForeignProof != "never" || r.Parity != 5 {
		t.Fatalf("%v, %v", r, err)
	}
	if r, err = edit(&keepwardv1.EditRepositoryRequest{ProofDays: &days}); err != nil || r.Parity != 5 {
		t.Fatalf("what is not named stays: %v, %v", r, err)
	}
	waitFor(t, func() bool { return len(s.status().Active) > 0 })
	if a := s.status().Active[0]; a.Type != "verify" || a.User != "proofs" || a.Repository != "main" {
		t.Errorf("session %v", a)
	}
	waitFor(t, func() bool {
		return codes(s.status().Conditions) == "repository.recovery-key main, repository.proof-debt main"
	})
	bad := int32(-1)
	if _, err := edit(&keepwardv1.EditRepositoryRequest{ProofDays: &bad}); errs.CodeOf(err) != "repository.proofs" {
		t.Errorf("%v", err)
	}
}

func TestChecksThatSayNothingSensibleAreRefused(t *testing.T) {
	hour := durationpb.New(time.Hour)
	for _, c := range []struct {
		r    *keepwardv1.CheckRepositoryRequest
		good bool
	}{
		{&keepwardv1.CheckRepositoryRequest{}, true},
		{&keepwardv1.CheckRepositoryRequest{ReadData: true, Sample: 1, Budget: hour, OlderThan: hour, Rate: 1}, true},
		{&keepwardv1.CheckRepositoryRequest{Sample: 0.5}, false},
		{&keepwardv1.CheckRepositoryRequest{Budget: hour}, false},
		{&keepwardv1.CheckRepositoryRequest{ReadData: true, Sample: 1.1}, false},
		{&keepwardv1.CheckRepositoryRequest{ReadData: true, Sample: math.NaN()}, false},
		{&keepwardv1.CheckRepositoryRequest{ReadData: true, Budget: durationpb.New(-1)}, false},
		{&keepwardv1.CheckRepositoryRequest{ReadData: true, Rate: -1}, false},
	} {
		if err := checkable(c.r); (err == nil) != c.good || err != nil && errs.KindOf(err) != errs.Invalid {
			t.Errorf("%v: %v", c.r, err)
		}
	}
}
