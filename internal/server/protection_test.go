package server

import (
	"fmt"
	"testing"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
)

func TestDaysOfComputersAreAskedForInWords(t *testing.T) {
	s := divided(t)
	client := keepwardv1connect.NewProtectionServiceClient(s.client, s.url(), as(s.token))
	ask := func(m *keepwardv1.ListProtectionDaysRequest) (*keepwardv1.ListProtectionDaysResponse, error) {
		res, err := client.ListProtectionDays(t.Context(), connect.NewRequest(m))
		if err != nil {
			return nil, err
		}
		return res.Msg, nil
	}
	today := time.Now().UTC()
	for _, m := range []*keepwardv1.ListProtectionDaysRequest{
		{Last: "yesterday"}, {Last: today.AddDate(0, 0, 2).Format(time.DateOnly)}, {Last: "2019-01-01"}, {Days: -1}, {Days: 401}, {Limit: -1}, {Offset: -1},
	} {
		if _, err := ask(m); errs.CodeOf(err) != "computer.days" {
			t.Errorf("%v: %v", m, err)
		}
	}
	if _, err := ask(&keepwardv1.ListProtectionDaysRequest{Computer: "nobody"}); errs.KindOf(err) != errs.NotFound {
		t.Errorf("of nobody: %v", err)
	}
	if _, err := ask(&keepwardv1.ListProtectionDaysRequest{Group: "nothing"}); errs.KindOf(err) != errs.NotFound {
		t.Errorf("of no group: %v", err)
	}
	for _, tt := range []struct {
		of   *keepwardv1.ListProtectionDaysRequest
		want string
	}{
		{&keepwardv1.ListProtectionDaysRequest{Computer: "web2", Days: 3}, "1 web2 3"},
		{&keepwardv1.ListProtectionDaysRequest{Group: "web", Days: 400, Limit: 1}, "2 web1 400"},
		{&keepwardv1.ListProtectionDaysRequest{Group: "web", Computer: "secret1"}, "0"},
	} {
		res, err := ask(tt.of)
		if err != nil {
			t.Fatalf("%v: %v", tt.of, err)
		}
		got := fmt.Sprint(res.GetFound())
		for _, c := range res.GetComputers() {
			got += fmt.Sprintf(" %s %d", c.GetComputer(), len(c.GetResults()))
		}
		if got != tt.want {
			t.Errorf("%v: %s, want %s", tt.of, got, tt.want)
		}
	}
}
