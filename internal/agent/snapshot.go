package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/durable"
	"keepward/internal/errs"
	"keepward/internal/snapshot"
	"keepward/internal/source"
	"keepward/internal/track"
)

// shots are the snapshots that backups of this agent are read from. What a process knows of them
// ends with it: the next one removes all that it finds, but for those that are kept for the next
// backup of their job.
type shots struct {
	a     *agent
	taker *snapshot.Taker
	owner string
	dir   string

	mu sync.Mutex
	// live are those of this process, in use or kept for the next attempt.
	live map[snapshot.Name]bool
	// kept are those that wait for the next attempt of their task.
	kept map[string]*shot

	formers  *formers
	trackers *track.Trackers
	// hanging counts, by what they are for, the calls for a snapshot that have not come back.
	hanging map[string]int
}

// shot is the snapshots of one task.
type shot struct {
	of   *shots
	task string
	set  *snapshot.Set
	name snapshot.Name
	// hidden are directories that a walk leaves out.
	hidden []string
	// job is whose it is, and kept how long its next backup finds what it needs to know what has
	// changed; 0: that is not wanted, and moment is nil.
	job    string
	kept   time.Duration
	moment *track.Moment
	token  []byte
	// every is after how many runs every file is compared, compared that this one did, and missed
	// that there were changes of which nobody had told.
	every            int
	compared, missed bool

	opened *snapshot.Opened
	// roots are where kept snapshots of the backup before are open; ends is what close calls.
	roots map[snapshot.Name]string
	ends  []func()
	// ended: it no longer shows its state, and is not kept.
	ended bool
	// wanted, where it is closed, has who waits to remove it leave it: the next attempt has it.
	wanted chan struct{}
}

// sweepLimit bounds how long an agent that starts looks for what the one before has left.
const sweepLimit = time.Minute

// openShots finds out who this agent is to its snapshots.
func openShots(a *agent, dir string, taker *snapshot.Taker) (*shots, error) {
	if taker == nil {
		taker = snapshot.NewTaker(filepath.Join(dir, "mounts"))
	}
	s := &shots{a: a, taker: taker, dir: dir, live: map[snapshot.Name]bool{}, kept: map[string]*shot{}, hanging: map[string]int{}}
	var err error
	if s.formers, err = openFormers(filepath.Join(dir, "kept.json")); err != nil {
		s.failed(err)
	}
	file := filepath.Join(dir, "owner")
	b, err := os.ReadFile(file)
	if s.owner = strings.TrimSpace(string(b)); err == nil && len(s.owner) == 16 {
		return s, nil
	}
	// It is durable before anything bears it: what nobody knows any more would stay for good.
	s.owner = snapshot.NewID()
	if err = os.MkdirAll(dir, 0o700); err == nil {
		err = durable.WriteFile(file, []byte(s.owner+"\n"), 0o600)
	}
	if err != nil {
		return nil, errs.New(errs.KindOf(err), "snapshot.owner", "note whose the snapshots of this agent are: %w", err)
	}
	return s, nil
}

// sweep removes what earlier processes have left. What cannot be removed is tried again before the
// next snapshot.
func (s *shots) sweep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sweepLimit)
	defer cancel()
	known := func(n snapshot.Name) bool {
		if n.Kept != "" {
			return s.formers.known(n)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for set := range s.live {
			if n.Of(set) {
				return true
			}
		}
		return false
	}
	for _, what := range s.taker.Sweep(ctx, s.owner, known, s.failed) {
		s.a.log.Info("a snapshot that was left over is removed", "snapshot", what)
	}
}

func (s *shots) failed(err error) { s.a.log.Warn("snapshot", "error", err) }

func (s *shots) know(n snapshot.Name, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known {
		s.live[n] = true
	} else {
		delete(s.live, n)
	}
}

