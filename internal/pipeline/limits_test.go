package pipeline

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLimitingNamesWhatIsScarce(t *testing.T) {
	for name, tc := range map[string]struct {
		places []place
		asking bool
		want   heldUp
	}{
		"all processors compute":            {[]place{atCPU, atCPU, atStore, atSource}, false, heldUp{cpu: 1}},
		"more than all compute":             {[]place{atCPU, atCPU, atCPU, atRest}, true, heldUp{cpu: 1}},
		"one reads, the others wait for it": {[]place{atSource, atRest, atRest}, true, heldUp{source: 1}},
		"one computes alone":                {[]place{atCPU, atRest, atRest}, false, heldUp{cpu: 1}},
		"all wait for the mover":            {[]place{atStore, atStore, atRest}, false, heldUp{store: 1}},
		"reader and mover":                  {[]place{atSource, atStore, atRest}, false, heldUp{source: 0.5, store: 0.5}},
		"nobody, answers are due":           {[]place{atRest, atRest}, true, heldUp{store: 1}},
		"nobody, nothing is due":            {[]place{atRest, atRest}, false, heldUp{source: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, limiting(tc.places, 2, tc.asking), cmp.AllowUnexported(heldUp{})); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestSeatGoesBackToWhereItWas(t *testing.T) {
	var s seat
	s.be(atCPU)
	back := s.during(atSource)
	if got := place(s.at.Load()); got != atSource {
		t.Errorf("during reading it is at %d", got)
	}
	back()
	if got := place(s.at.Load()); got != atCPU {
		t.Errorf("after reading it is at %d", got)
	}
}
