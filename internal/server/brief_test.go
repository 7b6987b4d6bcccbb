package server

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/catalog"
	"keepward/internal/errs"
)

// withComputers is a server with n computers that were never connected.
func withComputers(t *testing.T, n int) *testServer {
	t.Helper()
	dir := t.TempDir()
	first := start(t, dir)
	first.stop()
	db, err := catalog.Open(t.Context(), filepath.Join(dir, catalogFile))
	if err != nil {
		t.Fatal(err)
	}
	err = db.Write(t.Context(), func(tx *sql.Tx) error {
		for i := range n {
			if err := catalog.JoinComputer(t.Context(), tx, fmt.Sprintf("c%03d", i), time.Now()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return start(t, dir)
}

// A brief status counts what the whole one lists, and has of its conditions the first few.
func TestABriefStatusCountsWhatIsLeftOut(t *testing.T) {
	s := withComputers(t, 130)
	whole := s.status()
	api := keepwardv1connect.NewStatusServiceClient(s.client, s.url(), as(s.token))
	brief := must(api.GetStatus(t.Context(), connect.NewRequest(&keepwardv1.GetStatusRequest{Brief: true})))(t)
	if len(whole.Computers) != 130 || len(whole.Conditions) != 130 || len(brief.Computers) != 0 || len(brief.Conditions) != briefConditions {
		t.Errorf("%d and %d computers, %d and %d conditions", len(whole.Computers), len(brief.Computers), len(whole.Conditions), len(brief.Conditions))
	}
	for _, one := range []*keepwardv1.GetStatusResponse{whole, brief} {
		if n := one.GetCounts(); n.GetComputers() != 130 || n.GetConditions() != 130 || n.GetErrors() != 0 {
			t.Errorf("it counts %v", n)
		}
		for _, v := range one.GetViews() {
			if want := map[string]int64{viewOffline: 130, viewUnprotected: 130}[v.GetView()]; want != 0 && v.GetComputers() != want {
				t.Errorf("view %s has %d", v.GetView(), v.GetComputers())
			}
		}
	}
}

// Pages follow each other without a gap, and say how many there are in all.
func TestAListOfComputersHasPages(t *testing.T) {
	s := withComputers(t, 25)
	var names []string
	after := ""
	for page := 0; ; page++ {
		res := must(s.computers().ListComputers(t.Context(), connect.NewRequest(&keepwardv1.ListComputersRequest{After: after, Limit: 10, Text: "C0"})))(t)
		if res.GetFound() != 25 || page > 2 {
			t.Fatalf("page %d says that there are %d", page, res.GetFound())
		}
		for _, c := range res.GetComputers() {
			names = append(names, c.GetName())
		}
		if !res.GetMore() {
			break
		}
		after = names[len(names)-1]
	}
	for i, name := range names {
		if name != fmt.Sprintf("c%03d", i) {
			t.Errorf("number %d is %s", i, name)
		}
	}
	if len(names) != 25 {
		t.Errorf("%d computers are listed", len(names))
	}
	one := must(s.computers().ListComputers(t.Context(), connect.NewRequest(&keepwardv1.ListComputersRequest{Text: "C007"})))(t)
	if len(one.GetComputers()) != 1 || one.GetMore() {
		t.Errorf("of one name there are %v", one)
	}
	if _, err := s.computers().ListComputers(t.Context(), connect.NewRequest(&keepwardv1.ListComputersRequest{Limit: -1})); errs.CodeOf(err) != "computer.limit" {
		t.Errorf("a limit of -1: %v", err)
	}
}
