package pipeline

import (
	"context"
	"errors"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"keepward/internal/errs"
	"keepward/internal/repo/chunk"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/signature"
	"keepward/internal/source"
)

// Options are what one backup is told.
type Options struct {
	Attempt   point.Attempt
	Keys      *seal.Keys
	Selection source.Selection
	// Parent names the point to compare with, Checkpoint the unfinished attempt to go on
	// from; empty: none.
	Parent, Checkpoint string
	// Full reads everything, whatever the parent says.
	Full bool
	// Changed answers what may have changed since the parent was made, nil: everything. It is
	// asked only if that lets something be left out. nil: nobody knows.
	Changed func(ctx context.Context, parent *Before) (source.Changed, error)
	// Check, where it is set, has everything looked at, and is told at the end what differs from the
	// parent, if that is known in full. It is for checking what Changed would have told, and answers
	// how much of that would have been missed.
	Check func(ctx context.Context, parent *Before, differing Differing) (missed int64, err error)
	// Tracker answers, at the end, the token by which Changed can be asked about this point;
	// nil: there is none.
	Tracker     func(context.Context) ([]byte, error)
	Compression seal.Compression
	// Version is the agent's, for the record.
	Version string
	// Trail is kept between the attempts of a task; nil: what is done again is not counted.
	Trail *Trail
	// Counters are kept up to date while the backup runs; nil: not wanted.
	Counters *Counters
	// Parts are walks of their own whose files stand in the point below PartsAt, a name at the root,
	// one behind the other in the order of their paths. A backup with parts is not narrowed.
	Parts   []Part
	PartsAt string
	// Quiet tells of a path that it may change or go while it is read: nobody needs to be told.
	Quiet func(path []byte) bool
	// Streams are files of the point that no file system has. They stand in the folder StreamsAt, a name
	// at the root.
	Streams   []Stream
	StreamsAt string
	// Event is told what happens to single files, one call at a time; nil: not wanted.
	Event func(Event)
	// Scratch is the directory for what is too much for memory; empty: the system's.
	Scratch string
	// Workers is how many goroutines read and seal; 0: by the processors there are, and of
	// readers as many as the source is fastest with.
	Workers int
	// CheckpointEvery and CheckpointBytes are after how much time, or how many bytes sent, a
	// checkpoint is made; 0: 30 s and 1 GiB.
	CheckpointEvery time.Duration
	CheckpointBytes int64
	// Enough, once it is closed, has the backup end early: what is complete by then becomes a
	// partial point. nil: it goes on to its end.
	Enough <-chan struct{}
	// Clock is what time it is; nil: time.Now.
	Clock func() time.Time
	// Idle answers the share of the processors that nobody used since its last call, false if
	// it cannot tell; auto compression goes by it. nil: the system is asked.
	Idle func() (float64, bool)
	// Hooks are for tests.
	Hooks Hooks
}

// Hooks are called by a worker between the steps of reading a file.
type Hooks struct {
	Opened func(path []byte) // it is open and has not been looked at
	Read   func(path []byte) // all was read, and it has not been looked at again
	// Answered: a checkpoint is made and has been told how far the file was read.
	Answered func(path []byte)
}

// Result is a backup that was committed.
type Result struct {
	Body point.Body
	Root fileindex.Root
	// Partial: it was ended early, and does not hold all that was asked for.
	Partial bool
	// Narrowed: only what may have changed was looked at.
	Narrowed bool
}

// DefaultCheckpointEvery and its bytes are what an interruption may cost: half a minute, or what a
// disk reads in about that.
const (
	DefaultCheckpointEvery = 30 * time.Second
	defaultCheckpointBytes = 1 << 30
)

// run is one backup.
type run struct {
	opts    Options
	store   Store
	count   *Counters
	reports *reports
	pool    *pool
	fetch   *fetcher
	hasher  *seal.Hasher
	mark    *marker
	gauge   *gauge
	control *controller
	renewal renewal
	uses    uses
	early   *early
	// extra are goroutines that only read, where the source is faster for it.
	extra int
	// own is where those are at that walk, build the index and commit.
	own *seat
	// compared: what differs from the parent is noted.
	compared *comparison
	// options tells what is taken from what another selection would take.
	options []byte
	// narrow: only what may have changed is looked at, and the rest taken over unseen.
	narrow *narrow
}

// maxWorkers bounds the memory on computers with many processors; so many fill any network.
const maxWorkers = 16

// DefaultWorkers is how many workers a backup has unless told otherwise: two more than
// processors, because a worker may wait for a disk.
func DefaultWorkers() int { return min(runtime.GOMAXPROCS(0)+2, maxWorkers) }

