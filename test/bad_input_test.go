package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keepward/test/site"
)

// The exit statuses of docs/user that scripts rely on.
const (
	exitFailed   = 1
	exitUsage    = 2
	exitLeftOut  = 3
	exitNotFound = 4
	exitDenied   = 5
	exitNoServer = 6
)

// What is not there: exit 4, and the names that are near.
func TestUnknownNamesSayTheNearest(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 10, 1<<20, 1))
	f.createJob("documents", "web1", []string{src})
	f.run("documents")
	list, err := f.Points("web1")
	f.must(err)
	near := "0000" + list[0].Id[4:]

	for _, c := range []struct {
		say  string
		args []string
	}{
		{"web1", []string{"computer", "show", "web2"}},
		{"main", []string{"repository", "show", "mian"}},
		{"documents", []string{"job", "show", "document"}},
		{"documents", []string{"job", "run", "docments"}},
		{"documents", []string{"job", "edit", "docments", "--schedule", "daily 22:00"}},
		{"web1", []string{"job", "create", "other", "--computer", "web", "--include", src, "--repository", "main"}},
		{"main", []string{"job", "create", "other", "--computer", "web1", "--include", src, "--repository", "mains"}},
		{"", []string{"point", "show", near}},
		{"", []string{"point", "browse", near}},
		{"", []string{"session", "show", "4711"}},
		{"web1", []string{"restore", "files", "--computer", "web2", "--point", "latest", "--to", f.Dir}},
		{"store", []string{"repository", "create", "second", "--transport", "stroe", "--path", filepath.Join(f.Dir, "second")}},
		{filepath.Join(src, "nothing"), []string{"point", "browse", list[0].Id, filepath.Join(src, "nothing")}},
	} {
		t.Run(strings.Join(c.args[:2], " ")+" "+c.args[2], func(t *testing.T) {
			f := *f
			f.t = t
			r := f.fails(exitNotFound, []string{c.say}, c.args...)
			if r.Stdout != "" || strings.Count(strings.TrimSpace(r.Stderr), "\n") > 1 {
				t.Errorf("an error is one sentence and a hint on standard error: %s", r)
			}
		})
	}

	r := f.fails(exitNotFound, nil, "job", "show", "document", "-o", "json")
	var failure struct{ Error map[string]any }
	if err := json.Unmarshal([]byte(r.Stderr), &failure); err != nil {
		t.Errorf("an error with -o json is JSON: %v: %s", err, r)
	}
}

// Include paths that do not exist: named, the others go on; none exists: fails.
func TestIncludePathThatDoesNotExist(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 10, 1<<20, 1))
	gone := filepath.Join(filepath.Dir(src), "gone")

	f.createJob("half", "web1", []string{src, gone})
	f.fails(exitLeftOut, nil, "job", "run", "half", "--wait")
	s := f.last("half", "Completed w/ warnings")
	if !strings.Contains(f.sessionLog(s.Id), gone) {
		t.Errorf("the log does not name %s:\n%s", gone, f.sessionLog(s.Id))
	}
	same(t, src, below(f.restore("web1", "latest"), src))

	f.createJob("none", "web1", []string{gone})
	f.fails(exitFailed, []string{gone}, "job", "run", "none", "--wait")
	f.last("none", "Failed")
	if list, err := f.Points("web1"); err != nil || len(list) != 1 {
		t.Errorf("a failed session left a point: %v, %v", list, err)
	}
}

