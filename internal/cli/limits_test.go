package cli

import (
	"testing"

	keepwardv1 "keepward/api/keepward/v1"
)

func TestLimitedByNamesTheMostFirst(t *testing.T) {
	for want, l := range map[string]*keepwardv1.Limits{
		"CPU 71 %, source 22 %, target 7 %": {Source: 22, Cpu: 71, Target: 7},
		"network 100 %":                     {Network: 100},
		"":                                  nil,
	} {
		if got := limitedBy(l); got != want {
			t.Errorf("%v reads %q, want %q", l, got, want)
		}
	}
}
