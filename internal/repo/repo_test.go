package repo

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/storage"
	"keepward/internal/storage/vfs/memfs"
)

func TestABackupComesBackAsItWas(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	dir, err := storage.OpenDir(t.TempDir() + "/new/repository")
	must(t, err)
	s.create(t, dir)
	r, err := Open(ctx, dir)
	must(t, err)
	if diff := cmp.Diff(s.config(), r.Config()); diff != "" {
		t.Fatal(diff)
	}
	b := &backup{s: s, computer: "web1", attempt: attemptNumber(1), files: someFiles(40, 5000, 1), packSize: 20_000}
	stats, err := b.run(ctx, r)
	must(t, err)
	if stats.Packs < 3 {
		t.Fatalf("only %d packs: the test is too small", stats.Packs)
	}
	must(t, r.Close())

	r, err = Open(ctx, dir)
	must(t, err)
	defer r.Close() //nolint:errcheck // the test is over
	files, failed, err := restore(ctx, r, s, "web1", b.attempt)
	must(t, err)
	if diff := cmp.Diff(b.files, files); diff != "" || len(failed) > 0 {
		t.Fatalf("failed %v, diff %s", failed, diff)
	}
	if c := r.Conditions(); len(c) != 0 {
		t.Fatalf("conditions %v", c)
	}
	again := &backup{s: s, computer: "web1", attempt: attemptNumber(2), files: b.files}
	stats, err = again.run(ctx, r)
	must(t, err)
	if stats.Proved != 0 || stats.Bytes > 10_000 {
		t.Fatalf("an unchanged run of the same computer: %+v", stats)
	}
	st, err := r.Stats(ctx)
	must(t, err)
	if st.Points != 2 || st.Size < 20_000 || st.Free <= 0 {
		t.Fatalf("stats %+v", st)
	}
}

func TestCreateRefusesWhatIsThere(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m := disk(t, s)
	wantKind(t, "create again", Create(ctx, storage.NewDir(m, "/r"), s.config(), nil, Owner{}), errs.Exists, "repository.exists")
	wantKind(t, "create within", Create(ctx, storage.NewDir(m, "/r/sub"), s.config(), nil, Owner{}), errs.Exists, "repository.nested")
	wantKind(t, "probe within", Probe(ctx, storage.NewDir(m, "/r/packs")), errs.Exists, "repository.nested")
	wantKind(t, "create without parameters", Create(ctx, storage.NewDir(m, "/n"), Config{}, nil, Owner{}), errs.Invalid, "repository.configuration")
	_, err := Open(ctx, storage.NewDir(m, "/n"))
	wantKind(t, "open nothing", err, errs.NotFound, "repository.not-found")
	r := open(t, m)
	o, err := r.Owner(ctx)
	if err != nil || o.Term != 1 || string(o.Server) != "server-1" {
		t.Fatalf("owner %+v, %v", o, err)
	}
}

// A disk that fills up while the repository is made leaves a place where it can be made again.
func TestAFailedCreationCanBeRepeated(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	key, err := WrapMaster(s.id, s.rec, s.master)
	must(t, err)
	whole := disk(t, s).Calls()
	for n := 1; n <= whole; n++ {
		m := memfs.New()
		calls := 0
		m.SetHook(func(op memfs.Op, _ string) error {
			if calls++; calls >= n && op != memfs.Remove && op != memfs.SyncDir {
				return syscall.ENOSPC
			}
			return nil
		})
		err := Create(ctx, storage.NewDir(m, "/a/r"), s.config(), []KeyObject{key}, Owner{Term: 1})
		m.SetHook(nil)
		if err == nil {
			continue // the call that failed was one whose failure does not matter
		}
		if errs.KindOf(err) != errs.NoSpace {
			t.Fatalf("call %d: %v", n, err)
		}
		if err := Create(ctx, storage.NewDir(m, "/a/r"), s.config(), []KeyObject{key}, Owner{Term: 1}); err != nil {
			t.Fatalf("again after a failure at call %d: %v", n, err)
		}
	}
}

func TestAStrangerInTheIndexFolderDoesNoHarm(t *testing.T) {
	s := newSite()
	m, backups := twoBackups(t, s)
	must(t, storage.NewDir(m, "/r").Put(context.Background(), "index/01/notes.txt", []byte("hello")))
	r := open(t, m)
	if c := r.Conditions(); len(c) != 1 || c[0].Code != "segment.unreadable" {
		t.Fatalf("conditions %+v", c)
	}
	if _, failed, err := restore(context.Background(), r, s, "web1", backups[0].attempt); err != nil || len(failed) > 0 {
		t.Fatal(failed, err)
	}
}

