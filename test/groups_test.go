package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	keepwardv1 "keepward/api/keepward/v1"
)

// putList puts a list of a group in place as the page says: whole.
func (f *fleet) putList(path string, names ...string) {
	f.t.Helper()
	f.must(os.WriteFile(path+".new", []byte("name\n"+strings.Join(names, "\n")+"\n"), 0o644))
	f.must(os.Rename(path+".new", path))
}

// protects runs a job, and answers whom its session was about.
func (f *fleet) protects(job string) string {
	f.t.Helper()
	var names []string
	for _, task := range f.run(job).Tasks {
		names = append(names, task.Computer)
	}
	return strings.Join(names, " ")
}

// A group file is edited: the next session protects the new member, and not the removed one. A
// computer that joins by itself with a token of a group of the job is protected too.
func TestTheMembersOfAGroupAreProtected(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1", "web2")
	dir := tempDir(t)
	src, list := filepath.Join(dir, "src"), filepath.Join(dir, "lab.csv")
	f.must(os.MkdirAll(src, 0o755))
	f.must(os.WriteFile(filepath.Join(src, "f"), []byte("content"), 0o644))
	f.putList(list, "web1")
	f.do("group", "create", "lab", "--file", list)
	f.do("group", "create", "preinstalled", "--exclude", "web9")
	f.do("job", "create", "docs", "--group", "lab,preinstalled", "--include", src, "--repository", "main")

	if got := f.protects("docs"); got != "web1" {
		t.Errorf("the first session protects %s", got)
	}
	f.putList(list, "web2", "later")
	if got := f.protects("docs"); got != "web2" {
		t.Errorf("after the file was edited: %s", got)
	}
	f.must(os.WriteFile(list, []byte("web1\n\"bro"), 0o644))
	if got := f.protects("docs"); got != "web2" {
		t.Errorf("with a broken file: %s", got)
	}
	var status keepwardv1.GetStatusResponse
	f.must(f.Message(&status, "status"))
	found := false
	for _, c := range status.Conditions {
		found = found || c.Code == "group.file" && c.Subject == "lab"
	}
	if !found {
		t.Errorf("a broken file is no condition: %v", status.Conditions)
	}

	var made struct{ Token string }
	f.must(f.JSON(&made, "token", "create", "--group", "preinstalled"))
	for _, name := range []string{"vm1", "web9"} {
		p := f.Role(name, "agent", "--server", f.Addr, "--name", name, "--join", made.Token)
		f.must(p.Start())
		f.must(f.WaitOnline(p))
	}
	f.putList(list, "web1", "web9")
	f.do("group", "rescan", "preinstalled")
	if got := f.protects("docs"); got != "web1 vm1" {
		t.Errorf("with an agent that joined by itself: %s", got)
	}
	var shown keepwardv1.GetComputerResponse
	f.must(f.Message(&shown, "computer", "show", "vm1"))
	if i := shown.Inventory; i.GetKernel() == "" || len(i.GetVolumes()) == 0 || i.GetVolumes()[0].GetSizeBytes() == 0 || len(shown.Jobs) != 1 {
		t.Errorf("the inventory of vm1: %v, jobs %v", i, shown.Jobs)
	}
	same(t, src, below(f.restore("vm1", "latest"), src))
}
