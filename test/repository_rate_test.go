package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/test/site"
)

// A backup under the write limit of its repository, and a restore under the read limit; both limits are
// edited meanwhile. What is moved is what the kernel counts of the mover.
func TestRepositoryLimits(t *testing.T) {
	f := newFleet(t, "web1")
	src := filepath.Join(f.Dir, "src")
	f.must(os.Mkdir(src, 0o755))
	f.must(largeFile(filepath.Join(src, "disk.img"), 144<<20))
	f.createJob("docs", "web1", []string{src})

	f.do("repository", "edit", "main", "--write-limit", "10MB/s")
	id := f.start("docs")
	m := f.mover()
	f.moved(m, "wchar", 4<<20)
	f.atRate(m, "wchar", "a backup", 10)
	f.do("repository", "edit", "main", "--write-limit", "25MB/s")
	f.atRate(m, "wchar", "a backup, after the limit was edited", 25)
	s, err := f.Session(id)
	f.must(err)
	if got := s.GetTasks()[0].GetRate().GetWrite(); got != 25_000_000 {
		t.Errorf("its task is held to %d bytes a second", got)
	}
	f.do("repository", "edit", "main", "--write-limit", "", "--read-limit", "10MB/s")
	if s = f.final(id, "Completed"); s.GetLimits().GetTarget() < 50 {
		t.Errorf("the repository limited the backup by %d%%, want most: %v", s.GetLimits().GetTarget(), s.GetLimits())
	}

	to := filepath.Join(f.Dir, "back")
	var back keepwardv1.StartSessionResponse
	f.must(f.Message(&back, "restore", "files", "--computer", "web1", "--point", "latest", "--to", to))
	m = f.mover()
	f.moved(m, "rchar", 4<<20)
	f.atRate(m, "rchar", "a restore", 10)
	f.do("repository", "edit", "main", "--read-limit", "25MB/s")
	f.atRate(m, "rchar", "a restore, after the limit was edited", 25)
	f.do("repository", "edit", "main", "--read-limit", "")
	f.final(back.Session, "Completed")
	same(t, src, below(to, src))
}

// mover waits for the one mover that runs.
func (f *fleet) mover() (m site.Mover) {
	f.t.Helper()
	f.must(site.Until(20*time.Second, "data mover", func() (bool, error) {
		live := site.Movers(f.store)
		if len(live) == 1 {
			m = live[0]
		}
		return len(live) == 1, nil
	}))
	return m
}

// counted is what the kernel counts of a process: rchar, what it read, wchar, what it wrote.
func (f *fleet) counted(m site.Mover, what string) (n int64) {
	f.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", m.Pid))
	f.must(err)
	for line := range strings.Lines(string(b)) {
		if _, err := fmt.Sscanf(line, what+": %d", &n); err == nil {
			return n
		}
	}
	f.t.Fatalf("the kernel does not count %s", what)
	return 0
}

// moved waits until a mover has moved so much more: until it is at its pace.
func (f *fleet) moved(m site.Mover, what string, more int64) {
	f.t.Helper()
	before := f.counted(m, what)
	f.must(site.Until(20*time.Second, what+" of the mover", func() (bool, error) { return f.counted(m, what) > before+more, nil }))
}

const (
	// rateTakesHold is how soon an edit has to be seen, rateWindow over how long a rate is measured, of which
	// a chunk is a thirtieth at most.
	rateTakesHold = time.Second
	rateWindow    = 2 * time.Second
)

// atRate compares what a mover moves with MB a second, within 15 of a hundred.
func (f *fleet) atRate(m site.Mover, counter, what string, want float64) {
	f.t.Helper()
	time.Sleep(rateTakesHold)
	before, began := f.counted(m, counter), time.Now()
	time.Sleep(rateWindow)
	got := float64(f.counted(m, counter)-before) / 1e6 / time.Since(began).Seconds()
	f.t.Logf("%s: %.1f MB/s", what, got)
	if got < want*0.85 || got > want*1.15 {
		f.t.Errorf("%s moves %.1f MB/s, want %.0f within 15 of a hundred", what, got, want)
	}
}