// again answers the snapshots that an attempt before has left; nil: there are none.
func (s *shots) again(ctx context.Context, m *keepwardv1.StartBackupRequest) *shot {
	if s == nil {
		return nil
	}
	old := s.takeUp(ctx, m.GetOrder().GetTask())
	if old == nil {
		return nil
	}
	for _, c := range old.set.Snapshots {
		s.a.event(m.GetOrder().GetAttempt(), "info", "snapshot.kept", fmt.Sprintf("%s is read from the %s snapshot of %s, which was kept for this attempt",
			volumeText(c.Volume), c.Kind, c.Taken.Format(time.TimeOnly)), nil)
	}
	return old
}

// takeUp answers what an attempt before has left and can still be read.
func (s *shots) takeUp(ctx context.Context, task string) *shot {
	s.mu.Lock()
	old := s.kept[task]
	delete(s.kept, task)
	s.mu.Unlock()
	if old == nil {
		return nil
	}
	close(old.wanted)
	_, err := old.open(ctx)
	if err == nil {
		err = s.taker.Check(ctx, old.set)
	}
	if err != nil {
		s.a.log.Warn("a snapshot that was kept is gone", "task", task, "error", err)
		old.remove(ctx)
		return nil
	}
	return old
}

// open makes the snapshots readable and answers how a walk finds them.
func (o *shot) open(ctx context.Context) (*source.View, error) {
	if o == nil {
		return nil, nil
	}
	if o.opened == nil {
		var err error
		if o.opened, err = o.of.taker.Open(ctx, o.set); err != nil {
			return nil, err
		}
	}
	if o.moment != nil {
		o.moment.Read(ctx, o.units(ctx))
	}
	v := &source.View{Hidden: o.hidden}
	o.opened.Each(func(s *snapshot.Snapshot, p snapshot.Part, from string) {
		g := source.Graft{At: p.At}
		if from != "" {
			g = source.Graft{At: p.At, From: from, Device: p.Device, Taken: s.Taken}
		}
		v.Grafts = append(v.Grafts, g)
	})
	for _, b := range o.set.Beside {
		// A file that is mounted over another is read below it. The separator: on Windows the folder
		// of a volume is what leads to it, and is asked for what it leads to.
		if info, err := os.Lstat(b.Mount + string(filepath.Separator)); err == nil && info.IsDir() {
			v.Grafts = append(v.Grafts, source.Graft{At: b.Mount})
		}
	}
	return v, nil
}

// close ends the reading: what is kept does not hold the volume.
func (o *shot) close() {
	if o == nil {
		return
	}
	for _, end := range o.ends {
		end()
	}
	o.ends, o.roots = nil, nil
	if o.opened != nil {
		o.opened.Close()
		o.opened = nil
	}
}

// release ends the use of the snapshots. Those of an attempt that made no point are kept for the
// next one, for a time.
func (o *shot) release(ctx context.Context, attempt string, done bool, keep time.Duration) {
	if o == nil {
		return
	}
	o.close()
	if done && o.token != nil {
		o.keep(context.WithoutCancel(ctx), attempt)
		o.moment.Done(o.token, o.compared)
	}
	if len(o.set.Snapshots) == 0 {
		o.of.know(o.name, false)
		return
	}
	if done || o.ended || keep <= 0 || o.of.a.ctx.Err() != nil {
		o.remove(ctx)
		return
	}
	o.wanted = make(chan struct{})
	o.of.mu.Lock()
	o.of.kept[o.task] = o
	o.of.mu.Unlock()
	o.of.a.work.Go(func() { o.wait(keep) })
}

// wait removes the snapshots when nobody wanted them for a time, or when the agent ends.
func (o *shot) wait(keep time.Duration) {
	timer := time.NewTimer(keep)
	defer timer.Stop()
	select {
	case <-o.wanted:
		return
	case <-timer.C:
	case <-o.of.a.ctx.Done():
	}
	o.of.mu.Lock()
	mine := o.of.kept[o.task] == o
	if mine {
		delete(o.of.kept, o.task)
	}
	o.of.mu.Unlock()
	if mine {
		o.remove(context.Background())
	}
}

func (o *shot) remove(ctx context.Context) {
	o.close()
	o.of.taker.Remove(ctx, o.set, o.of.failed)
	o.of.know(o.name, false)
}
