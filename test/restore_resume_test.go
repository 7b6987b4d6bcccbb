package test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/test/site"
)

// Kill -9 of each part in the middle of a restore: it goes on, does not write again what is
// right, and takes nothing half written for finished.
func TestRestoreGoesOnAfterKill(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 600, 160<<20, 1))
	f.must(os.WriteFile(filepath.Join(src, "d000", "a large one"), make([]byte, 40<<20), 0o640))
	f.createJob("docs", "web1", []string{src})
	f.run("docs")

	for _, c := range []struct {
		part   string
		policy string
		kill   func()
	}{
		{"agent", "different", func() { f.agent["web1"].Kill(); f.must(f.agent["web1"].Start()) }},
		{"agent", "always", func() { f.agent["web1"].Kill(); f.must(f.agent["web1"].Start()) }},
		{"mover", "never", func() {
			for _, m := range site.Movers(f.store) {
				m.Kill()
			}
		}},
		{"server", "different", func() { f.Server.Kill(); f.must(f.Server.Start()) }},
	} {
		to, err := os.MkdirTemp(filepath.Dir(f.Dir), "restored")
		f.must(err)
		var made keepwardv1.StartSessionResponse
		f.must(f.Message(&made, "restore", "files", "--computer", "web1", "--point", "latest", "--to", to,
			"--overwrite", c.policy, "--restart-interval", "1s"))
		f.must(site.Until(sessionWithin, "files of a restore", func() (bool, error) { return filesBelow(to) > 20, nil }))
		c.kill()
		s := f.final(made.Session, "Completed", "Completed w/ warnings")
		same(t, src, below(to, src))
		n := s.GetProgress().GetCounters()
		t.Logf("%s, %s: attempt %d, %d files were right already", c.part, c.policy, s.Tasks[0].Attempt, n.GetSkippedFiles())
		if c.part != "server" && s.Tasks[0].Attempt > 1 && n.GetSkippedFiles() == 0 {
			t.Errorf("%s, %s: the second attempt wrote everything again", c.part, c.policy)
		}
		f.must(os.RemoveAll(to))
	}
	marks, err := os.ReadDir(filepath.Join(f.agent["web1"].DataDir, "restores"))
	if err != nil || len(marks) != 0 {
		t.Errorf("restores that ended well left marks: %v, %v", marks, err)
	}
}

// filesBelow counts regular files, at most a few hundred.
func filesBelow(dir string) int {
	n := 0
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if n++; n > 300 {
				return filepath.SkipAll
			}
		}
		return nil // it changes while it is looked at
	})
	return n
}

// A byte that flips on the target under its right size and time is found by --verify, named,
// and the session does not end well.
func TestRestoreVerifyFindsFlippedByte(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 200, 30<<20, 2))
	f.createJob("docs", "web1", []string{src})
	f.run("docs")
	to := filepath.Join(filepath.Dir(f.Dir), "verified")
	restore := []string{"restore", "files", "--computer", "web1", "--point", "latest", "--path", src, "--strip", "--to", to, "--verify", "--wait"}
	f.do(restore...)
	same(t, src, to)
	good := lastSession(f)
	if n := good.GetProgress().GetCounters(); n.GetVerifiedFiles() < 200 || n.GetVerifiedBytes() < 29<<20 || n.GetMismatchedFiles() != 0 {
		t.Errorf("verified %d files, %d bytes, %d differ", n.GetVerifiedFiles(), n.GetVerifiedBytes(), n.GetMismatchedFiles())
	}

	victim := filepath.Join(to, "d000", "f00007")
	st, err := os.Stat(victim)
	f.must(err)
	b, err := os.ReadFile(victim)
	f.must(err)
	b[len(b)/2] ^= 4
	f.must(os.WriteFile(victim, b, st.Mode()))
	f.must(os.Chtimes(victim, time.Time{}, st.ModTime()))
	f.fails(3, []string{"f00007", "differs from the restore point", "1 differs"}, restore...)
	if s := lastSession(f); s.Status != "Completed w/ errors" || s.GetProgress().GetCounters().GetMismatchedFiles() != 1 {
		t.Errorf("session %d is %s: %v", s.Id, s.Status, s.GetProgress().GetCounters())
	}
	f.do(append(restore, "--overwrite", "always")...)
	same(t, src, to)
}

// An estimate is told, and writes nothing; nor does a restore of what is not there.
func TestRestoreEstimateWritesNothing(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 200, 30<<20, 3))
	f.createJob("docs", "web1", []string{src})
	f.run("docs")
	to := filepath.Join(filepath.Dir(f.Dir), "estimated")
	var e keepwardv1.RestoreEstimate
	args := []string{"restore", "files", "--computer", "web1", "--point", "latest", "--path", src, "--to", to}
	f.must(f.Message(&e, append(args, "--estimate")...))
	if e.Bytes < 29<<20 || e.FetchBytes < 29<<20 || e.FetchChunks == 0 || e.FetchPacks == 0 || e.RightFiles > 10 || e.Rate != 0 {
		t.Errorf("before: %v", &e)
	}
	f.fails(1, []string{"not in"}, "restore", "files", "--computer", "web1", "--point", "latest", "--path", "/no/such/path", "--to", to, "--wait")
	if _, err := os.Stat(to); err == nil {
		t.Error("the directory was made")
	}
	f.do(append(args, "--wait")...)
	f.must(f.Message(&e, append(args, "--estimate")...))
	if e.RightBytes < 29<<20 || e.FetchBytes != 0 || e.Rate == 0 || e.Expected == nil {
		t.Errorf("afterwards: %v", &e)
	}
}

// lastSession is the newest session.
func lastSession(f *fleet) *keepwardv1.Session {
	f.t.Helper()
	list, err := f.Sessions()
	f.must(err)
	s, err := f.Session(list[0].Id)
	f.must(err)
	return s
}
