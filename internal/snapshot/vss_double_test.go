package snapshot_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"keepward/internal/snapshot"
)

// windows is a double of the service: shadow copies are copies of directories. It refuses calls in an
// order in which Windows would refuse them, and notes them.
type windows struct {
	dir     string
	volumes map[string]string // directories, by the names of volumes

	mu       sync.Mutex
	calls    []string
	shadows  map[snapshot.VSSID]*shadowDouble
	next     uint32
	making   *backupDouble // whose set is being made; nil: nobody's
	open     int           // objects that were not released
	pending  int           // what goes on and was not released
	fails    map[string]error
	hangs    map[string]bool // it goes on, and is not done for a long time
	deaf     bool            // what goes on does not hear that it shall end
	careless bool            // what is released is not removed
	called   func(call string)
	slow     time.Duration // to abort
}

type shadowDouble struct {
	by  *backupDouble
	of  string
	dir string
}

func newWindows(t *testing.T) *windows {
	return &windows{dir: t.TempDir(), volumes: map[string]string{}, shadows: map[snapshot.VSSID]*shadowDouble{}, fails: map[string]error{}, hangs: map[string]bool{}}
}

// volume makes an empty one.
func (w *windows) volume(t *testing.T) snapshot.Volume {
	t.Helper()
	name := fmt.Sprintf(`\\?\Volume{%d}\`, len(w.volumes)+1)
	w.volumes[name] = t.TempDir()
	return snapshot.Volume{ID: len(w.volumes), Root: "/", Mount: w.volumes[name], Type: "NTFS", Source: name, Device: name}
}

func (w *windows) state() (shadows, open, pending int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.shadows), w.open, w.pending
}

// from says how it is from now on.
func (w *windows) from(now func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now()
}

// told answers what was called, and forgets it.
func (w *windows) told() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	calls := w.calls
	w.calls = nil
	return strings.Join(calls, " ")
}

// dies does what Windows does for a process that is gone.
func (w *windows) dies() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.careless {
		clear(w.shadows)
	}
	w.making, w.open, w.pending = nil, 0, 0
}

// note notes a call, and answers what it is to answer; mu is held.
func (w *windows) note(call string) error {
	w.calls = append(w.calls, call)
	if w.called != nil {
		w.called(call)
	}
	return w.fails[call]
}

func (w *windows) Open() (snapshot.VSSBackup, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.note("Create"); err != nil {
		return nil, err
	}
	w.open++
	return &backupDouble{w: w, did: map[string]bool{}}, nil
}

func (w *windows) Readable(device string) error {
	_, err := os.Stat(device)
	return err
}

// backupDouble is an object of it.
type backupDouble struct {
	w     *windows
	did   map[string]bool
	all   bool // of the context of all shadow copies
	added []snapshot.VSSID
	of    []string
}

const badState = snapshot.HResult(0x80042301)

// do is a call that needs others before it.
func (b *backupDouble) do(call string, needs ...string) error {
	if err := b.w.note(call); err != nil {
		return err
	}
	for _, n := range needs {
		if !b.did[n] {
			return badState
		}
	}
	b.did[call] = true
	return nil
}

func (b *backupDouble) locked(fn func() error) error {
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	if b.did["Release"] {
		return badState
	}
	return fn()
}

func (b *backupDouble) InitializeForBackup() error {
	return b.locked(func() error { return b.do("Initialize") })
}

func (b *backupDouble) SetContext(c snapshot.VSSContext) error {
	return b.locked(func() error {
		b.all = c == snapshot.VSSCtxAll
		return b.do("SetContext", "Initialize")
	})
}

func (b *backupDouble) SetBackupState() error {
	return b.locked(func() error { return b.do("SetState", "Initialize") })
}

func (b *backupDouble) IsVolumeSupported(volume string) (yes bool, err error) {
	err = b.locked(func() error {
		yes = b.w.volumes[volume] != ""
		return b.do("IsSupported", "Initialize")
	})
	return yes, err
}

func (b *backupDouble) StartSnapshotSet() (id snapshot.VSSID, err error) {
	return id, b.locked(func() error {
		if b.all || b.w.making != nil {
			b.w.calls = append(b.w.calls, "busy")
			return snapshot.VSSInProgress
		}
		if err := b.do("Start", "Gather", "SetState"); err != nil {
			return err
		}
		b.w.making = b
		return nil
	})
}

func (b *backupDouble) AddToSnapshotSet(volume string) (id snapshot.VSSID, err error) {
	err = b.locked(func() error {
		if err := b.do("Add", "Start"); err != nil {
			return err
		}
		b.w.next++
		id = snapshot.VSSID{Data1: b.w.next, Data2: 0x1234, Data3: 0xabcd, Data4: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}}
		b.added, b.of = append(b.added, id), append(b.of, volume)
		return nil
	})
	return id, err
}

// begin is a call that answers what goes on.
func (b *backupDouble) begin(call string, done func() error, needs ...string) (a snapshot.VSSAsync, err error) {
	err = b.locked(func() error {
		if err := b.do(call, needs...); err != nil {
			return err
		}
		if b.did[call] = false; done == nil {
			done = func() error { return nil }
		}
		b.w.pending++
		left := 1 // it takes two looks
		if b.w.hangs[call] {
			left = 1 << 20
		}
		a = &asyncDouble{b: b, call: call, left: left, done: done}
		return nil
	})
	return a, err
}

func (b *backupDouble) GatherWriterMetadata() (snapshot.VSSAsync, error) {
	return b.begin("Gather", nil, "Initialize", "SetContext", "SetState")
}

func (b *backupDouble) PrepareForBackup() (snapshot.VSSAsync, error) {
	return b.begin("Prepare", nil, "Add")
}

func (b *backupDouble) DoSnapshotSet() (snapshot.VSSAsync, error) {
	return b.begin("Do", func() error {
		b.w.making = nil
		for i, id := range b.added {
			s := &shadowDouble{by: b, of: b.of[i], dir: filepath.Join(b.w.dir, fmt.Sprint("HarddiskVolumeShadowCopy", id.Data1))}
			if err := os.CopyFS(s.dir, os.DirFS(b.w.volumes[s.of])); err != nil {
				return err
			}
			b.w.shadows[id] = s
		}
		return nil
	}, "Prepare")
}

func (b *backupDouble) BackupComplete() (snapshot.VSSAsync, error) {
	return b.begin("Complete", nil, "Do")
}

func (b *backupDouble) GetSnapshotProperties(id snapshot.VSSID) (p snapshot.VSSProperties, err error) {
	err = b.locked(func() error {
		if err := b.do("Properties"); err != nil {
			return err
		}
		s := b.w.shadows[id]
		if s == nil {
			return snapshot.VSSNotFound
		}
		if s.by != b && !b.all {
			return badState
		}
		p = snapshot.VSSProperties{Device: s.dir, Volume: s.of}
		return nil
	})
	return p, err
}

func (b *backupDouble) AbortBackup() error {
	time.Sleep(b.w.slow)
	return b.locked(func() error {
		if b.w.making == b {
			b.w.making = nil
		}
		return b.do("Abort")
	})
}

func (b *backupDouble) DeleteSnapshot(id snapshot.VSSID) error {
	return b.locked(func() error {
		if err := b.do("Delete"); err != nil {
			return err
		}
		if b.w.shadows[id] == nil {
			return snapshot.VSSNotFound
		}
		b.w.gone(id)
		return nil
	})
}

// gone removes a shadow copy; mu is held.
func (w *windows) gone(id snapshot.VSSID) {
	_ = os.RemoveAll(w.shadows[id].dir)
	delete(w.shadows, id)
}

func (b *backupDouble) Release() {
	_ = b.locked(func() error {
		for id, s := range b.w.shadows {
			if s.by == b && !b.w.careless {
				b.w.gone(id)
			}
		}
		if b.w.making == b {
			b.w.making = nil
		}
		b.w.open--
		return b.do("Release")
	})
}

// asyncDouble is what goes on.
type asyncDouble struct {
	b         *backupDouble
	call      string
	left      int // looks until it is done
	cancelled bool
	done      func() error
}

func (a *asyncDouble) Wait(d time.Duration) (bool, error) {
	w := a.b.w
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case a.cancelled && !w.deaf:
		return true, snapshot.VSSCancelled
	case a.left == 0:
		if err := w.fails["done "+a.call]; err != nil {
			return true, err
		}
		if err := a.done(); err != nil {
			return true, err
		}
		a.b.did[a.call] = true
		return true, nil
	}
	if a.left--; a.left > 0 {
		w.mu.Unlock()
		time.Sleep(d)
		w.mu.Lock()
	}
	return false, nil
}

func (a *asyncDouble) Cancel() error {
	a.b.w.mu.Lock()
	defer a.b.w.mu.Unlock()
	a.cancelled = true
	return a.b.w.note("Cancel")
}

func (a *asyncDouble) Release() {
	a.b.w.mu.Lock()
	defer a.b.w.mu.Unlock()
	a.b.w.pending--
}
