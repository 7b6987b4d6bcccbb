package test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/test/site"
)

// filesIn makes files with some content below dir.
func filesIn(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, n := range names {
		p := filepath.Join(dir, n)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(strings.Repeat(n, 100)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// dryRuns reads what job dry-run has printed, by computer.
func (f *fleet) dryRuns(r site.Result) map[string]*keepwardv1.DryRunResponse {
	f.t.Helper()
	var m keepwardv1.DryRuns
	if err := protojson.Unmarshal([]byte(r.Stdout), &m); err != nil {
		f.t.Fatalf("%v: %s", err, r)
	}
	out := map[string]*keepwardv1.DryRunResponse{}
	for _, c := range m.GetComputers() {
		out[c.GetComputer()] = c
	}
	return out
}

// What a dry run says of each computer is what a backup then takes, with masks, with other files of
// one computer, and with a path that one of them lacks; and it leaves no trace.
func TestADryRunTellsWhatABackupTakes(t *testing.T) {
	f := newFleet(t, "web1", "web2")
	src := filepath.Join(filepath.Dir(f.Dir), "src")
	filesIn(t, src, "docs/a.docx", "docs/old/b.docx", "docs/c.txt", "docs/c.tmp", "other/d.docx", "other/e.pdf", "other/f.tmp")
	f.createJob("docs", "web1,web2", []string{src + "/docs", src + "/lacking", `C:\data`}, "--only", "*.docx", "--only", "*.pdf", "--exclude", "old/")
	f.do("job", "edit", "docs", "--for", "web2", "--include", src+"/other", "--exclude", "")

	r := f.fails(3, nil, "job", "dry-run", "docs", "-o", "json")
	would := f.dryRuns(r)
	one, two := would["web1"].GetResult(), would["web2"].GetResult()
	if one.GetTaken().GetFiles() != 1 || one.GetWarnings() != 1 || two.GetTaken().GetFiles() != 2 || two.GetWarnings() != 0 {
		t.Errorf("would be taken: %s", r)
	}
	var states []string
	for _, p := range one.GetIncludes() {
		states = append(states, p.GetState())
	}
	if !slices.Equal(states, []string{"taken", "missing", "other platform"}) {
		t.Errorf("include paths of web1: %v", states)
	}
	left := map[string]int64{}
	for _, l := range one.GetLeftOut() {
		left[l.GetKind()+" "+l.GetRule()] = l.GetAmount().GetFiles()
	}
	if left["only *.docx *.pdf"] != 2 || left["exclude old/"] != 1 || len(left) != 2 {
		t.Errorf("left out of web1: %v", left)
	}
	f.fails(3, []string{"web1: 1 file, ", "warning  " + src + "/lacking", "exclude old/", "no mask: *.docx *.pdf"}, "job", "dry-run", "docs", "--computer", "web1")
	if all, err := f.Sessions(); err != nil || len(all) > 0 {
		t.Errorf("a dry run has left sessions: %v, %v", all, err)
	}

	f.fails(3, []string{src + "/lacking: this include path is not on web1"}, "job", "run", "docs", "--wait")
	for _, task := range f.last("docs", "Completed w/ warnings").GetTasks() {
		want := would[task.GetComputer()].GetResult().GetTaken()
		n := task.GetProgress().GetCounters()
		if n.GetDoneFiles()-n.GetDoneDirs() != want.GetFiles() || n.GetDoneDirs() != want.GetDirs() || n.GetDoneBytes() != want.GetBytes() {
			t.Errorf("%s: the backup took %v, the dry run said %v", task.GetComputer(), n, want)
		}
		if status := map[string]string{"web1": "Completed w/ warnings", "web2": "Completed"}[task.GetComputer()]; task.GetStatus() != status {
			t.Errorf("%s: %s, want %s", task.GetComputer(), task.GetStatus(), status)
		}
	}
	// The files of one computer change; its next backup is incremental all the same.
	f.do("job", "edit", "docs", "--for", "web2", "--only", "")
	f.fails(3, nil, "job", "run", "docs", "--wait")
	for _, task := range f.last("docs", "Completed w/ warnings").GetTasks() {
		n := task.GetProgress().GetCounters()
		if task.GetComputer() == "web2" && (n.GetNewFiles() != 1 || n.GetReadFiles() != 1 || n.GetDeletedFiles() != 0) {
			t.Errorf("without masks web2 reads %v", n)
		}
	}
	if to := f.restore("web2", "latest"); !exists(filepath.Join(to, src, "other/f.tmp")) || exists(filepath.Join(to, src, "docs")) {
		t.Error("web2 has not its own files")
	}

	// What is written down is read back, and a computer that leaves takes its own files with it.
	yaml := filepath.Join(f.Dir, "site.yaml")
	f.must(os.WriteFile(yaml, []byte(f.do("export").Stdout), 0o600))
	if text := f.do("export").Stdout; !strings.Contains(text, "overrides:\n  web2:\n    include:\n      - "+src+"/other\n    exclude: []\n    only: []\n") {
		t.Errorf("exported:\n%s", text)
	}
	if out := f.do("apply", "-f", yaml).Stdout; strings.Contains(out, "docs") {
		t.Errorf("applying an export changes something: %s", out)
	}
	f.fails(2, []string{"web3"}, "job", "edit", "docs", "--for", "web3", "--include", "/srv")
	f.fails(2, []string{"job.only", "reports/**"}, "job", "edit", "docs", "--only", "reports/", "-o", "json")

	// One that is away is named, and the other is looked at.
	f.must(f.agent["web2"].Stop())
	r = f.fails(1, []string{"web2", "offline"}, "job", "dry-run", "docs", "-o", "json")
	if got := f.dryRuns(r); got["web1"].GetResult().GetTaken().GetFiles() != 1 || got["web2"].GetFailure().GetCode() != "agent.offline" {
		t.Errorf("with web2 away: %s", r)
	}
	f.do("job", "edit", "docs", "--computer", "web1")
	if strings.Contains(f.do("export").Stdout, "web2") {
		t.Error("web2 has left and is still named")
	}
}

// Masks that leave nothing make a warning, and so does the dry run of a job that is not there yet.
func TestMasksThatLeaveNothingAreWarnedOf(t *testing.T) {
	f := newFleet(t, "web1")
	src := filepath.Join(filepath.Dir(f.Dir), "src")
	filesIn(t, src, "a.txt", "b/c.txt")
	f.fails(3, []string{"nothing would be taken", "the masks *.docx"}, "job", "dry-run", "--computer", "web1", "--include", src, "--only", "*.docx")
	f.createJob("docs", "web1", []string{src}, "--only", "*.docx")
	f.fails(3, []string{"nothing is left of what the job includes", "2 by the masks *.docx"}, "job", "run", "docs", "--wait")
	f.do("job", "dry-run", "docs", "--only", "*.txt")
	f.fails(4, nil, "job", "dry-run", "--computer", "web7", "--include", src)
	f.fails(2, []string{"--include"}, "job", "dry-run", "--computer", "web1")
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