// A directory that cannot become a repository is refused before a byte is written.
func TestRepositoryPathsThatAreRefused(t *testing.T) {
	t.Parallel()
	needRoot(t) // for the read-only mount
	needPrograms(t, "mkfs.ext4", "mount", "umount", "losetup")
	f := newFleet(t, "web1")
	dir := tempDir(t)
	full := filepath.Join(dir, "full")
	f.must(os.MkdirAll(full, 0o755))
	f.must(os.WriteFile(filepath.Join(full, "mine"), []byte("mine"), 0o644))
	file := filepath.Join(dir, "file")
	f.must(os.WriteFile(file, []byte("a file"), 0o644))
	readOnly := smallDisk(t, 8<<20)
	f.must(os.Mkdir(filepath.Join(readOnly, "empty"), 0o755))
	command(t, "mount", "-o", "remount,ro", readOnly)
	alias := filepath.Join(dir, "alias")
	f.must(os.Symlink(f.repo, alias))

	for _, c := range []struct {
		name, path, say string
	}{
		{"not empty", full, "empty"},
		{"a file", file, "director"},
		{"not writable", filepath.Join(readOnly, "empty"), "read-only"},
		{"already a repository", f.repo, "a repository already"},
		{"the same directory by another name", alias, "a repository already"},
		{"inside another repository", filepath.Join(f.repo, "inner"), "within the repository"},
		{"not absolute", "relative/path", "absolute"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := *f
			f.t = t
			before := listing(t, dir) + listing(t, f.repo)
			r, err := f.CLI("repository", "create", "second", "--transport", "store", "--path", c.path)
			f.must(err)
			if r.Code == 0 || !strings.Contains(r.Stderr, c.say) {
				t.Errorf("want it refused, saying %q: %s", c.say, r)
			}
			if after := listing(t, dir) + listing(t, f.repo); after != before {
				t.Errorf("something was written:\nbefore\n%s\nafter\n%s", before, after)
			}
			f.fails(exitNotFound, nil, "repository", "show", "second")
		})
	}
	f.fails(exitFailed, []string{"main"}, "repository", "create", "main", "--transport", "store", "--path", filepath.Join(dir, "new"))
}

// listing is every name and size below a directory.
func listing(t *testing.T, dir string) string {
	t.Helper()
	return command(t, "find", dir, "-printf", "%p %s %y\n")
}

// A second process on a data directory is refused and harms nothing.
func TestTwoProcessesOnOneDataDirectory(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1")
	for _, p := range []*site.Proc{f.Server, f.store, f.agent["web1"]} {
		role := "agent"
		args := []string{"--server", f.Addr, "--name", p.Name}
		switch p {
		case f.Server:
			role, args = "server", []string{"--listen", "127.0.0.1:0"}
		case f.store:
			role = "transport"
		}
		second := f.Role(p.Name, role, args...)
		said, err := second.StartRefused()
		f.must(err)
		if !strings.Contains(said, p.DataDir) {
			t.Errorf("the second %s does not name the data directory: %s", role, said)
		}
		if !p.Alive() {
			t.Errorf("the first %s died", role)
		}
	}
	f.do("status")
}

// A wrong or broken recovery key is said at once, and nothing is written.
func TestWrongRecoveryKey(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1")
	f.createRepository("other", filepath.Join(f.Dir, "other"))
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 10, 1<<20, 1))
	f.createJob("docs", "web1", []string{src})
	f.run("docs")
	good, err := os.ReadFile(f.key)
	f.must(err)

	broken := filepath.Join(f.Dir, "broken.key")
	f.must(os.WriteFile(broken, good[:len(good)/2], 0o600))
	to := filepath.Join(f.Dir, "to")
	for _, key := range []string{filepath.Join(f.Dir, "other.key"), broken, filepath.Join(f.Dir, "missing.key")} {
		r := f.fails(exitOf(key), []string{"key"}, "extract", "--repository", f.repo, "--recovery-key", key, "--point", "latest", "--to", to)
		if _, err := os.Stat(to); err == nil {
			t.Errorf("%s was made with a wrong key: %s", to, r)
		}
	}
}

// exitOf is the status for a key file: one that is not there is not found.
func exitOf(key string) int {
	if _, err := os.Stat(key); err != nil {
		return exitNotFound
	}
	return exitFailed
}

// Without the right token nothing answers; without a server it is said so.
func TestExitStatusOfAccess(t *testing.T) {
	t.Parallel()
	f := newServer(t)
	f.fails(exitUsage, nil, "job", "frobnicate")
	f.fails(exitUsage, nil, "job", "run")
	conf, err := os.ReadFile(f.ClientConfig())
	f.must(err)
	bad := filepath.Join(f.Dir, "bad.yaml")
	var lines []string
	for line := range strings.Lines(string(conf)) {
		if strings.HasPrefix(line, "token:") {
			line = "token: not-a-token\n"
		}
		lines = append(lines, line)
	}
	f.must(os.WriteFile(bad, []byte(strings.Join(lines, "")), 0o600))
	f.fails(exitDenied, nil, "--config", bad, "job", "list")
	f.Server.Kill()
	f.fails(exitNoServer, []string{f.Addr}, "job", "list")
	f.must(f.Server.Start())
}
