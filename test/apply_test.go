package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What export writes, apply takes: nothing changes. A changed document changes that.
func TestExportAppliesAndIsStable(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1")
	f.createJob("docs", "web1", []string{"/etc"}, "--exclude", "*.tmp", "--schedule", "daily 22:00")
	first := f.do("export").Stdout
	if second := f.do("export").Stdout; second != first {
		t.Errorf("two exports differ:\n%s\n%s", first, second)
	}
	file := filepath.Join(f.Dir, "all.yaml")
	f.must(os.WriteFile(file, []byte(first), 0o600))
	f.do("apply", "-f", file)
	if after := f.do("export").Stdout; after != first {
		t.Errorf("apply of an export changed it:\n%s\n%s", first, after)
	}

	f.must(os.WriteFile(file, []byte(strings.Replace(first, "daily 22:00", "daily 23:30", 1)), 0o600))
	f.do("apply", "-f", file, "--dry-run")
	if after := f.do("export").Stdout; after != first {
		t.Errorf("a dry run changed the configuration:\n%s", after)
	}
	f.do("apply", "-f", file)
	if after := f.do("export").Stdout; !strings.Contains(after, "daily 23:30") {
		t.Errorf("apply did not change the schedule:\n%s", after)
	}
}

// A fault in a document: file, line and field are said, and nothing is applied, not
// even what is right.
func TestApplyNamesLineAndField(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1")
	f.createJob("docs", "web1", []string{"/etc"})
	before := f.do("export").Stdout
	job, err := documentOf(before, "docs")
	if err != nil {
		t.Fatal(err)
	}
	good := strings.ReplaceAll(job, "docs", "good")

	for _, c := range []struct {
		name, from, to, field string
	}{
		{"unknown field", "repository: main", "repositry: main", "repositry"},
		{"reference to nothing", "repository: main", "repository: nain", "repository"},
		{"wrong type", "repository: main", "repository: [main]", "repository"},
		{"unknown kind", "kind: job", "kind: jobb", "kind"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := *f
			f.t = t
			bad := strings.Replace(strings.ReplaceAll(job, "docs", "bad"), c.from, c.to, 1)
			if !strings.Contains(strings.ToLower(bad), c.to) {
				t.Fatalf("the export does not have %q:\n%s", c.from, job)
			}
			text := good + "---\n" + bad
			file := filepath.Join(f.Dir, "bad.yaml")
			f.must(os.WriteFile(file, []byte(text), 0o600))
			line := 1 + strings.Count(text[:strings.Index(text, c.to)], "\n")
			f.fails(exitUsage, []string{c.field, "bad.yaml:" + itoa(line)}, "apply", "-f", file)
			if after := f.do("export").Stdout; after != before {
				t.Errorf("something was applied:\n%s", after)
			}
		})
	}
}

// documentOf is the document of one job in an export.
func documentOf(export, job string) (string, error) {
	for doc := range strings.SplitSeq(export, "---\n") {
		if strings.Contains(doc, "kind: job") && strings.Contains(doc, "name: "+job+"\n") {
			return doc, nil
		}
	}
	return "", fmt.Errorf("the export has no job %s:\n%s", job, export)
}
