package test

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/wire"
	"keepward/test/site"
)

// manyPoints makes n points of changing files, so that the repository has many packs.
func (f *fleet) manyPoints(job, src string, n int) {
	f.t.Helper()
	for i := range n {
		f.must(site.RandomTree(filepath.Join(src, itoa(i)), 8, 6<<20, uint64(i+1)))
		f.run(job)
	}
}

// repository is what is shown of repository main.
func (f *fleet) repository() *keepwardv1.Repository {
	f.t.Helper()
	r := &keepwardv1.Repository{}
	f.must(f.Message(r, "repository", "show", "main"))
	return r
}

// A check reads what was proved longest ago and remembers it, whether it ends by its budget, is
// killed, or has read all; so the next one goes on with the rest.
func TestChecksGoOnWithTheOldestProof(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.createJob("docs", "web1", []string{src})
	f.manyPoints("docs", src, 6)
	if p := f.repository().GetProof(); p.GetPacks() < 12 || p.GetProvedPacks() != 0 {
		t.Fatalf("at first: %v", p)
	}

	f.do("repository", "check", "main")
	p := f.repository().GetProof()
	list, err := f.Sessions()
	f.must(err)
	if n := list[0].GetProgress().GetCounters(); n.GetReadBytes() == 0 || n.GetReadBytes() > p.GetBytes()/4 || n.GetDoneBytes() < p.GetBytes() {
		t.Errorf("a check of the structure of %d bytes says that it read %d and looked at %d", p.GetBytes(), n.GetReadBytes(), n.GetDoneBytes())
	}
	f.do("repository", "check", "main", "--read-data", "--sample", "30%")
	p = f.repository().GetProof()
	first := p.GetProvedBytes()
	if first < p.GetBytes()/4 || first > p.GetBytes()/2 || p.GetOldest() == nil {
		t.Fatalf("after 30 %%: %v", p)
	}
	f.do("repository", "check", "main", "--read-data", "--budget", "1ns")
	p = f.repository().GetProof()
	if p.GetProvedBytes() <= first || p.GetProvedBytes() == p.GetBytes() {
		t.Fatalf("after a moment: %v", p)
	}

	// Killed in the middle: about 1 MiB a second of some 30.
	before := p.GetProvedPacks()
	killed := f.startCheck("--read-data", "--rate", "2M", "--older-than", "1h")
	f.must(site.Until(time.Minute, "progress of the check", func() (bool, error) {
		s, err := f.Session(killed)
		return s.GetProgress().GetCounters().GetDoneBytes() > 8<<20, err
	}))
	f.do("session", "kill", itoa(int(killed)))
	f.final(killed, "Killed")
	p = f.repository().GetProof()
	if p.GetProvedPacks() <= before || p.GetProvedPacks() == p.GetPacks() {
		t.Fatalf("what a killed check proved: %d packs before, now %v", before, p)
	}

	rest := p.GetBytes() - p.GetProvedBytes()
	f.do("repository", "check", "main", "--read-data", "--older-than", "1h")
	s, err := f.Sessions()
	f.must(err)
	if got := s[0].GetProgress().GetCounters().GetDoneBytes(); got != rest {
		t.Errorf("%d bytes were not proved, %d were read", rest, got)
	}
	if p = f.repository().GetProof(); p.GetProvedBytes() != p.GetBytes() {
		t.Fatalf("at last: %v", p)
	}
	f.fails(exitUsage, []string{"--read-data"}, "repository", "check", "main", "--sample", "10%")
	f.fails(exitUsage, []string{"share"}, "repository", "check", "main", "--read-data", "--sample", "0%")
}

// startCheck starts a check of repository main and returns its session.
func (f *fleet) startCheck(args ...string) int64 {
	f.t.Helper()
	cmd := f.Command(context.Background(), append([]string{"repository", "check", "main"}, args...)...)
	f.must(cmd.Start())
	f.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // the session does not mind
	var id int64
	f.must(site.Until(time.Minute, "session of the check", func() (bool, error) {
		s, err := f.Sessions()
		if err != nil || len(s) == 0 || s[0].GetType() != "verify" || s[0].GetEnded() != nil {
			return false, err
		}
		id = s[0].GetId()
		return true, nil
	}))
	return id
}