// What an attempt that was cut off left unfinished is removed when it is settled.
func TestFencingRemovesUnfinishedPacks(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m := disk(t, s)
	b := &backup{s: s, computer: "web1", attempt: attemptNumber(1), files: someFiles(5, 100, 1)}
	w, err := b.writer(open(t, m))
	must(t, err)
	_, err = b.store(ctx, w)
	must(t, err)
	m = m.Reopen() // its mover was killed
	parts := func() int {
		entries, err := m.ReadDir("/r/" + attemptDir(b.attempt))
		must(t, err)
		return len(entries)
	}
	if parts() != 2 {
		t.Fatalf("%d packs are open", parts())
	}
	if _, err := open(t, m).Fence(ctx, b.attempt, "killed"); err != nil || parts() != 0 {
		t.Fatalf("%d are left, %v", parts(), err)
	}
	w.Abort()
}

// A second computer's backup of the same content is proved by opening, not stored; what is
// proved is proved for all.
// A chunk whose content is not what its id says must never serve another computer.
func TestAFencedAttemptCannotCommit(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m := disk(t, s)
	b := &backup{s: s, computer: "web1", attempt: attemptNumber(1), files: someFiles(5, 100, 1)}
	w, err := b.writer(open(t, m))
	must(t, err)
	defer w.Abort()
	d, err := b.store(ctx, w)
	must(t, err)
	r := open(t, m)
	if there, err := r.Fence(ctx, b.attempt, "lease lost"); err != nil || there {
		t.Fatalf("fence: %v, %v", there, err)
	}
	if there, err := r.Fence(ctx, b.attempt, "again"); err != nil || there {
		t.Fatalf("second fence: %v, %v", there, err)
	}
	wantKind(t, "checkpoint", w.Checkpoint(ctx, d, nil), errs.Denied, "attempt.fenced")
	late := &backup{s: s, computer: "web1", attempt: attemptNumber(2), files: b.files}
	_, err = r.Fence(ctx, late.attempt, "before it began")
	must(t, err)
	_, err = late.run(ctx, open(t, m))
	wantKind(t, "commit", err, errs.Denied, "attempt.fenced")
	if got := committed(t, r); len(got) != 0 {
		t.Fatalf("committed: %v", got)
	}
}

func TestOfCommitAndFenceExactlyOneWins(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m := disk(t, s)
	for i := range 60 {
		b := &backup{s: s, computer: "web1", attempt: attemptNumber(i + 1), files: map[string]string{"a": fmt.Sprint(i)}}
		r := open(t, m)
		w, err := b.writer(r)
		must(t, err)
		d, err := b.store(ctx, w)
		must(t, err)
		must(t, w.Flush(ctx))
		var cerr, ferr error
		var there bool
		var wg sync.WaitGroup
		wg.Go(func() { cerr = w.Commit(ctx, d, []byte("issue")) })
		wg.Go(func() { there, ferr = open(t, m).Fence(ctx, b.attempt, "race") })
		wg.Wait()
		must(t, ferr)
		if there != (cerr == nil) {
			t.Fatalf("round %d: fence says committed %v, commit says %v", i, there, cerr)
		}
		if cerr != nil {
			wantKind(t, "commit", cerr, errs.Denied, "attempt.fenced")
		}
		w.Abort()
	}
}

func TestWritersAtOnceDoNotDisturbEachOther(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m := disk(t, s)
	shared := someFiles(30, 2000, 7)
	var wg sync.WaitGroup
	backups := make([]*backup, 4)
	errsOf := make([]error, len(backups))
	for i := range backups {
		files := someFiles(30, 2000, uint64(i)+100)
		for k, v := range shared {
			files["shared/"+k] = v
		}
		backups[i] = &backup{s: s, computer: fmt.Sprintf("web%d", i%2), attempt: attemptNumber(i + 1), files: files, packSize: 10_000}
		r := open(t, m)
		wg.Go(func() { _, errsOf[i] = backups[i].run(ctx, r) })
	}
	wg.Wait()
	r := open(t, m)
	for i, b := range backups {
		must(t, errsOf[i])
		files, failed, err := restore(ctx, r, s, b.computer, b.attempt)
		must(t, err)
		if diff := cmp.Diff(b.files, files); diff != "" || len(failed) > 0 {
			t.Fatalf("backup %d: failed %v, diff %s", i, failed, diff)
		}
	}
	report, err := r.Check(ctx, s.check(CheckOptions{ReadData: true}))
	if err != nil || len(report.Findings) != 0 {
		t.Fatalf("check: %+v, %v", report.Findings, err)
	}
}

// A full disk ends the attempt with that reason; what was committed stays, and once there is
// room the next run works.
// After a failed sync nothing more is acknowledged, even if the next sync would succeed: the
// system may have dropped the bytes.
// What an aborted attempt had made durable is there for the next one; what it had not is gone.
