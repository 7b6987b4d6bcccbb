package repo

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/storage/vfs/memfs"
)

func TestForeignChunksAreReliedOnOnlyWhenProved(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m := disk(t, s)
	files := someFiles(20, 3000, 2)
	first := &backup{s: s, computer: "web1", attempt: attemptNumber(1), files: files}
	_, err := first.run(ctx, open(t, m))
	must(t, err)

	h := s.keys("x").NewHasher().Hash(seal.KindData, []byte(chunks(files["dir0/file0"])[0]))
	blind, err := open(t, m).NewWriter(context.Background(), WriterOptions{Attempt: attemptNumber(9), Owner: s.owner("db1")})
	must(t, err)
	defer blind.Abort()
	if have, err := blind.Have(ctx, []seal.H{h}); err != nil || have[0] {
		t.Fatalf("without keys a foreign chunk is there: %v, %v", have, err)
	}

	second := &backup{s: s, computer: "db1", attempt: attemptNumber(2), files: files}
	stats, err := second.run(ctx, open(t, m))
	must(t, err)
	if stats.Proved < 20 || stats.Bytes > 10_000 {
		t.Fatalf("second computer: %+v", stats)
	}
	third := &backup{s: s, computer: "db2", attempt: attemptNumber(3), files: files}
	stats, err = third.run(ctx, open(t, m))
	must(t, err)
	if stats.Proved != 0 || stats.Bytes > 10_000 {
		t.Fatalf("third computer should rely on the second's proofs: %+v", stats)
	}
}

func TestAPoisonedChunkDoesNotServeOthers(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m := disk(t, s)
	good := []byte("what everybody has")
	h := s.keys("evil").NewHasher().Hash(seal.KindData, good)
	putRecord(t, m, WriterOptions{Attempt: attemptNumber(1), Owner: s.owner("evil"), Keys: s.keys("evil")}, forged(t, s.keys("evil"), h))

	victim := &backup{s: s, computer: "web1", attempt: attemptNumber(2), files: map[string]string{"a": string(good)}}
	_, err := victim.run(ctx, open(t, m))
	must(t, err)
	files, failed, err := restore(ctx, open(t, m), s, "web1", victim.attempt)
	if err != nil || files["a"] != string(good) {
		t.Fatalf("restored %q, failed %v, %v", files, failed, err)
	}
}

func TestAForgedChunkDoesNotStandBeforeTheOneItsOwnerStored(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	good := []byte("what everybody has")
	h := s.keys("web1").NewHasher().Hash(seal.KindData, good)
	for what, forger := range map[string]int{"earlier": 1, "later": 3} {
		m := disk(t, s)
		owned := &backup{s: s, computer: "web1", attempt: attemptNumber(2), files: map[string]string{"a": string(good)}}
		_, err := owned.run(ctx, open(t, m))
		must(t, err)
		putRecord(t, m, WriterOptions{Attempt: attemptNumber(forger), Owner: s.owner("evil")}, forged(t, s.keys("evil"), h))

		r := open(t, m)
		opener, err := seal.NewOpener(s.keys("web1"))
		must(t, err)
		t.Cleanup(opener.Close)
		rec, err := r.ReadFor(ctx, s.owner("web1"), h.ID(), nil)
		must(t, err)
		if content, err := opener.Open(nil, &rec, h); err != nil || string(content) != string(good) {
			t.Errorf("forged %s: the owner reads %q, %v", what, content, err)
		}
		must(t, r.ReadGood(ctx, h.ID(), func(rec *seal.Record) error {
			_, err := opener.Open(nil, rec, h)
			return err
		}))
	}
}

// forged is a record with the id of h that does not hold its content.
func forged(t *testing.T, keys *seal.Keys, h seal.H) []byte {
	t.Helper()
	sealer, err := seal.NewSealer(keys, seal.CompressNone)
	must(t, err)
	rec, err := sealer.Seal(nil, seal.KindData, h, nil, []byte("something else entirely"))
	must(t, err)
	return rec
}