// A repository that is to be proved within some days is checked by the server itself.
func TestTheServerKeepsARepositoryProved(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.createJob("docs", "web1", []string{src})
	f.manyPoints("docs", src, 4)
	f.do("repository", "edit", "main", "--proved-within", "2d")
	var s *keepwardv1.Session
	f.must(site.Until(time.Minute, "check by the server", func() (bool, error) {
		list, err := f.Sessions()
		if err != nil || len(list) == 0 || list[0].GetType() != "verify" {
			return false, err
		}
		s = list[0]
		return s.GetEnded() != nil, nil
	}))
	if s.GetStatus() != "Completed" || s.GetUser() != "proofs" {
		t.Fatalf("%v", s)
	}
	r := f.repository()
	p := r.GetProof()
	if r.GetProofDays() != 2 || p.GetProvedBytes() < p.GetBytes()/2 || p.GetProvedBytes() == p.GetBytes() || p.GetDuePacks() != 0 {
		t.Fatalf("of two days the first: %v", r)
	}
	show := f.do("repository", "show", "main").Stdout
	for _, want := range []string{"within 2 days", "oldest proof"} {
		if !strings.Contains(show, want) {
			t.Errorf("show does not say %q:\n%s", want, show)
		}
	}
}

// A flipped bit is named with the files that need it; the next full backup heals it; nothing
// removes the damaged place meanwhile.
func TestDamageIsNamedAndHealed(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 20, 12<<20, 1))
	f.createJob("docs", "web1", []string{src})
	f.run("docs")
	name := flip(t, f.repo, "packs/*/*/d*")
	r, err := f.CLI("repository", "check", "main", "--read-data")
	f.must(err)
	if r.Code == 0 {
		t.Fatalf("not found: %s", r)
	}
	sessions, err := f.Sessions()
	f.must(err)
	said, err := f.Events(sessions[0].Id)
	f.must(err)
	names(t, said, name, "stored by computer web1", "restore point")
	lost := lostPaths(said, src)
	if len(lost) == 0 {
		t.Fatal("no file is named")
	}
	ails := func() bool {
		return slices.ContainsFunc(f.repository().GetConditions(), func(c *keepwardv1.Condition) bool { return c.GetCode() == "repository.damaged" })
	}
	if p := f.repository().GetProof(); p.GetDamagedPacks() != 1 || !ails() {
		t.Errorf("%v", p)
	}
	f.do("repository", "sweep", "main")
	if _, err := os.Stat(filepath.Join(f.repo, name)); err != nil {
		t.Errorf("the damaged pack, which the point needs: %v", err)
	}

	f.run("docs", "--full")
	if ails() {
		t.Error("healed, and still a problem")
	}
	same(t, src, below(f.restore("web1", "latest"), src))
	points, err := f.Points("web1")
	f.must(err)
	same(t, src, below(f.restore("web1", points[len(points)-1].Id), src)) // the first point is whole again
	r, err = f.CLI("repository", "check", "main", "--read-data")
	f.must(err)
	if !strings.Contains(r.Stdout+r.Stderr, "nothing is lost") {
		t.Errorf("after healing: %s", r)
	}
}

// oneChunk is a file's content that is one chunk: too large for a bundle, and hardly larger than
// the least that is cut off.
func oneChunk(seed byte) []byte {
	b := make([]byte, 256<<10+512)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // documented never to fail
	return b
}

// pointOf is the newest point of a job.
func (f *fleet) pointOf(computer, job string) string {
	f.t.Helper()
	points, err := f.Points(computer)
	f.must(err)
	for _, p := range points {
		if p.GetJob() == job {
			return p.GetId()
		}
	}
	f.t.Fatalf("%s has no point of %s", computer, job)
	return ""
}

