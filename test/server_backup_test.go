package test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
	"keepward/test/site"
)

// The server's disk is gone. One command brings it back from the repository into which it has
// backed itself up: its nodes know it again, its jobs run, and what was stored since is there.
func TestALostServerIsPutBackByOneCommand(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 50, 5<<20, 1))
	f.createJob("docs", "web1", []string{src})
	f.do("job", "create", "itself", "--type", "server-backup", "--repository", "main", "--schedule", "daily 12:00", "--keep-last", "3")
	f.run("docs")
	if s := f.run("itself"); s.GetType() != string(job.ServerBackup) || s.GetPriority() != 66 {
		t.Errorf("the session is %v", s)
	}
	f.must(f.Server.Restart()) // so that the repository has seen a later start than that of the backup
	f.must(f.WaitOnline(f.store))
	f.must(f.WaitOnline(f.agent["web1"]))
	f.run("docs") // the server that comes back has not heard of it
	before, err := f.Points("web1")
	f.must(err)

	f.Server.Kill()
	f.must(os.RemoveAll(f.Server.DataDir))
	f.fails(1, []string{"recovery"}, "server", "restore", "--repository", f.repo, "--recovery-key", otherKey(t), "--data-dir", f.Server.DataDir)
	f.do("server", "restore", "--repository", f.repo, "--recovery-key", f.key, "--data-dir", f.Server.DataDir, "--take-over")
	f.fails(1, []string{"already"}, "server", "restore", "--repository", f.repo, "--recovery-key", f.key, "--data-dir", f.Server.DataDir)
	left, err := filepath.Glob(filepath.Join(f.Server.DataDir, "restore-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("it left %v (%v)", left, err)
	}

	f.must(f.Server.Start())
	f.must(f.WaitOnline(f.store))
	f.must(f.WaitOnline(f.agent["web1"]))
	ids := func(list []*keepwardv1.Point) (out []string) {
		for _, p := range list {
			out = append(out, p.GetId())
		}
		return out
	}
	f.must(site.Until(time.Minute, "the points of all backups", func() (bool, error) {
		after, err := f.Points("web1")
		return slices.Equal(ids(before), ids(after)), err
	}))
	to := f.restore("web1", "latest")
	if diff, err := site.RsyncDiff(src, filepath.Join(to, src)); err != nil || diff != "" {
		t.Errorf("restored with differences: %s %v", diff, err)
	}
	f.run("docs")
	f.run("itself")
}

// otherKey is a recovery key of another repository.
func otherKey(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "other.key")
	must(t, os.WriteFile(path, []byte("no key at all\n"), 0o600))
	return path
}

// Saved jobs of maintenance, and browsing, are sessions of their types.
func TestMaintenanceAndBrowsingAreSessions(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 20, 1<<20, 2))
	f.createJob("docs", "web1", []string{src})
	f.run("docs")
	f.must(os.WriteFile(filepath.Join(f.repo, "README"), []byte("mine"), 0o600))
	for _, args := range [][]string{
		{"proof", "--type", "verify", "--read-data"}, {"age", "--type", "retention"}, {"space", "--type", "sweep"}, {"lists", "--type", "reconcile"},
	} {
		f.do(append([]string{"job", "create", args[0], "--repository", "main"}, args[1:]...)...)
		want := []string{"Completed"}
		if args[0] == "proof" || args[0] == "lists" {
			want = []string{"Completed w/ warnings"} // of the stranger
		}
		if s := f.final(f.start(args[0]), want...); s.GetType() != args[2] {
			t.Errorf("the session of %s is %v", args[0], s)
		}
	}
	f.do("point", "browse", "latest", src, "--computer", "web1")
	f.do("point", "find", "*", "--computer", "web1")
	list, err := f.Sessions()
	f.must(err)
	browsing := slices.DeleteFunc(list, func(s *keepwardv1.Session) bool { return s.GetType() != string(job.IndexRestore) })
	if len(browsing) != 1 || browsing[0].GetStatus() != "Running" || browsing[0].GetPriority() != 66 {
		t.Fatalf("the sessions of browsing are %v", browsing)
	}
	f.do("session", "kill", itoa(int(browsing[0].GetId())))
	f.final(browsing[0].GetId(), "Killed")
	f.do("point", "browse", "latest", src, "--computer", "web1")
	f.must(f.Server.Restart())
	f.must(f.WaitOnline(f.store))
	f.must(site.Until(time.Minute, "the end of browsing with the server", func() (bool, error) {
		list, err := f.Sessions()
		return len(list) > 0 && list[0].GetStatus() == "Completed", err
	}))
}
