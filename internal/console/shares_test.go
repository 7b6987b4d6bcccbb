package console

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
)

func TestProofsAreABarFromTheYoungestToWhatNeverWasProved(t *testing.T) {
	within := func(d time.Duration, bytes int64) *keepwardv1.ProofAge {
		return &keepwardv1.ProofAge{Within: durationpb.New(d), Bytes: bytes}
	}
	bar, ok := proofBar([]*keepwardv1.ProofAge{within(24*time.Hour, 333), within(7*24*time.Hour, 0), within(30*24*time.Hour, 333), {Bytes: 1}, {Never: true, Bytes: 333}})
	if !ok || bar.says != "Proved: within 1d 33 %, within 30d 33 %, longer ago 0 %, never 34 %" {
		t.Fatalf("it says %q (%v)", bar.says, ok)
	}
	var got []string
	end := 0
	for _, s := range bar.shares {
		got = append(got, s.class)
		if s.at != end {
			t.Errorf("%s begins at %d, behind %d", s.name, s.at, end)
		}
		end = s.at + s.percent
	}
	if strings.Join(got, " ") != "proved-1 proved-3 proved-never" || end != 100 {
		t.Errorf("it draws %v up to %d", got, end)
	}
	if _, ok := proofBar([]*keepwardv1.ProofAge{{Never: true}}); ok {
		t.Error("nothing is drawn of nothing")
	}
	huge, _ := proofBar([]*keepwardv1.ProofAge{within(time.Hour, 1<<62), {Never: true, Bytes: 1<<62 - 1}})
	if len(huge.shares) != 2 || huge.shares[0].percent != 50 {
		t.Errorf("of very much it draws %+v", huge.shares)
	}
	long, _ := proofBar([]*keepwardv1.ProofAge{within(1, 1), within(2, 1), within(3, 1), within(4, 1), within(5, 1), within(6, 1)}) // of a newer server
	if len(long.shares) != 6 || long.shares[5].class != "proved-4" {
		t.Errorf("of many ages it draws %+v", long.shares)
	}
}