// poison stores garbage under the ids of contents, and makes it known by a commit.
func (a *fakeAgent) poison(f *fleet, o *keepwardv1.StartBackupRequest, contents ...[]byte) {
	f.t.Helper()
	f.must(a.commitGarbage(f, o, contents...))
}

// commitGarbage stores garbage under the ids of contents, and returns what its commit ends with.
func (a *fakeAgent) commitGarbage(f *fleet, o *keepwardv1.StartBackupRequest, contents ...[]byte) error {
	f.t.Helper()
	data, err := a.connect(f.t, o, nil)
	f.must(err)
	keys, err := wire.KeysFromProto(o.GetKeys())
	f.must(err)
	sealer, err := seal.NewSealer(keys, seal.CompressNone)
	f.must(err)
	hasher := keys.NewHasher()
	put := func(kind seal.Kind, h seal.H, content []byte) {
		rec, err := sealer.Seal(nil, kind, h, nil, content)
		f.must(err)
		f.must(data.Put(f.t.Context(), rec))
	}
	for _, content := range contents {
		put(seal.KindData, hasher.Hash(seal.KindData, content), []byte(strings.Repeat("garbage ", len(content)/8)))
	}
	empty := []byte{1} // a root of nothing
	root := hasher.Hash(seal.KindRoot, empty)
	put(seal.KindRoot, root, empty)
	attempt, err := point.ParseAttempt(o.GetOrder().GetAttempt())
	f.must(err)
	body, err := point.SealBody(keys.ComputerKey, keys.RepositoryID, attempt, point.Body{Root: root})
	f.must(err)
	return data.Commit(f.t.Context(), point.Draft{Type: point.Complete, RootID: root.ID(), Body: body})
}

// An agent stores garbage under the ids of what is popular, before the honest computers store
// it and after: their restores are unharmed, and the check says whose damage it is.
func TestGarbageOfAHostileAgentHarmsNobodyElse(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1", "web2")
	dir := tempDir(t)
	early, late := filepath.Join(dir, "early"), filepath.Join(dir, "late")
	popular := map[string][]byte{early: oneChunk(1), late: oneChunk(2)}
	for path, content := range popular {
		f.must(os.MkdirAll(path, 0o755))
		f.must(os.WriteFile(filepath.Join(path, "file"), content, 0o644))
	}
	f.createJob("late1", "web1", []string{late})
	f.run("late1") // before the garbage

	evil := newFakeAgent(f, "evil", 0)
	f.createJob("evil", "evil", []string{late})
	id := f.start("evil")
	evil.poison(f, evil.order(t), popular[early], popular[late])
	f.do("session", "kill", itoa(int(id)))
	_, err := f.WaitFinal(id, sessionWithin)
	f.must(err)

	same(t, late, below(f.restore("web1", "latest"), late))
	r, err := f.CLI("repository", "check", "main", "--read-data")
	f.must(err)
	sessions, err := f.Sessions()
	f.must(err)
	said, err := f.Events(sessions[0].Id)
	f.must(err)
	names(t, said, "stored by computer evil", "nothing is lost")
	if slices.ContainsFunc(said, func(e *keepwardv1.Event) bool { return strings.Contains(e.Text, "computer web") }) {
		t.Errorf("honest computers are said to be damaged: %s", r)
	}

	f.createJob("early1", "web1", []string{early})
	f.createJob("both2", "web2", []string{early, late})
	f.run("early1") // after the garbage
	f.run("both2")
	whole := func(when string) {
		t.Helper()
		for _, c := range []struct{ computer, job, path string }{{"web1", "early1", early}, {"web1", "late1", late}, {"web2", "both2", early}, {"web2", "both2", late}} {
			point := f.pointOf(c.computer, c.job)
			same(t, c.path, below(f.restore(c.computer, point), c.path))
			same(t, c.path, below(f.extract(point), c.path))
			if t.Failed() {
				t.Fatalf("%s: %s of %s is harmed", when, c.path, c.computer)
			}
		}
	}
	whole("after the garbage")
	f.do("repository", "sweep", "main", "--compact")
	whole("after compaction")
	f.check() // the garbage was found out when others asked for what it claims to be
}
