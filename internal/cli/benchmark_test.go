package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"keepward/internal/hostbench"
)

// The benchmark runs without a server, on the user's own data, and its JSON has the figures.
func TestBenchmarkNeedsNoServer(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "data"), make([]byte, hostbench.MinSample), 0o600); err != nil {
		t.Fatal(err)
	}
	f := newFake(t)
	got := f.do(t, "benchmark", "--data", dir, "--time", "1ms", "--only", "hash", "--only", "disk, put a small object", "--dir", dir, "-o", "json").want(t, 0)
	var out struct {
		SampleBytes int `json:"sample_bytes"`
		Results     []hostbench.Result
	}
	if err := json.Unmarshal([]byte(got.out), &out); err != nil {
		t.Fatal(err)
	}
	if out.SampleBytes != hostbench.MinSample || len(out.Results) != 2 || out.Results[0].One <= 0 || out.Results[1].Unit != "op/s" {
		t.Errorf("got %+v", out)
	}
	f.do(t, "benchmark", "--time", "0s").want(t, 2)
	f.do(t, "benchmark", "--only", "guess").want(t, 2)
	f.do(t, "benchmark", "--data", filepath.Join(dir, "none")).want(t, 4)
}
