package console

import (
	"strings"
	"testing"

	keepwardv1 "keepward/api/keepward/v1"
)

func TestSharesOfWhatLimitedASessionAreDrawnWithTheirText(t *testing.T) {
	s := fakeSession()
	s.Limits = &keepwardv1.Limits{Source: 22, Cpu: 71, Target: 7}
	s.Tasks = []*keepwardv1.Task{
		{Computer: "web1", Limits: &keepwardv1.Limits{Cpu: 100}},
		{Computer: hostile, Limits: &keepwardv1.Limits{Network: 150}}, // of a server that cannot count
		{Computer: "none"},
	}
	list := limitedOf(s)
	if len(list) != 3 || list[0].says != "Limited by: CPU 71 %, source 22 %, target 7 %" || len(list[0].shares) != 3 {
		t.Fatalf("it shows %+v", list)
	}
	if last := list[0].shares[2]; last.at != 93 || last.percent != 7 {
		t.Errorf("the last share is %+v", last)
	}
	if list[2].shares[0].percent != 100 {
		t.Errorf("a share is %+v", list[2].shares[0])
	}
	var out strings.Builder
	if err := limitedPart(list).Render(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CPU 71 %", `width="71"`, "web1"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it lacks %s:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "<script>") {
		t.Error("a name is markup")
	}
	if got := limitedOf(&keepwardv1.Session{Tasks: []*keepwardv1.Task{{}}}); len(got) != 0 {
		t.Errorf("of nothing measured it shows %+v", got)
	}
}