// putRecord stores one record in an attempt that is then given up.
func putRecord(t *testing.T, m *memfs.FS, o WriterOptions, rec []byte) {
	t.Helper()
	w, err := open(t, m).NewWriter(context.Background(), o)
	must(t, err)
	_, err = w.Put(rec)
	must(t, err)
	must(t, w.Flush(context.Background()))
	w.Abort()
}

func TestCommitRefusesAPointWhoseChunksAreMissing(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m := disk(t, s)
	keys := s.keys("web1")
	sealer, err := seal.NewSealer(keys, seal.CompressNone)
	must(t, err)
	node := []byte("a node")
	h := keys.NewHasher().Hash(seal.KindNode, node)
	child := seal.ID{1, 2, 3}
	rec, err := sealer.Seal(nil, seal.KindNode, h, []seal.ID{child}, node)
	must(t, err)
	for _, test := range []struct {
		name string
		put  bool
		d    point.Draft
	}{
		{"no root", false, point.Draft{Type: point.Complete, RootID: h.ID()}},
		{"no child of the root", true, point.Draft{Type: point.Complete, RootID: h.ID()}},
		{"no extra ref", false, point.Draft{Type: point.Complete, Refs: []seal.ID{child}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := open(t, m)
			w, err := r.NewWriter(context.Background(), WriterOptions{Attempt: attemptNumber(len(test.name)), Owner: s.owner("web1")})
			must(t, err)
			defer w.Abort()
			if test.put {
				_, err := w.Put(rec)
				must(t, err)
			}
			wantKind(t, "commit", w.Commit(ctx, test.d, nil), errs.Corrupt, "commit.chunk-missing")
			if got := committed(t, r); len(got) != 0 {
				t.Fatalf("committed: %v", got)
			}
		})
	}
}

func TestRefsToNothingDoNotFillTheMemory(t *testing.T) {
	s := newSite()
	keys := s.keys("evil")
	sealer, err := seal.NewSealer(keys, seal.CompressNone)
	must(t, err)
	w, err := open(t, disk(t, s)).NewWriter(context.Background(), WriterOptions{Attempt: attemptNumber(1), Owner: s.owner("evil"), Keys: keys})
	must(t, err)
	defer w.Abort()
	refs := make([]seal.ID, seal.MaxRefs)
	for n := byte(1); ; n++ {
		for i := range refs {
			refs[i] = seal.ID{n, byte(i), byte(i >> 8), byte(i >> 16), 1}
		}
		content := []byte{n}
		rec, err := sealer.Seal(nil, seal.KindNode, keys.NewHasher().Hash(seal.KindNode, content), refs, content)
		must(t, err)
		_, err = w.Put(rec)
		switch {
		case n <= maxMissing/seal.MaxRefs:
			must(t, err)
			continue
		case errs.CodeOf(err) != "commit.chunk-missing":
			t.Errorf("%d ids that are nowhere: %v", len(w.missing), err)
		}
		return
	}
}

