package survey

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/testing/protocmp"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/source"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("SURVEY_AS_NOBODY"); dir != "" {
		os.Exit(lookAsNobody(dir))
	}
	goleak.VerifyTestMain(m)
}

// made makes files of a size below a new directory.
func made(t *testing.T, files map[string]int) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, size := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(p, int64(size)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func look(t *testing.T, sel source.Selection) *keepwardv1.DryRun {
	t.Helper()
	out, err := New(sel, t.TempDir()).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestASurveyTellsWhatWouldBeTakenAndWhatNot(t *testing.T) {
	dir := made(t, map[string]int{
		"docs/a.docx": 100, "docs/deep/b.docx": 50, "docs/c.tmp": 7, "docs/d.txt": 3, "media/film": 5000, "media/part/more": 400, "one.docx": 1,
	})
	var above int64 // directories that only lead to it
	for range strings.Split(dir[1:], "/") {
		above++
	}
	r := look(t, source.Selection{
		Include: []string{dir + "/docs", dir + "/docs/deep", dir + "/one.docx", dir + "/media", dir + "/nowhere", `D:\data`},
		Exclude: []string{"*.tmp"}, Only: []string{"*.docx", "film", "more"},
	})
	// The directories above, the root among them, are kept too.
	if d := cmp.Diff(&keepwardv1.Amount{Files: 5, Dirs: 4 + above + 1, Bytes: 5551}, r.GetTaken(), protocmp.Transform()); d != "" {
		t.Errorf("taken (-want +got):\n%s", d)
	}
	want := []*keepwardv1.DryRunPath{
		{Path: []byte(dir + "/docs"), State: "taken", Amount: &keepwardv1.Amount{Files: 1, Dirs: 1, Bytes: 100}},
		{Path: []byte(dir + "/docs/deep"), State: "taken", Amount: &keepwardv1.Amount{Files: 1, Dirs: 1, Bytes: 50}},
		{Path: []byte(dir + "/one.docx"), State: "taken", Amount: &keepwardv1.Amount{Files: 1, Bytes: 1}},
		{Path: []byte(dir + "/media"), State: "taken", Amount: &keepwardv1.Amount{Files: 2, Dirs: 2, Bytes: 5400}},
		{Path: []byte(dir + "/nowhere"), State: "missing"},
		{Path: []byte(`D:\data`), State: "other platform"},
	}
	if d := cmp.Diff(want, r.GetIncludes(), protocmp.Transform(), protocmp.IgnoreFields(&keepwardv1.DryRunPath{}, "text")); d != "" {
		t.Errorf("include paths (-want +got):\n%s", d)
	}
	left := []*keepwardv1.DryRunRule{
		{Kind: "exclude", Rule: "*.tmp", Names: 1, Amount: &keepwardv1.Amount{Files: 1, Bytes: 7}},
		{Kind: "only", Rule: "*.docx film more", Names: 1, Amount: &keepwardv1.Amount{Files: 1, Bytes: 3}},
	}
	if d := cmp.Diff(left, r.GetLeftOut(), protocmp.Transform()); d != "" {
		t.Errorf("left out (-want +got):\n%s", d)
	}
	if f := r.GetLargestFiles(); len(f) != 5 || string(f[0].GetPath()) != dir+"/media/film" || f[0].GetBytes() != 5000 || string(f[4].GetPath()) != dir+"/one.docx" {
		t.Errorf("largest files: %v", f)
	}
	// docs has most of its bytes itself; what leads to it is no directory of the job.
	var dirs []string
	for _, d := range r.GetLargestDirs() {
		dirs = append(dirs, fmt.Sprintf("%s %d", strings.TrimPrefix(string(d.GetPath()), dir), d.GetBytes()))
	}
	if d := cmp.Diff([]string{"/media 5400", "/media/part 400", "/docs 150", "/docs/deep 50"}, dirs); d != "" {
		t.Errorf("largest directories (-want +got):\n%s", d)
	}
	if r.GetErrors() != 0 || r.GetWarnings() != 1 || len(r.GetProblems()) != 1 || r.GetProblems()[0].GetCode() != "include.missing" || string(r.GetProblems()[0].GetPath()) != dir+"/nowhere" {
		t.Errorf("problems: %v", r.GetProblems())
	}
	if len(r.GetRemarks()) > 0 {
		t.Errorf("remarks: %v", r.GetRemarks())
	}
}

func TestASelectionThatTakesNothingIsToldOf(t *testing.T) {
	dir := made(t, map[string]int{"a.txt": 1, "b/c.txt": 2})
	for name, c := range map[string]struct {
		sel  source.Selection
		want string
	}{
		"masks":    {source.Selection{Include: []string{dir}, Only: []string{"*.docx"}}, "all is left out by the masks *.docx"},
		"excludes": {source.Selection{Include: []string{dir}, Exclude: []string{"*"}}, "all is left out by the pattern *"},
	} {
		r := look(t, c.sel)
		if len(r.GetRemarks()) != 1 || !strings.Contains(r.GetRemarks()[0], c.want) {
			t.Errorf("%s: remarks %q", name, r.GetRemarks())
		}
	}
	if r := look(t, source.Selection{Include: []string{made(t, nil)}}); len(r.GetRemarks()) > 0 {
		t.Errorf("an empty directory: %q", r.GetRemarks())
	}
}

func TestASurveyEndsWithItsContext(t *testing.T) {
	dir := made(t, map[string]int{"a": 1, "out/b": 1})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := New(source.Selection{Include: []string{dir}, Exclude: []string{"out"}}, t.TempDir()).Run(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestOnlyTheLargestAreKept(t *testing.T) {
	var m most
	for i := range 1000 {
		m.see(fmt.Appendf(nil, "%04d", i), int64(i*7919%1000))
	}
	got := m.sorted()
	if len(got) != mostLarge {
		t.Fatalf("%d are kept", len(got))
	}
	for i, s := range got {
		if s.GetBytes() != int64(999-i) {
			t.Errorf("%d: %v", i, s)
		}
	}
}

// What cannot be read is told of without being opened.
func TestWhatCannotBeReadIsToldOf(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to be somebody else")
	}
	dir := made(t, map[string]int{"open": 1, "shut": 2, "closed/x": 3})
	for name, mode := range map[string]os.FileMode{"shut": 0o600, "closed": 0o700} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	// The directories above are the test's own, and shut to others.
	for d := filepath.Dir(dir); d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, os.FileMode(mode(t, d))|0o055); err != nil {
			t.Fatal(err)
		}
	}
	exe := filepath.Join(made(t, nil), "survey.test")
	if err := os.Chmod(filepath.Dir(exe), 0o755); err != nil {
		t.Fatal(err)
	}
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(exe, b, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "SURVEY_AS_NOBODY="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := "error dir.unreadable " + dir + "/closed\nerror file.unreadable " + dir + "/shut\n2 errors\n"
	if d := cmp.Diff(want, string(out)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func mode(t *testing.T, dir string) uint32 {
	t.Helper()
	fi, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(fi.Mode().Perm()) | uint32(fi.Mode()&os.ModeSticky)
}

// lookAsNobody prints what a survey could not read.
func lookAsNobody(dir string) int {
	r, err := New(source.Selection{Include: []string{dir}}, os.TempDir()).Run(context.Background())
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for _, p := range r.GetProblems() {
		fmt.Println(p.GetLevel(), p.GetCode(), string(p.GetPath()))
	}
	fmt.Println(r.GetErrors(), "errors")
	return 0
}
