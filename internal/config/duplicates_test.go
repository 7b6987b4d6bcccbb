package config

import (
	"testing"

	"keepward/internal/errs"
	"keepward/internal/job"
)

func TestDuplicatesAreOneOfThePolicies(t *testing.T) {
	for policy, code := range map[string]string{
		"": "", "sometimes": "job.duplicates", "Queue": "job.duplicates",
		job.DuplicatesAllow: "", job.DuplicatesQueue: "", job.DuplicatesCancelNew: "", job.DuplicatesCancelLower: "", job.DuplicatesCancelRunning: "",
	} {
		j := goodJob()
		j.Duplicates = policy
		if err := Error(CheckJob(j, site)); errs.CodeOf(err) != code {
			t.Errorf("duplicates %q: %v, want %q", policy, err, code)
		}
	}
}