func TestPutsFromManyGoroutinesAreAllStored(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	r := open(t, disk(t, s))
	w, err := r.NewWriter(context.Background(), WriterOptions{Attempt: attemptNumber(1), Owner: s.owner("web1"), PackSize: 5000})
	must(t, err)
	defer w.Abort()
	keys := s.keys("web1")
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			sealer, err := seal.NewSealer(keys, seal.CompressNone)
			if err != nil {
				t.Error(err)
				return
			}
			hasher := keys.NewHasher()
			for i := range 100 {
				content := fmt.Appendf(nil, "content %d of all or of %d", i, g*(i%2))
				rec, err := sealer.Seal(nil, seal.KindData, hasher.Hash(seal.KindData, content), nil, content)
				if err == nil {
					_, err = w.Put(rec)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	must(t, w.Flush(ctx))
	hasher := keys.NewHasher()
	for g := range 4 {
		for i := range 100 {
			h := hasher.Hash(seal.KindData, fmt.Appendf(nil, "content %d of all or of %d", i, g*(i%2)))
			if _, err := r.Read(ctx, h.ID(), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if st := w.Stats(); st.Chunks != 250 || st.Duplicates != 150 {
		t.Fatalf("stats %+v", st)
	}
}

func TestPutRefusesWhatIsNoRecordOfThisRepository(t *testing.T) {
	s := newSite()
	r := open(t, disk(t, s))
	w, err := r.NewWriter(context.Background(), WriterOptions{Attempt: attemptNumber(1)})
	must(t, err)
	defer w.Abort()
	other := newSite()
	other.master.Domain = 6
	sealRec := func(s *site) []byte {
		keys := s.keys("web1")
		sealer, err := seal.NewSealer(keys, seal.CompressNone)
		must(t, err)
		rec, err := sealer.Seal(nil, seal.KindData, keys.NewHasher().Hash(seal.KindData, []byte("x")), nil, []byte("x"))
		must(t, err)
		return rec
	}
	good := sealRec(s)
	_, err = w.Put(sealRec(other))
	wantKind(t, "another domain", err, errs.Invalid, "record.foreign")
	_, err = w.Put(append(good[:len(good):len(good)], 0))
	wantKind(t, "bytes after it", err, errs.Invalid, "record.foreign")
	bad := append([]byte(nil), good...)
	bad[len(bad)-1] ^= 1
	_, err = w.Put(bad)
	wantKind(t, "checksum", err, errs.Corrupt, "record.checksum")
	_, err = w.Put(punched(t, s.keys("web1")))
	wantKind(t, "a bundle without some members", err, errs.Invalid, "record.punched")
	if n, err := w.Put(good); err != nil || n != len(good) {
		t.Fatalf("a good one after that: %d, %v", n, err)
	}
	if n, err := w.Put(good); err != nil || n != 0 {
		t.Fatalf("the same again: %d, %v", n, err)
	}
}

// punched is a record as maintenance makes it.
func punched(t *testing.T, keys *seal.Keys) []byte {
	t.Helper()
	hs := keys.NewHasher()
	var b seal.BundleWriter
	b.Add(hs, []byte("x"))
	content, h := b.Finish(hs)
	bundle, err := seal.ParseBundle(content)
	must(t, err)
	sealer, err := seal.NewSealer(keys, seal.CompressNone)
	must(t, err)
	rec, err := sealer.Seal(nil, seal.KindBundle, h, nil, bundle.Without(nil, func(int) bool { return false }))
	must(t, err)
	return rec
}

func TestAFullDiskEndsTheAttemptAndNothingElse(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m := disk(t, s)
	first := &backup{s: s, computer: "web1", attempt: attemptNumber(1), files: someFiles(10, 2000, 1)}
	_, err := first.run(ctx, open(t, m))
	must(t, err)
	attempts := 100
	for _, op := range []memfs.Op{memfs.Create, memfs.Write, memfs.Sync, memfs.Link} {
		for after := range 4 {
			n := 0
			m.SetHook(func(o memfs.Op, _ string) error {
				if o == op {
					if n++; n > after {
						return syscall.ENOSPC
					}
				}
				return nil
			})
			attempts++
			b := &backup{s: s, computer: "web1", attempt: attemptNumber(attempts), files: someFiles(30, 2000, uint64(2+after)), packSize: 8000}
			_, err := b.run(ctx, open(t, m))
			m.SetHook(nil)
			if errs.KindOf(err) != errs.NoSpace || errs.HintOf(err) == "" {
				t.Fatalf("%s after %d: %v", op, after, err)
			}
		}
	}
	next := &backup{s: s, computer: "web1", attempt: attemptNumber(2), files: someFiles(30, 2000, 2)}
	_, err = next.run(ctx, open(t, m))
	must(t, err)
	r := open(t, m)
	for _, b := range []*backup{first, next} {
		files, _, err := restore(ctx, r, s, "web1", b.attempt)
		must(t, err)
		if diff := cmp.Diff(b.files, files); diff != "" {
			t.Fatal(diff)
		}
	}
	if got := committed(t, r); len(got) != 2 {
		t.Fatalf("committed: %v", got)
	}
}

func TestAFailedSyncPoisonsTheWriter(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m := disk(t, s)
	b := &backup{s: s, computer: "web1", attempt: attemptNumber(1), files: someFiles(5, 500, 1)}
	r := open(t, m)
	w, err := b.writer(r)
	must(t, err)
	defer w.Abort()
	d, err := b.store(ctx, w)
	must(t, err)
	once := false
	m.SetHook(func(o memfs.Op, _ string) error {
		if o == memfs.Sync && !once {
			once = true
			return syscall.EIO
		}
		return nil
	})
	for i := range 3 {
		if err := w.Commit(ctx, d, nil); err == nil {
			t.Fatalf("commit %d succeeded after a failed sync", i)
		}
	}
	if _, err := w.Have(ctx, make([]seal.H, 1)); err == nil {
		t.Fatal("have answers after a failed sync")
	}
	if got := committed(t, r); len(got) != 0 {
		t.Fatalf("committed: %v", got)
	}
}

func TestTheNextAttemptNeedNotStoreWhatAnAbortedOneDid(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	for _, test := range []struct {
		name string
		end  func(w *Writer, m *memfs.FS, d point.Draft)
	}{
		{"aborted", func(*Writer, *memfs.FS, point.Draft) {}},
		{"after a failed write", func(w *Writer, m *memfs.FS, d point.Draft) {
			m.SetHook(func(op memfs.Op, _ string) error {
				if op == memfs.Write {
					return syscall.ENOSPC
				}
				return nil
			})
			wantKind(t, "commit", w.Commit(ctx, d, nil), errs.NoSpace, "repository.no-space")
			m.SetHook(nil)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := disk(t, s)
			b := &backup{s: s, computer: "web1", attempt: attemptNumber(1), files: someFiles(40, 3000, 4), packSize: 10_000}
			w, err := b.writer(open(t, m))
			must(t, err)
			d, err := b.store(ctx, w)
			must(t, err)
			test.end(w, m, d)
			stored := w.Stats().Bytes
			w.Abort()
			if got := committed(t, open(t, m)); len(got) != 0 {
				t.Fatalf("committed: %v", got)
			}
			again := &backup{s: s, computer: "web1", attempt: attemptNumber(2), files: b.files}
			stats, err := again.run(ctx, open(t, m))
			must(t, err)
			if stats.Bytes > stored/2 {
				t.Fatalf("%d bytes stored again of %d", stats.Bytes, stored)
			}
			report, err := open(t, m).Check(ctx, s.check(CheckOptions{ReadData: true}))
			if err != nil || len(report.Findings) != 0 {
				t.Fatalf("%+v, %v", report.Findings, err)
			}
		})
	}
}

func TestACheckpointCanBeFoundAndTheLatestCounts(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m := disk(t, s)
	b := &backup{s: s, computer: "web1", attempt: attemptNumber(1), files: someFiles(5, 500, 1)}
	w, err := b.writer(open(t, m))
	must(t, err)
	defer w.Abort()
	d, err := b.store(ctx, w)
	must(t, err)
	must(t, w.Checkpoint(ctx, d, []byte("one")))
	must(t, w.Checkpoint(ctx, d, []byte("two")))
	r := open(t, m)
	raw, err := r.LatestCheckpoint(ctx, b.attempt)
	must(t, err)
	p, err := point.Parse(raw)
	if err != nil || p.Type != point.Checkpoint || string(p.Issue) != "two" {
		t.Fatalf("%+v, %v", p, err)
	}
	_, err = r.LatestCheckpoint(ctx, attemptNumber(2))
	wantKind(t, "checkpoint of another", err, errs.NotFound, "checkpoint.not-found")
	if got := committed(t, r); len(got) != 0 {
		t.Fatalf("a checkpoint shows as a point: %v", got)
	}
	// The same computer's next attempt relies on what the checkpoint made durable.
	next := &backup{s: s, computer: "web1", attempt: attemptNumber(2), files: b.files}
	stats, err := next.run(ctx, r)
	if err != nil || stats.Bytes > 5000 {
		t.Fatalf("%+v, %v", stats, err)
	}
}
