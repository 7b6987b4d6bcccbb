package storage_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"keepward/internal/errs"
	"keepward/internal/storage"
	"keepward/internal/storage/contract"
	"keepward/internal/storage/vfs/memfs"
)

func memDir(t *testing.T, m *memfs.FS) *storage.Dir {
	t.Helper()
	if err := m.Mkdir("/r"); err != nil {
		t.Fatal(err)
	}
	if err := m.SyncDir("/"); err != nil {
		t.Fatal(err)
	}
	return storage.NewDir(m, "/r")
}

func TestDirKeepsTheContract(t *testing.T) {
	contract.Run(t, func(t *testing.T) storage.Backend {
		d, err := storage.OpenDir(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return d
	})
}

func TestDirInMemoryKeepsTheContract(t *testing.T) {
	contract.Run(t, func(t *testing.T) storage.Backend { return memDir(t, memfs.New()) })
}

// What was acknowledged must be there, whole, after the power went at any call; what was not
// must be there whole or not at all.
func TestAcknowledgedObjectsSurvivePowerLossAtEveryCall(t *testing.T) {
	ctx := context.Background()
	history := func(d *storage.Dir) (acknowledged map[string]string) {
		acknowledged = map[string]string{}
		for i := range 3 {
			name, content := fmt.Sprintf("points/p%d", i), fmt.Sprintf("content of point %d", i)
			if d.Put(ctx, name, []byte(content)) == nil {
				acknowledged[name] = content
			}
			name, content = fmt.Sprintf("packs/aa/%d/d1", i), fmt.Sprintf("content of pack %d", i)
			w, err := d.Create(ctx, name)
			if err != nil {
				continue
			}
			_, _ = w.Write([]byte(content[:4])) // a failure shows at Commit
			_, _ = w.Write([]byte(content[4:]))
			if w.Commit(ctx) == nil {
				acknowledged[name] = content
			}
		}
		return acknowledged
	}
	whole := history(memDir(t, memfs.New()))
	m := memfs.New()
	history(memDir(t, m))
	for n := 3; n <= m.Calls(); n++ {
		for seed := range uint64(8) {
			m := memfs.New()
			d := memDir(t, m)
			m.DieAt(n)
			acknowledged := history(d)
			after := storage.NewDir(m.Restart(seed), "/r")
			for name, content := range acknowledged {
				if got, err := after.Get(ctx, name, 1000); err != nil || string(got) != content {
					t.Fatalf("call %d, seed %d: acknowledged %s is %q, %v", n, seed, name, got, err)
				}
			}
			err := after.List(ctx, "", func(i storage.Info) error {
				if got, err := after.Get(ctx, i.Name, 1000); err != nil || string(got) != whole[i.Name] {
					return fmt.Errorf("%s is %q, %v", i.Name, got, err)
				}
				return nil
			})
			if err != nil {
				t.Fatalf("call %d, seed %d: %v", n, seed, err)
			}
		}
	}
}

// Who lists an object that its maker did not live to make durable, and calls Sync, can rely
// on it from then on.
func TestSyncMakesAListedObjectDurable(t *testing.T) {
	ctx := context.Background()
	m := memfs.New()
	d := memDir(t, m)
	linked := false
	m.SetHook(func(op memfs.Op, name string) error {
		linked = linked || op == memfs.Link
		if linked && op == memfs.SyncDir {
			return syscall.EIO // the maker dies between link and sync
		}
		return nil
	})
	if err := d.Put(ctx, "points/x", []byte("point")); err == nil || !linked {
		t.Fatalf("put: %v, linked %v", err, linked)
	}
	m = m.Reopen()
	finder := storage.NewDir(m, "/r")
	if err := finder.Sync(ctx, "points"); err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(16) {
		m = m.Restart(seed)
		if got, err := storage.NewDir(m, "/r").Get(ctx, "points/x", 100); err != nil || string(got) != "point" {
			t.Fatalf("seed %d: %q, %v", seed, got, err)
		}
	}
}

func TestEveryFailingCallFailsThePut(t *testing.T) {
	ctx := context.Background()
	for _, op := range []memfs.Op{memfs.Create, memfs.Write, memfs.Sync, memfs.Link, memfs.SyncDir, memfs.Mkdir} {
		t.Run(string(op), func(t *testing.T) {
			m := memfs.New()
			d := memDir(t, m)
			hits := 0
			m.SetHook(func(o memfs.Op, _ string) error {
				if o == op {
					hits++
					return syscall.ENOSPC
				}
				return nil
			})
			put := d.Put(ctx, "points/x", []byte("content"))
			w, create := d.Create(ctx, "packs/aa/d1")
			if create == nil {
				_, _ = w.Write([]byte("content"))
				create = w.Commit(ctx)
			}
			for _, err := range []error{put, create} {
				if errs.KindOf(err) != errs.NoSpace || errs.CodeOf(err) != "repository.no-space" || errs.HintOf(err) == "" {
					t.Errorf("error %v, kind %q, code %q", err, errs.KindOf(err), errs.CodeOf(err))
				}
			}
			if hits == 0 {
				t.Error("the fault was never met")
			}
		})
	}
}

func TestCleanRemovesOnlyWhatWasNotCommitted(t *testing.T) {
	ctx := context.Background()
	root := t.TempDir()
	d, err := storage.OpenDir(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Put(ctx, "packs/aa/done", []byte("x")); err != nil {
		t.Fatal(err)
	}
	w, err := d.Create(ctx, "packs/aa/open")
	if err != nil {
		t.Fatal(err)
	}
	_ = w
	if err := os.WriteFile(filepath.Join(root, "tmp", "left"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"packs", "tmp"} {
		if err := d.Clean(ctx, dir); err != nil {
			t.Fatal(err)
		}
	}
	var left []string
	_ = filepath.WalkDir(root, func(p string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			left = append(left, filepath.Base(p))
		}
		return err
	})
	if len(left) != 1 || left[0] != "done" {
		t.Fatalf("left: %v", left)
	}
}

// When a file system is unmounted under us, what is below its place is no repository: nothing
// is acknowledged there, and "there is none" is not believed.
func TestADirectoryThatWasUnmountedIsNotTakenForTheSame(t *testing.T) {
	ctx := context.Background()
	m := memfs.New()
	d := memDir(t, m)
	if err := d.Put(ctx, "points/x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	w, err := d.Create(ctx, "packs/aa/d1")
	if err != nil {
		t.Fatal(err)
	}
	mount, err := m.Unmount("/r")
	if err != nil {
		t.Fatal(err)
	}
	_, get := d.Get(ctx, "points/x", 100)
	for what, err := range map[string]error{
		"get": get, "put": d.Put(ctx, "points/y", nil), "put into a new folder": d.Put(ctx, "other/y", nil),
		"commit": w.Commit(ctx), "delete": d.Delete(ctx, "points/x"), "sync": d.Sync(ctx, "points"),
		"list": d.List(ctx, "points", func(storage.Info) error { return nil }),
	} {
		if errs.KindOf(err) != errs.Unavailable || errs.CodeOf(err) != "repository.unmounted" || errs.HintOf(err) == "" {
			t.Errorf("%s: %v (%q, %q)", what, err, errs.KindOf(err), errs.CodeOf(err))
		}
	}
	below, err := m.ReadDir("/r")
	if err != nil || len(below) > 0 {
		t.Errorf("below the mount: %v, %v", below, err)
	}
	mount()
	if got, err := d.Get(ctx, "points/x", 100); err != nil || string(got) != "x" {
		t.Errorf("mounted again: %q, %v", got, err)
	}
}
