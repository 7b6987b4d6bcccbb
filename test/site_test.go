package test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/treegen"
	"keepward/test/site"
)

// sessionWithin bounds one session of a test's size.
const sessionWithin = 5 * time.Minute

// fleet is a site as most tests want it: a server, a transport "store" with the
// repository "main", and agents. Its methods fail the test instead of returning errors.
type fleet struct {
	*site.Site
	t     testing.TB
	store *site.Proc
	agent map[string]*site.Proc
	repo  string // the directory of repository main
	key   string // its recovery key's file
}

// newFleet starts a site with these agents.
func newFleet(t testing.TB, agents ...string) *fleet {
	t.Helper()
	f := newServer(t)
	f.addTransport("store")
	for _, a := range agents {
		f.addAgent(a)
	}
	f.createRepository("main", filepath.Join(f.Dir, "repository"))
	return f
}

// newServer starts a server alone.
func newServer(t testing.TB) *fleet {
	t.Helper()
	dir := tempDir(t)
	s, err := site.Start(binary, filepath.Join(dir, "site"))
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{Site: s, t: t, agent: map[string]*site.Proc{}}
	t.Cleanup(f.end)
	return f
}

func (f *fleet) end() {
	if err := f.Close(); err != nil {
		f.t.Errorf("stop the site: %v", err)
	}
	for _, p := range f.Procs() {
		if strings.Contains(p.Log(), "panic:") || strings.Contains(p.Log(), "goroutine 1 [") {
			f.t.Errorf("%s panicked", p.Name)
		}
		if f.t.Failed() {
			f.t.Logf("the log of %s ends:\n%s", p.Name, p.Tail(40))
		}
	}
}

// tempDir is a directory with a short name: it holds unix sockets.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() && os.Getenv("KEEPWARD_KEEP") != "" {
			t.Logf("kept: %s", dir)
			return
		}
		if err := treegen.Remove(dir); err != nil {
			t.Errorf("remove %s: %v", dir, err)
		}
	})
	return dir
}

func (f *fleet) addTransport(name string) {
	f.t.Helper()
	p, err := f.AddTransport(name)
	f.must(err)
	f.store = p
}

func (f *fleet) addAgent(name string) {
	f.t.Helper()
	p, err := f.AddAgent(name)
	f.must(err)
	f.agent[name] = p
}

// createRepository makes a repository of the one transport and keeps its recovery key.
func (f *fleet) createRepository(name, dir string) {
	f.t.Helper()
	f.do("repository", "create", name, "--transport", f.store.Name, "--path", dir)
	key := filepath.Join(f.Dir, name+".key")
	f.do("repository", "recovery-key", name, "--out", key)
	if name == "main" {
		f.repo, f.key = dir, key
	}
}

// createJob makes a backup job of one computer; args are further flags.
func (f *fleet) createJob(name, computer string, include []string, args ...string) {
	f.t.Helper()
	cmd := []string{"job", "create", name, "--computer", computer, "--repository", "main"}
	for _, i := range include {
		cmd = append(cmd, "--include", i)
	}
	f.do(append(cmd, args...)...)
}

// run runs a job to its end, which must be Completed, and returns its session.
func (f *fleet) run(job string, args ...string) *keepwardv1.Session {
	f.t.Helper()
	f.do(append([]string{"job", "run", job, "--wait"}, args...)...)
	return f.last(job, "Completed")
}

// start runs a job without waiting and returns the session's number.
func (f *fleet) start(job string, args ...string) int64 {
	f.t.Helper()
	var made keepwardv1.StartSessionResponse
	f.must(f.Message(&made, append([]string{"job", "run", job}, args...)...))
	return made.Session
}

// last is the newest session of a job; it must have one of these statuses.
func (f *fleet) last(job string, status ...string) *keepwardv1.Session {
	f.t.Helper()
	s, err := f.LastSession(job)
	f.must(err)
	f.isOneOf(s, status)
	return s
}

// final waits for the end of a session, which must be in one of these statuses.
func (f *fleet) final(id int64, status ...string) *keepwardv1.Session {
	f.t.Helper()
	s, err := f.WaitFinal(id, sessionWithin)
	f.must(err)
	f.isOneOf(s, status)
	return s
}

func (f *fleet) isOneOf(s *keepwardv1.Session, status []string) {
	f.t.Helper()
	for _, w := range status {
		if s.Status == w {
			return
		}
	}
	f.t.Fatalf("session %d is %s, want %s: %s\n%s", s.Id, s.Status, strings.Join(status, " or "),
		s.GetFailure().GetMessage(), f.sessionLog(s.Id))
}

func (f *fleet) sessionLog(id int64) string {
	r, _ := f.CLI("session", "log", strconv.FormatInt(id, 10)) // for a failure's text only
	return r.Stdout
}

// restore restores a point of a computer below a new directory, which it returns.
func (f *fleet) restore(computer, point string, args ...string) string {
	f.t.Helper()
	to, err := os.MkdirTemp(filepath.Dir(f.Dir), "restored")
	f.must(err)
	f.do(append([]string{"restore", "files", "--computer", computer, "--point", point, "--to", to, "--wait"}, args...)...)
	return to
}

// extract restores a point from the bare repository.
func (f *fleet) extract(point string) string {
	f.t.Helper()
	to, err := os.MkdirTemp(filepath.Dir(f.Dir), "extracted")
	f.must(err)
	f.do("extract", "--repository", f.repo, "--recovery-key", f.key, "--point", point, "--to", to)
	return to
}

// check is a check of all data of repository main that must be clean.
func (f *fleet) check() {
	f.t.Helper()
	f.do("repository", "check", "main", "--read-data")
}

// do runs a command that must succeed.
func (f *fleet) do(args ...string) site.Result {
	f.t.Helper()
	began := time.Now()
	r, err := f.Do(args...)
	f.must(err)
	if took := time.Since(began); took > 5*time.Second {
		f.t.Logf("%s took %.1f s", strings.Join(args[:2], " "), took.Seconds())
	}
	return r
}

// fails runs a command that must end with this exit status and say all of these.
func (f *fleet) fails(code int, say []string, args ...string) site.Result {
	f.t.Helper()
	r, err := f.CLI(args...)
	f.must(err)
	if r.Code != code {
		f.t.Errorf("want exit %d: %s", code, r)
	}
	for _, s := range say {
		if !strings.Contains(r.Stdout+r.Stderr, s) {
			f.t.Errorf("want it to say %q: %s", s, r)
		}
	}
	return r
}

func (f *fleet) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
