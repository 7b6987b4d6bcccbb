package mover

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/storage"
	"keepward/internal/storage/vfs"
)

// A mover is held to its shares of the disk as it writes and reads objects, and tells how far.
func TestADiskIsUsedNoFasterThanItsShares(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var r rates
		r.set(&keepwardv1.Rates{Read: 2 << 20, Write: 1 << 20})
		d := storage.NewDir(vfs.OS{}, dir)
		d.Hold(r.reading, r.writing)
		ctx := context.Background()
		began := time.Now()
		w, err := d.Create(ctx, "packs/a")
		if err != nil {
			t.Fatal(err)
		}
		for range 64 {
			if _, err := w.Write(make([]byte, 128<<10)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 7500*time.Millisecond || took > 8500*time.Millisecond {
			t.Errorf("8 MiB at 1 MiB a second were written in %s", took)
		}
		f, err := d.Open(ctx, "packs/a")
		if err != nil {
			t.Fatal(err)
		}
		began = time.Now()
		for i := range int64(64) {
			if _, err := f.ReadAt(make([]byte, 128<<10), i<<17); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took < 3700*time.Millisecond || took > 4300*time.Millisecond {
			t.Errorf("8 MiB at 2 MiB a second were read in %s", took)
		}
		if m := r.meter(); m.GetReadBytes() != 8<<20 || m.GetWrittenBytes() != 8<<20 || m.GetWrittenHeldMillis() < 7000 || m.GetReadHeldMillis() < 3500 {
			t.Errorf("its meter says %v", m)
		}
		r.set(&keepwardv1.Rates{Read: 1 << 10})
		_, _ = f.ReadAt(make([]byte, 1<<20), 0) // a debt of a quarter of an hour
		time.AfterFunc(time.Second, r.letGo)
		began = time.Now()
		_, _ = f.ReadAt(make([]byte, 1), 0)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("a task that is to end was held up for %s", took)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// What the server said first may come last.
func TestRatesThatComeLateArePassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rates
		r.set(&keepwardv1.Rates{Write: 1 << 20, Number: 7})
		r.set(&keepwardv1.Rates{Write: 1 << 10, Number: 6})
		r.set(&keepwardv1.Rates{}) // of the order to begin, which had none
		began := time.Now()
		for range 8 {
			r.writing(512 << 10)
		}
		if took := time.Since(began); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("4 MiB at 1 MiB a second took %s", took)
		}
		r.set(&keepwardv1.Rates{Number: 8})
		began = time.Now()
		r.writing(64 << 20)
		r.writing(1)
		if took := time.Since(began); took > time.Second {
			t.Errorf("after the limit was lifted it took %s", took)
		}
	})
}
