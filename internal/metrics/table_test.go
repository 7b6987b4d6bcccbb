package metrics

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "rewrite docs/reference/metrics.md")

// TestDocumentationPrintsTheTable holds docs/reference/metrics.md to the program:
// go test ./internal/metrics -run Documentation -update writes it anew.
func TestDocumentationPrintsTheTable(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "reference", "metrics.md")
	want := reference()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("metrics.md differs from the table; run this test with -update (-table +page):\n%s", d)
	}
}

func reference() []byte {
	var b bytes.Buffer
	b.WriteString("# Metrics\n\nPrinted from the table in `internal/metrics` by its test; do not edit by hand. How to scrape them: " +
		"[operator/monitoring.md](../operator/monitoring.md).\nBesides these there are the `go_…` and `process_…` metrics of every program in Go.\n\n" +
		"| metric | kind | labels | what | series |\n|---|---|---|---|---|\n")
	for _, m := range Table {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", m.Name, m.Kind, strings.Join(m.Labels, ", "), m.Help, m.Series)
	}
	return b.Bytes()
}

func TestNamesFollowTheConventions(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range Table {
		if seen[m.Name] {
			t.Errorf("%s is there twice", m.Name)
		}
		seen[m.Name] = true
		if !regexp.MustCompile(`^keepward_[a-z]+(_[a-z]+)*$`).MatchString(m.Name) {
			t.Errorf("%s: not a name of ours", m.Name)
		}
		if total := strings.HasSuffix(m.Name, "_total"); total != (m.Kind == Counter) {
			t.Errorf("%s is a %s", m.Name, m.Kind)
		}
		if m.Help == "" || !strings.HasSuffix(m.Help, ".") || m.Series == "" {
			t.Errorf("%s: help %q, series %q", m.Name, m.Help, m.Series)
		}
		// Prometheus gives each series these of its own.
		if slices.Contains(m.Labels, "job") || slices.Contains(m.Labels, "instance") {
			t.Errorf("%s: labels %v", m.Name, m.Labels)
		}
	}
}

func TestDashboardAndRulesNameOnlyMetricsThatExist(t *testing.T) {
	names := map[string]bool{}
	for _, m := range Table {
		names[m.Name] = true
		if m.Kind == Histogram {
			for _, part := range []string{"_bucket", "_sum", "_count"} {
				names[m.Name+part] = true
			}
		}
	}
	// What no panel and no rule shows is told to nobody.
	shown := map[string]bool{}
	for path, read := range map[string]func([]byte, any) error{
		"grafana/keepward.json":              json.Unmarshal,
		"prometheus/keepward.rules.yml":      yaml.Unmarshal,
		"prometheus/keepward.rules.test.yml": yaml.Unmarshal,
	} {
		text, err := os.ReadFile(filepath.Join("..", "..", "packaging", path))
		if err != nil {
			t.Fatal(err)
		}
		var any map[string]any
		if err := read(text, &any); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		found := regexp.MustCompile(`keepward_[a-z_]+`).FindAllString(string(text), -1)
		if len(found) == 0 {
			t.Errorf("%s names no metric", path)
		}
		for _, name := range found {
			shown[name] = true
			if !names[name] {
				t.Errorf("%s: there is no metric %s", path, name)
			}
		}
	}
	for _, name := range []string{"keepward_ready", "keepward_job_success_due_timestamp_seconds", "keepward_repository_proof_due_bytes"} {
		if !shown[name] {
			t.Errorf("nothing shows %s", name)
		}
	}
}