// Run makes a restore point of what the selection takes and commits it. What goes wrong with
// single files is told by events and leaves the point with errors; an error means that there
// is no point.
func Run(ctx context.Context, store Store, opts Options) (Result, error) {
	if opts.Counters == nil {
		opts.Counters = &Counters{}
	}
	result, err := run1(ctx, store, opts)
	if lost, ok := errors.AsType[errParent](err); ok && ctx.Err() == nil {
		// What it takes over cannot be read. All is looked at instead.
		opts.Changed = nil
		opts.Counters.again()
		(&reports{to: opts.Event, count: opts.Counters}).damaged(lost.error)
		result, err = run1(ctx, store, opts)
	}
	return result, err
}

// run1 is one try of Run.
func run1(ctx context.Context, store Store, opts Options) (Result, error) {
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	if len(opts.Parts) > 0 {
		opts.Changed, opts.Check = nil, nil
	}
	extra := 0
	if opts.Workers == 0 {
		opts.Workers = DefaultWorkers()
		extra = max(0, maxReaders-opts.Workers)
	}
	r := &run{
		opts: opts, store: store, count: opts.Counters,
		reports: &reports{to: opts.Event, count: opts.Counters, quiet: opts.Quiet},
		pool:    newPool(store, opts.Counters, opts.Workers),
		fetch:   &fetcher{store: store, keys: opts.Keys},
		hasher:  opts.Keys.NewHasher(),
		extra:   extra,
	}
	r.mark = newMarker(r)
	opts.Trail.begin(r.count)
	if opts.Idle == nil {
		opts.Idle = idleProcessors()
	}
	r.control = newController(opts.Idle)
	r.gauge = &gauge{procs: runtime.GOMAXPROCS(0), asking: r.pool.asked, count: r.count}
	if l, ok := store.(local); ok {
		r.gauge.local = l.Local()
	}
	if e, ok := store.(empty); ok {
		r.pool.blind = e.Empty()
	}
	r.own = r.gauge.seat()
	defer r.fetch.close()
	result, err := r.do(ctx)
	if err != nil {
		opts.Trail.end(r.count)
	}
	return result, err
}

func (r *run) do(ctx context.Context) (Result, error) {
	// Looking at the include paths comes first: a job that names nothing costs nothing.
	begun := r.opts.Clock()
	walker, err := source.NewWalker(r.opts.Selection, r.reports.problem)
	if err != nil {
		return Result{}, err
	}
	defer walker.Close()
	walker.SpillTo(r.opts.Scratch)
	r.options = optionsWith(fingerprint(&r.opts.Selection, walker.Filter(), len(r.opts.Parts) > 0), r.opts.Streams)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { r.pool.fail(context.Cause(ctx)) })
	defer stop()

	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	r.early = &early{wish: r.opts.Enough, reading: reading}

	var workers errgroup.Group
	if err := r.start(ctx, &workers); err != nil {
		return Result{}, err
	}
	counting, enough := context.WithCancel(ctx)
	defer enough()
	workers.Go(func() error { r.gauge.run(counting); return nil })
	if r.opts.Enough != nil {
		workers.Go(func() error { r.early.watch(counting, stopReading); return nil })
	}
	if r.extra > 0 {
		workers.Go(func() error { r.tune(counting); return nil })
	}
	if r.opts.Compression == seal.CompressAuto {
		workers.Go(func() error { r.control.run(counting, effortEvery); return nil })
	}
	if r.opts.Parent == "" || r.opts.Full {
		workers.Go(func() error { r.estimate(counting); return nil })
	}
	result, err := r.backup(ctx, walker, begun)
	enough()
	if err != nil {
		r.pool.fail(err)
	}
	r.pool.end()
	if werr := workers.Wait(); err == nil {
		err = werr
	}
	r.pool.buffers.close()
	return result, r.cause(err)
}

// cause is the failure that came first: what the others saw was only that everything stops.
func (r *run) cause(err error) error {
	if err == nil {
		return nil
	}
	r.pool.mu.Lock()
	defer r.pool.mu.Unlock()
	if r.pool.err != nil {
		err = r.pool.err
	}
	if errors.Is(err, context.Canceled) && errs.CodeOf(err) == "" {
		return errs.New(errs.Cancelled, "backup.cancelled", "the backup was stopped: %w", err)
	}
	return err
}

