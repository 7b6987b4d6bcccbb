package cli

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

func TestSharesAndSizesAreReadAsPeopleWriteThem(t *testing.T) {
	for in, want := range map[string]float64{"10%": 0.1, "10": 0.1, "100%": 1, "0.5 %": 0.005} {
		var s share
		if err := s.Set(in); err != nil || float64(s) != want {
			t.Errorf("%s: %v, %v", in, s, err)
		}
	}
	for _, in := range []string{"", "%", "0%", "-1%", "101%", "ten", "NaN"} {
		var s share
		if err := s.Set(in); err == nil {
			t.Errorf("%q is taken as %v", in, float64(s))
		}
	}
	for in, want := range map[string]int64{"1": 1, "500k": 500 << 10, "50M": 50 << 20, "50MB": 50 << 20, "1GiB": 1 << 30} {
		var b byteSize
		if err := b.Set(in); err != nil || int64(b) != want {
			t.Errorf("%s: %v, %v", in, int64(b), err)
		}
	}
	for _, in := range []string{"", "M", "0", "-1M", "1X", "1Mi", "1.5M", "99999999999999G"} {
		var b byteSize
		if err := b.Set(in); err == nil {
			t.Errorf("%q is taken as %d", in, int64(b))
		}
	}
}

func TestARepositoryShowsHowWellItIsProved(t *testing.T) {
	a := testApp(nil, "")
	text := func(r *keepwardv1.Repository) string { return strings.Join(a.proofFields(r), " ") }
	if got := text(&keepwardv1.Repository{ForeignProof: "first-use"}); !strings.Contains(got, "not asked for") {
		t.Error(got)
	}
	got := text(&keepwardv1.Repository{ProofDays: 30, Proof: &keepwardv1.ProofState{
		Packs: 10, Bytes: 10 << 30, ProvedPacks: 4, ProvedBytes: 4 << 30, DuePacks: 2, DueBytes: 2 << 30, DamagedPacks: 1, Oldest: timestamppb.Now(),
	}})
	for _, want := range []string{"within 30 days", "4.00 GiB of 10", "2 packs, 2.00 GiB", "packs with damage 1", "oldest proof"} {
		if !strings.Contains(got, want) {
			t.Errorf("it does not say %q: %s", want, got)
		}
	}
}
