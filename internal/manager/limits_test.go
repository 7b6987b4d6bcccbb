package manager

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
)

func TestLimitsTellNetworkFromTarget(t *testing.T) {
	for name, tc := range map[string]struct {
		c    *keepwardv1.Counters
		want *keepwardv1.Limits
	}{
		"nothing measured": {&keepwardv1.Counters{}, nil},
		"no counters":      {nil, nil},
		"on one host": {
			&keepwardv1.Counters{LimitSourceMillis: 220, LimitCpuMillis: 710, LimitTargetMillis: 70, StoreMillis: 900},
			&keepwardv1.Limits{Source: 22, Cpu: 71, Target: 7},
		},
		"a slow network": {
			&keepwardv1.Counters{LimitCpuMillis: 100, LimitSendMillis: 900, StoreMillis: 100},
			&keepwardv1.Limits{Cpu: 10, Network: 80, Target: 10},
		},
		"a slow target elsewhere": {
			&keepwardv1.Counters{LimitCpuMillis: 100, LimitSendMillis: 900, StoreMillis: 950},
			&keepwardv1.Limits{Cpu: 10, Target: 90},
		},
		"thirds": {
			&keepwardv1.Counters{LimitSourceMillis: 1, LimitCpuMillis: 1, LimitTargetMillis: 1},
			&keepwardv1.Limits{Source: 34, Cpu: 33, Target: 33},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, limits(tc.c), protocmp.Transform()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestEachTaskSaysWhatLimitedIt(t *testing.T) {
	of := func(c *keepwardv1.Counters) catalog.Task {
		return catalog.Task{Progress: &keepwardv1.Progress{Counters: c}}
	}
	s := describe(catalog.Session{}, []catalog.Task{of(&keepwardv1.Counters{LimitCpuMillis: 100}), of(&keepwardv1.Counters{LimitSourceMillis: 300}), of(nil)})
	if l := s.GetTasks(); l[0].GetLimits().GetCpu() != 100 || l[1].GetLimits().GetSource() != 100 || l[2].GetLimits() != nil {
		t.Errorf("the tasks say %v", l)
	}
	if s.GetLimits().GetSource() != 75 || s.GetLimits().GetCpu() != 25 {
		t.Errorf("the session says %v", s.GetLimits())
	}
}