// start starts the workers and those who ask the store.
func (r *run) start(ctx context.Context, g *errgroup.Group) error {
	sealers := make([]*seal.Sealer, r.opts.Workers+r.extra)
	for i := range sealers {
		var err error
		if sealers[i], err = seal.NewSealer(r.opts.Keys, r.opts.Compression); err != nil {
			return err
		}
	}
	chunker := chunk.New(r.opts.Keys.ChunkerKey)
	for i, s := range sealers {
		w := &worker{
			life: ctx, pool: r.pool, reports: r.reports, count: r.count, chunker: chunker, keys: r.opts.Keys,
			fetch: r.fetch, signatures: signature.NewHasher(r.opts.Keys.SignatureKey),
			hasher: r.opts.Keys.NewHasher(), sealer: s, hooks: r.opts.Hooks, clock: r.opts.Clock,
			seat: r.gauge.seat(), effort: &r.control.effort, mark: r.mark, trail: r.opts.Trail, early: r.early,
		}
		g.Go(func() error {
			if i < r.opts.Workers {
				w.run(ctx)
			} else {
				w.runExtra(ctx)
			}
			return nil
		})
	}
	for range askers {
		g.Go(func() error { r.pool.ask(ctx); return nil })
	}
	return nil
}

// backup makes the trees and commits.
func (r *run) backup(ctx context.Context, walker *source.Walker, begun time.Time) (Result, error) {
	bases, err := r.bases(ctx)
	if err != nil {
		return Result{}, err
	}
	defer bases.close()
	defer func() { r.compared.close() }()
	if r.compared != nil {
		bases.paths.lost = func(e *fileindex.Entry) error { r.compared.left(e); return nil }
	}
	var pathDonor, inodeDonor *fileindex.Donor
	if r.narrow != nil {
		defer r.narrow.before.close()
		walker.Follow(r.narrow.changed)
		pathDonor, inodeDonor = r.donor(seal.KindNode, r.narrow.root.Paths), r.donor(seal.KindInode, r.narrow.root.Inodes)
	}
	if bases.some {
		r.count.totalFiles.Store(bases.files)
		r.count.totalBytes.Store(bases.bytes)
	}

	links := newLinkTable(r.opts.Scratch)
	defer links.close()
	paths := &orderer{builder: fileindex.NewBuilder(seal.KindNode, r.hasher, r.pool), count: r.count, uses: &r.uses, underway: newUnderway(), donor: pathDonor}
	if r.narrow != nil {
		bases.paths.lost = links.lose
	}
	paths.between = r.between(paths, r.pathsSoFar(paths))
	also := r.parts()
	defer also.close()
	beside := r.streams()
	err = r.pass(ctx, paths, &bases.paths, bases.pathsAhead, bases.some, begun, func(ctx context.Context, s *sequencer) error {
		if err := s.walk(ctx, walker, links, also, beside); err != nil || r.early.cut.Load() {
			return err // what was not looked at is not gone
		}
		return s.base.rest(ctx)
	})
	if err != nil {
		return Result{}, err
	}
	r.count.deletedFiles.Store(bases.paths.gone)
	var names map[[16]byte]uint64
	if r.narrow != nil {
		if !r.early.cut.Load() {
			paths.dirs += r.narrow.root.Dirs - bases.paths.dirs
			r.count.doneDirs.Store(paths.dirs)
		}
		if names, err = r.countNames(ctx, links); err != nil {
			return Result{}, err
		}
	}
	inodes := &orderer{builder: fileindex.NewBuilder(seal.KindInode, r.opts.Keys.NewHasher(), r.pool), count: r.count, uses: &r.uses, inodes: true, underway: newUnderway(), donor: inodeDonor}
	inodes.between = r.between(inodes, r.inodesSoFar(paths, inodes))
	err = r.pass(ctx, inodes, &bases.inodes, bases.inodesAhead, false, begun, func(ctx context.Context, s *sequencer) error {
		if err := s.inodes(ctx, links, walker, r.narrow != nil, names, r.reports.lost); err != nil {
			return err
		}
		return s.finish(ctx)
	})
	if err != nil {
		return Result{}, err
	}
	r.leftOut(walker)
	if err := r.check(ctx); err != nil {
		return Result{}, err
	}
	return r.commit(ctx, paths, inodes)
}

// pass runs a sequencer beside the orderer it feeds.
func (r *run) pass(ctx context.Context, o *orderer, b *base, ahead []*base, compared bool, begun time.Time, feed func(context.Context, *sequencer) error) error {
	out := make(chan *group, window) // the window of entries under way
	s := &sequencer{
		pool: r.pool, count: r.count, hasher: r.opts.Keys.NewHasher(), owners: newOwners(),
		base: b, ahead: ahead, underway: o.underway, added: &o.added,
		renewal: &r.renewal, compared: compared, comparison: r.compared, begun: begun, out: out, seat: r.own, early: r.early,
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := o.run(gctx, out)
		if err != nil {
			r.pool.fail(err)
		}
		return err
	})
	err := feed(gctx, s)
	if err != nil {
		r.pool.fail(err)
		if s.unit != nil {
			s.unit.complete()
		}
	}
	close(out)
	if oerr := g.Wait(); err == nil || errors.Is(err, context.Canceled) && oerr != nil {
		err = oerr
	}
	return err
}
