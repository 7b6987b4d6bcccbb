package test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
	"keepward/test/site"
)

const (
	// busyKills is how often the server of a busy site is killed where KEEPWARD_KILLS says nothing:
	// a hundred take minutes, and are for a night.
	busyKills = 10
	// busyJobs of them are at work or wait at any time, besides a check and a restore.
	busyJobs = 20
)

// busy is a site on which more is asked for than two streams give: backups of all computers, and
// checks and restores, which interrupt and are interrupted.
type busy struct {
	*fleet
	random    *rand.Rand
	computers []string
	jobs      []string
	src       string
	started   map[int64]bool // sessions that were answered for
}

// Kill -9 of the server at random moments of a busy site. After each start nothing is held by
// too many; in the end all that was answered for is there, ended once, with a point if it says so.
func TestKillTheServerOfABusySite(t *testing.T) {
	seed, kills := killSeed(t), busyKills
	if v := os.Getenv("KEEPWARD_KILLS"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatal(err)
		}
		kills = n
	}
	b := newBusy(t, seed)
	began := time.Now()
	for range kills {
		b.load()
		time.Sleep(time.Duration(b.random.Int64N(int64(700 * time.Millisecond)))) // the random moment
		b.Server.Kill()
		b.must(b.Server.Start())
		b.withinLimits()
	}
	t.Logf("%d kills in %s, %d sessions (seed %d)", kills, time.Since(began).Round(time.Second), len(b.started), seed)
	b.drain()
	interrupted := b.allOnce()
	if kills > 50 && interrupted == 0 { // a few kills may pass without one
		t.Error("nothing was interrupted: the site was not busy")
	}
	b.check()
	for _, c := range b.computers {
		same(t, b.src, below(b.restore(c, "latest"), b.src))
	}
}

func newBusy(t *testing.T, seed uint64) *busy {
	b := &busy{
		fleet: newFleet(t, "web1", "web2", "web3", "web4"), computers: []string{"web1", "web2", "web3", "web4"},
		random: rand.New(rand.NewPCG(seed, 2)), src: filepath.Join(tempDir(t), "src"), started: map[int64]bool{},
	}
	b.must(site.RandomTree(b.src, 300, 12<<20, seed))
	b.do("repository", "edit", "main", "--streams", "2")
	for i := range busyJobs {
		name := "job" + itoa(i)
		b.createJob(name, b.computers[i%len(b.computers)], []string{b.src}, "--restart-interval", "1s", "--attempts", "50")
		b.jobs = append(b.jobs, name)
	}
	b.run(b.jobs[0]) // something to check and to restore
	return b
}

// load starts what is not under way, as far as the server can be asked: what was not answered may
// have been started or not.
func (b *busy) load() {
	b.t.Helper()
	list, err := b.Sessions("--active")
	b.must(err)
	active := map[string]bool{}
	for _, s := range list {
		active[s.GetJob()+s.GetType()] = true
	}
	for _, name := range b.jobs[:1+b.random.IntN(len(b.jobs))] {
		if !active[name+"backup"] {
			b.begin("job", "run", name)
		}
	}
	if !active["verify"] {
		b.begin("repository", "check", "main", "--read-data", "--wait=false")
	}
	if !active["restore"] {
		to := filepath.Join(filepath.Dir(b.src), "restored"+itoa(len(b.started)))
		b.begin("restore", "files", "--computer", "web1", "--point", "latest", "--to", to)
	}
}

// begin starts a session and keeps its number.
func (b *busy) begin(args ...string) {
	b.t.Helper()
	made := &keepwardv1.StartSessionResponse{}
	b.must(b.Message(made, args...))
	b.started[made.GetSession()] = true
}

// withinLimits checks that no resource is held by more than it has room for.
func (b *busy) withinLimits() {
	b.t.Helper()
	m := &keepwardv1.ListResourcesResponse{}
	b.must(b.Message(m, "resource", "list"))
	for _, r := range m.GetResources() {
		if r.GetUsed() > r.GetCapacity() {
			b.t.Errorf("%s %s: %d of %d are in use by %v", r.GetKind(), r.GetName(), r.GetUsed(), r.GetCapacity(), r.GetHolders())
		}
	}
}

// drain waits until every session is over.
func (b *busy) drain() {
	b.t.Helper()
	b.must(site.Until(2*sessionWithin, "end of all sessions", func() (bool, error) {
		list, err := b.Sessions("--active")
		return len(list) == 0, err
	}))
}

// allOnce checks every session against its log and its points: it is there, it ended once, and a
// backup has a point if it says that it left one. It answers how many interruptions there were.
func (b *busy) allOnce() (interrupted int) {
	b.t.Helper()
	made := map[int64][]string{}
	for _, c := range b.computers {
		points, err := b.Points(c)
		b.must(err)
		for _, p := range points {
			made[p.GetSession()] = append(made[p.GetSession()], p.GetId())
		}
	}
	statuses := map[string]int{}
	for id := range b.started {
		s, err := b.Session(id)
		b.must(err)
		statuses[s.GetType()+" "+s.GetStatus()]++
		changes := b.changes(id)
		ends := 0
		for _, c := range changes {
			if c.to.Final() {
				ends++
			}
			if c.to == job.Interrupted {
				interrupted++
			}
		}
		if ends != 1 || !changes[len(changes)-1].to.Final() {
			b.t.Errorf("session %d ended %d times:\n%s", id, ends, b.sessionLog(id))
		}
		want := 0
		if s.GetType() == string(job.Backup) && job.Status(s.GetStatus()).LeftResult() {
			want = 1
		}
		if len(made[id]) != want {
			b.t.Errorf("session %d, a %s, is %s and has the points %q", id, s.GetType(), s.GetStatus(), made[id])
		}
		if want == 1 && !slices.Contains(made[id], s.GetTasks()[0].GetPoint()) {
			b.t.Errorf("session %d names the point %q, and made %q", id, s.GetTasks()[0].GetPoint(), made[id])
		}
	}
	b.t.Logf("they ended %v; %d interruptions", statuses, interrupted)
	if statuses["restore Completed w/ warnings"] > 0 {
		b.t.Error("a restore lost what its mover had to say")
	}
	if statuses["backup Completed"] == 0 {
		b.t.Error("no backup was completed: the site was not busy")
	}
	return interrupted
}
