package agent

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"keepward/internal/durable"
	"keepward/internal/snapshot"
)

// formers are the snapshots that are kept beyond their backup, so that the next one can ask what
// has changed since. Which they are stands in a file; one that is not in it is a left-over.
type formers struct {
	file string
	now  func() time.Time

	mu   sync.Mutex
	list map[string]former // by what Name.Kept has
}

// former is a snapshot that is kept.
type former struct {
	Job   string    `json:"job"`
	Mount string    `json:"mount"`
	Until time.Time `json:"until"`
}

// leastFree is how much of a volume must be free for a snapshot to be kept on it: it holds what is
// overwritten and deleted meanwhile.
const leastFree = 0.05

// openFormers reads the file. If that cannot be done nothing is kept: that costs time, no more.
func openFormers(file string) (*formers, error) {
	f := &formers{file: file, now: time.Now, list: map[string]former{}}
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &f.list)
	}
	if err != nil || f.list == nil {
		f.list = map[string]former{}
	}
	return f, err
}

// jobKey names a job in the names of what is kept for it.
func jobKey(job string) string {
	h := sha256.Sum256([]byte(job))
	return hex.EncodeToString(h[:8])
}

// name is what the snapshot of a volume is called that is kept for a job.
func (f *formers) name(owner, job, mount string) snapshot.Name {
	h := sha256.Sum256([]byte(mount))
	return snapshot.Name{Owner: owner, Kept: jobKey(job) + hex.EncodeToString(h[:8])}
}

// known tells whether a snapshot is to stay.
func (f *formers) known(n snapshot.Name) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.list[n.Kept]
	return ok && f.now().Before(s.Until)
}

// add notes a snapshot, before it is called so.
func (f *formers) add(n snapshot.Name, s former) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list[n.Kept] = s
	return f.write()
}

// drop forgets those that which says of; they are removed by the next sweep.
func (f *formers) drop(which func(former) bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	some := false
	for key, s := range f.list {
		if which(s) {
			delete(f.list, key)
			some = true
		}
	}
	if !some {
		return nil
	}
	return f.write()
}

// write writes the file; mu is held.
func (f *formers) write() error {
	b, err := json.Marshal(f.list)
	if err != nil {
		return err
	}
	return durable.WriteFile(f.file, b, 0o600)
}

// keep keeps the snapshots of a backup that has made a point for the next one of its job.
func (o *shot) keep(ctx context.Context, attempt string) {
	if o.kept <= 0 {
		return
	}
	left := o.set.Snapshots[:0:0]
	for _, s := range o.set.Snapshots {
		if s.Kind != snapshot.Btrfs || !o.keepOne(ctx, attempt, s) {
			left = append(left, s)
		}
	}
	o.set.Snapshots = left
}

func (o *shot) keepOne(ctx context.Context, attempt string, s *snapshot.Snapshot) bool {
	a := o.of.a
	if free, err := snapshot.Free(s.Volume.Mount); err == nil && free < leastFree {
		a.event(attempt, "warning", "snapshot.room", fmt.Sprintf("the snapshot of %s is not kept, so that the next backup compares every file: only %.1f %% of the volume is free",
			volumeText(s.Volume), free*100), nil)
		return false
	}
	as := o.of.formers.name(o.of.owner, o.job, s.Volume.Mount)
	err := o.of.formers.add(as, former{Job: o.job, Mount: s.Volume.Mount, Until: o.of.formers.now().Add(o.kept)})
	if err == nil {
		err = o.of.taker.Keep(ctx, s, as)
	}
	if err != nil {
		o.of.failed(err)
		return false
	}
	return true
}

// former answers where the snapshot of a part lies that was kept by the backup before.
func (o *shot) former(ctx context.Context, s *snapshot.Snapshot, p snapshot.Part) func() (string, error) {
	return func() (string, error) {
		as := o.of.formers.name(o.of.owner, o.job, s.Volume.Mount)
		if !o.of.formers.known(as) {
			return "", os.ErrNotExist
		}
		root, ok := o.roots[as]
		if !ok {
			var done func()
			var err error
			if root, done, err = o.of.taker.Former(ctx, s, as); err != nil {
				return "", err
			}
			if o.roots == nil {
				o.roots = map[snapshot.Name]string{}
			}
			o.roots[as], o.ends = root, append(o.ends, done)
		}
		dir := filepath.Join(root, p.ID)
		_, err := os.Stat(dir)
		return dir, err
	}
}

// tendEvery is how often the agent looks for kept snapshots that are not needed any more, or take
// room that is.
const tendEvery = time.Hour

// tend removes those as long as the agent runs.
func (s *shots) tend(ctx context.Context) {
	tick := time.NewTicker(cmp.Or(s.a.cfg.TendEvery, tendEvery))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.makeRoom()
			s.sweep(ctx)
		}
	}
}

// makeRoom forgets the kept snapshots of volumes that fill up.
func (s *shots) makeRoom() {
	err := s.formers.drop(func(f former) bool {
		free, err := snapshot.Free(f.Mount)
		full := err == nil && free < leastFree
		if full {
			s.a.log.Warn("a kept snapshot is given up, because the volume fills up", "volume", f.Mount, "job", f.Job)
		}
		return full
	})
	if err != nil {
		s.failed(err)
	}
}
