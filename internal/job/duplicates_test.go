package job_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/job"
)

func TestDuplicatesOfAJob(t *testing.T) {
	none, incremental, full := []job.Twin(nil), []job.Twin{{Session: 7}}, []job.Twin{{Session: 8, Full: true}}
	both := []job.Twin{{Session: 8, Full: true}, {Session: 7}}
	for _, tt := range []struct {
		policy  string
		full    bool
		twins   []job.Twin
		refused int64
		cancel  []int64
	}{
		{job.DuplicatesAllow, true, both, 0, nil},
		{job.DuplicatesQueue, false, both, 0, nil},
		{job.DuplicatesCancelNew, true, none, 0, nil},
		{job.DuplicatesCancelNew, true, incremental, 7, nil},
		{job.DuplicatesCancelRunning, false, none, 0, nil},
		{job.DuplicatesCancelRunning, false, both, 0, []int64{8, 7}},
		{job.DuplicatesCancelLower, false, none, 0, nil},
		{job.DuplicatesCancelLower, false, full, 8, nil},
		{job.DuplicatesCancelLower, false, incremental, 0, nil},
		{job.DuplicatesCancelLower, true, incremental, 0, []int64{7}},
		{job.DuplicatesCancelLower, true, full, 0, nil},
		{job.DuplicatesCancelLower, true, both, 0, []int64{7}},
		{job.DuplicatesCancelLower, false, both, 8, nil},
	} {
		refused, cancel := job.JudgeDuplicate(tt.policy, tt.full, tt.twins)
		if d := cmp.Diff(tt.cancel, cancel); d != "" || refused != tt.refused {
			t.Errorf("%s, full %v, beside %v: refused for %d, want %d; cancels (-want +got):\n%s", tt.policy, tt.full, tt.twins, refused, tt.refused, d)
		}
	}
	if !slices.Contains(job.DuplicatePolicies, job.DefaultDuplicates) || len(job.DuplicatePolicies) != 5 {
		t.Errorf("policies: %q, by default %q", job.DuplicatePolicies, job.DefaultDuplicates)
	}
}
