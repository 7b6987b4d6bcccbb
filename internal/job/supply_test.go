package job_test

import (
	"testing"

	"keepward/internal/job"
)

func TestLeastCharge(t *testing.T) {
	for text, want := range map[string]int{"": 0, "run": 0, "wait": job.OnlyMains, "1%": 1, "30%": 30, "100%": 100} {
		if got, err := job.LeastCharge(text); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"30", "0%", "101%", "-5%", "%", "x%", "5.5%", "Run", "30 %", "never"} {
		if got, err := job.LeastCharge(text); err == nil {
			t.Errorf("%q is taken as %d", text, got)
		}
	}
	if n, err := job.LeastCharge(job.DefaultOnBattery); err != nil || n == 0 {
		t.Errorf("the default: %d, %v", n, err)
	}
}
