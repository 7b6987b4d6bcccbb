package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/test/site"
)

// stats is what is counted in repository main.
func (f *fleet) stats() *keepwardv1.RepositoryStats {
	f.t.Helper()
	s := &keepwardv1.RepositoryStats{}
	f.must(f.Message(s, "repository", "stats", "main"))
	return s
}

// lastSaid are the events of the newest session.
func (f *fleet) lastSaid() []*keepwardv1.Event {
	f.t.Helper()
	sessions, err := f.Sessions()
	f.must(err)
	said, err := f.Events(sessions[0].Id)
	f.must(err)
	return said
}

// lastSweep is what the newest session, a sweep, reports.
func (f *fleet) lastSweep() *keepwardv1.SweepReport {
	f.t.Helper()
	sessions, err := f.Sessions()
	f.must(err)
	return sessions[0].GetReport().GetSweep()
}

// With parity a flipped bit costs nothing: a restore makes it good on its way and says so, a
// check mends it for good, and maintenance takes the damaged pack away.
func TestParityMendsAFlippedBit(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1")
	f.do("repository", "edit", "main", "--parity", "10")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 20, 12<<20, 1))
	f.createJob("docs", "web1", []string{src})
	f.run("docs")
	if s := f.stats(); s.GetParityPacks() == 0 || s.GetParityBytes() < 1<<20 {
		t.Fatalf("no parity was made: %v", s)
	}
	name := flip(t, f.repo, "packs/*/*/d*")

	restoresWarned(t, f, src)
	names(t, f.lastSaid(), "chunk.mended")

	r, err := f.CLI("repository", "check", "main", "--read-data")
	f.must(err)
	said := f.lastSaid()
	names(t, said, name, "parity of its pack")
	if lost := lostPaths(said, src); len(lost) != 0 {
		t.Errorf("%v are named as lost, and nothing is: %s", lost, r)
	}
	r, err = f.CLI("repository", "check", "main", "--read-data")
	f.must(err)
	if r.Code != exitLeftOut || !strings.Contains(r.Stderr+r.Stdout, "nothing is lost") {
		t.Errorf("the damaged pack is still there, and nothing needs it: %s", r)
	}
	same(t, src, below(f.restore("web1", "latest"), src))
	f.do("repository", "sweep", "main", "--compact")
	if _, err := os.Stat(filepath.Join(f.repo, name)); !os.IsNotExist(err) {
		t.Errorf("the damaged pack, which nothing needs: %v", err)
	}
	f.check()
	same(t, src, below(f.restore("web1", "latest"), src))
	same(t, src, below(f.extract("latest"), src))
}

// Where all is proved as it arrives, what an honest computer stored counts as proved at once, and
// what no point of a hostile one needs is not relied on by anybody.
func TestWhatArrivesIsProved(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1", "web2")
	f.do("repository", "edit", "main", "--foreign-proof", "arrival")
	dir := tempDir(t)
	src, popular := filepath.Join(dir, "src"), filepath.Join(dir, "popular")
	f.must(site.RandomTree(src, 20, 6<<20, 1))
	f.must(os.MkdirAll(popular, 0o755))
	f.must(os.WriteFile(filepath.Join(popular, "file"), oneChunk(1), 0o644))

	f.createJob("docs", "web1", []string{src})
	first := f.run("docs").GetProgress().GetCounters()
	names(t, f.lastSaid(), "arrival.proved")
	if p := f.repository().GetProof(); p.GetProvedPacks() == 0 || p.GetProvedPacks() != p.GetPacks() {
		t.Errorf("what arrived and was opened counts as proved: %v", p)
	}
	f.createJob("same", "web2", []string{src})
	if c := f.run("same").GetProgress().GetCounters(); c.GetStoredBytes()*20 > first.GetStoredBytes() {
		t.Errorf("%d bytes were stored of what web1 stored: %d", c.GetStoredBytes(), first.GetStoredBytes())
	}

	evil := newFakeAgent(f, "evil", 0)
	f.createJob("evil", "evil", []string{popular})
	id := f.start("evil")
	evil.poison(f, evil.order(t), oneChunk(1)) // its point needs none of it
	f.do("session", "kill", itoa(int(id)))
	_, err := f.WaitFinal(id, sessionWithin)
	f.must(err)
	f.createJob("popular", "web1", []string{popular})
	f.run("popular")
	same(t, popular, below(f.restore("web1", f.pointOf("web1", "popular")), popular))
}

// A sweep that compacts compresses harder what was stored fast and takes out of the bundles what
// no point needs; what is left restores bit for bit.
func TestCompactionMakesWhatRestsDense(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1")
	f.do("repository", "edit", "main", "--undelete-grace", "0s")
	src := filepath.Join(tempDir(t), "src")
	for i := range 3000 {
		dir := filepath.Join(src, fmt.Sprintf("d%02d", i%20))
		f.must(os.MkdirAll(dir, 0o755))
		var text strings.Builder
		for line := range 60 + i%40 {
			fmt.Fprintf(&text, "%d: line %d of file %d says %d\n", i*line, line, i, (i*7919+line*104729)%100003)
		}
		f.must(os.WriteFile(filepath.Join(src, fmt.Sprintf("d%02d", i%20), fmt.Sprintf("f%04d", i)), []byte(text.String()), 0o644))
	}
	f.createJob("docs", "web1", []string{src}, "--compression", "fast")
	first := f.run("docs").Tasks[0].Point
	fast := f.stats().GetStoredBytes()
	f.do("repository", "sweep", "main", "--compact")
	if r := f.lastSweep(); r.GetRecompressedBytes() == 0 {
		t.Errorf("what was compressed fast was not compressed harder: %v", r)
	}
	for i := range 3000 { // five of six go, spread over all bundles
		if i%6 != 0 {
			f.must(os.Remove(filepath.Join(src, fmt.Sprintf("d%02d", i%20), fmt.Sprintf("f%04d", i))))
		}
	}
	f.run("docs")
	f.do("point", "delete", first, "--yes")
	f.do("repository", "sweep", "main", "--compact")
	if r := f.lastSweep(); r.GetPunchedBytes() == 0 {
		t.Errorf("no dead file was taken out of a bundle: %v", r)
	}
	names(t, f.lastSaid(), "compact.punched")
	if now := f.stats().GetStoredBytes(); now*4 > fast {
		t.Errorf("%d bytes are stored for a sixth of what took %d", now, fast)
	}
	f.check()
	same(t, src, below(f.restore("web1", "latest"), src))
	same(t, src, below(f.extract("latest"), src))
}
