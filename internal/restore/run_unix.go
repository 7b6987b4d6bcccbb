//go:build unix

package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/point"
	"keepward/internal/repo/signature"
)

// inFlight is how many batches are being fetched at once, or more where there are more
// processors: enough to hide a round trip. What is on its way is bounded by the store.
const inFlight = 4

// run is one restore.
type run struct {
	o       Options
	c       *Counters
	report  *reporter
	nodes   *nodes
	reads   readers
	root    fileindex.Root
	owners  *owners
	renames []PathMap
	partial bool // the point does not hold all that was asked for
	workers int

	ctx  context.Context // ends when the restore is stopped
	stop context.CancelCauseFunc

	// What new files look like before anything is set.
	uid, gid uint32
	umask    uint32
	isRoot   bool

	base     *dir
	baseMade string // the topmost directory that was made for it; empty: it was there
	baseFD   int    // stays open until the end, when base itself is finished and closed
	// elsewhere: some directory lies on another file system than the base.
	elsewhere   atomic.Bool
	totalsKnown bool
	unpackers   chan *unpacker
	comparers   sync.Pool // of *comparer
	tally       *tally
	flusher     *flusher // nil: nothing is flushed
	openDirs    atomic.Int64
	maxDirs     int64 // how many may be open beyond those the plan is in

	mu   sync.Mutex // guards late
	late []lateFlag
}

// Run restores. An error means that the restore as a whole could not be carried out (the
// point cannot be read, the target is full, the store is gone, ctx ended); a file that
// failed is an event and a count, and the rest goes on.
func Run(ctx context.Context, o Options) (Result, error) {
	r, err := newRun(ctx, o)
	if err != nil {
		return Result{}, err
	}
	defer r.stop(nil)
	if err := r.read(ctx); err != nil {
		return Result{}, err
	}
	defer r.nodes.close()
	if err := r.openBase(); err != nil {
		return Result{}, err
	}
	defer r.closeBase()
	if err = r.restore(); err != nil {
		r.unmakeBase()
	}
	return Result{Counters: r.c.Snapshot()}, err
}

// firstMissing is the topmost part of a path that is not there.
func firstMissing(path string) string {
	path = filepath.Clean(path)
	for {
		parent := filepath.Dir(path)
		if _, err := os.Lstat(parent); err == nil || parent == path {
			return path
		}
		path = parent
	}
}

// unmakeBase removes the target directory, and those above it, if the restore made them and
// nothing was put into them.
func (r *run) unmakeBase() {
	if r.baseMade == "" {
		return
	}
	for dir := filepath.Clean(r.o.To); ; dir = filepath.Dir(dir) {
		// Removes empty directories only, which is what is wanted.
		if err := unix.Rmdir(dir); err != nil || dir == r.baseMade {
			return
		}
	}
}

func newRun(ctx context.Context, o Options) (*run, error) {
	var err error
	if o.Overwrite, err = ParseOverwrite(string(o.Overwrite)); err != nil {
		return nil, err
	}
	if o.Strip && len(o.Paths) > 1 {
		return nil, errs.New(errs.Invalid, "restore.strip", "restore with strip: %d paths are chosen, and only one can be laid at the target", len(o.Paths)).
			WithHint("choose one path, or leave strip out")
	}
	if o.Strip && o.To == "" {
		return nil, errs.New(errs.Invalid, "restore.strip", "restore with strip: it needs a target directory")
	}
	if o.Strip && len(o.Renames) > 0 {
		return nil, errs.New(errs.Invalid, "restore.strip", "restore with strip: it lays one path elsewhere itself, and takes no rules for others").WithHint("leave one of the two out")
	}
	renames, err := checkRenames(o.Renames)
	if err != nil {
		return nil, err
	}
	owned, err := ownersOf(&o)
	if err != nil {
		return nil, err
	}
	r := &run{o: o, c: o.Counters, renames: renames, owners: owned, tally: newTally(), workers: o.Workers, umask: creationMask(), isRoot: os.Geteuid() == 0}
	if r.c == nil {
		r.c = &Counters{}
	}
	if o.Estimate {
		r.o.DryRun = true
	}
	if r.workers <= 0 {
		r.workers = runtime.GOMAXPROCS(0)
	}
	r.comparers.New = func() any {
		return &comparer{hasher: o.Keys.NewHasher(), blocks: signature.NewHasher(o.Keys.SignatureKey)}
	}
	r.uid, r.gid = creationOwner()
	r.report = &reporter{c: r.c, event: o.Event, current: o.Current, quiet: o.Estimate}
	r.maxDirs = dirLimit()
	r.ctx, r.stop = context.WithCancelCause(ctx)
	return r, nil
}

// dirLimit leaves most descriptors to the rest of the process.
func dirLimit() int64 {
	const most = 8 << 10 // about what the plan is ahead
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 64
	}
	return int64(min(uint64(l.Cur)/4, most))
}

// read reads what the point says of itself.
func (r *run) read(ctx context.Context) error {
	body, err := openPoint(ctx, &r.o)
	if err != nil {
		return err
	}
	if r.nodes, err = newNodes(r.o.Store, r.o.Keys); err != nil {
		return err
	}
	if r.root, err = fileindex.FetchRoot(ctx, r.nodes, body.Root); err != nil {
		r.nodes.close()
		return fmt.Errorf("read root of restore point %s: %w", r.o.Point, err)
	}
	if body.Completeness == point.Unfinished {
		r.partial = true
		r.report.warn("restore.partial", nil, "restore point %s is partial: its backup was ended early", r.o.Point)
	}
	return nil
}

// openBase opens the directory that everything is laid under.
func (r *run) openBase() error {
	to := r.o.To
	if to == "" {
		to = "/"
	}
	b := &dir{r: r, fd: -1, counted: true}
	b.hold()
	r.base, r.baseFD = b, -1
	fd, err := openAt(unix.AT_FDCWD, to, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, unix.ENOENT) {
		if r.o.DryRun {
			b.life = virtual
			return nil
		}
		r.baseMade = firstMissing(to)
		if err := os.MkdirAll(to, 0o755); err != nil {
			return fmt.Errorf("make target directory: %w", err)
		}
		fd, err = openAt(unix.AT_FDCWD, to, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	}
	if err != nil {
		return fmt.Errorf("open target directory %s: %w", to, err)
	}
	b.adopt(fd)
	if b.was, err = statFD(fd); err == nil {
		r.baseFD, err = openAt(fd, ".", dirFlags, 0)
	}
	if err != nil {
		b.release()
		return fmt.Errorf("look at target directory %s: %w", to, err)
	}
	return nil
}

// selected are the chosen paths without slashes at their ends, sorted as in the index, none
// below another.
func (r *run) selected() []string {
	all := make([]string, 0, len(r.o.Paths)+1)
	for _, p := range r.o.Paths {
		all = append(all, strings.Trim(string(p), "/"))
	}
	if len(all) == 0 {
		all = append(all, "")
	}
	slices.SortFunc(all, func(a, b string) int { return fileindex.ComparePaths([]byte(a), []byte(b)) })
	var out []string
	for _, p := range all {
		if len(out) == 0 || !within(out[len(out)-1], []byte(p)) {
			out = append(out, p)
		}
	}
	return out
}

func (r *run) restore() error {
	var err error
	if r.unpackers, err = newUnpackers(r.o.Keys, r.workers); err != nil {
		return err
	}
	defer func() {
		for range r.workers {
			(<-r.unpackers).opener.Close()
		}
	}()
	selected := r.selected()
	if selected[0] == "" {
		r.totalsKnown = true
		r.c.TotalFiles.Store(r.root.Paths.Entries)
		r.c.TotalBytes.Store(r.root.Paths.Bytes)
	}
	parts := partsOf(selected, r.renames)
	if err := r.write(parts); err != nil {
		return err
	}
	if err := r.settle(); err != nil || !r.o.Verify || r.o.DryRun {
		return err
	}
	r.enter("verify")
	return r.verify(parts)
}

// write plans and writes everything.
func (r *run) write(parts []part) error {
	est, err := r.newEstimate()
	if err != nil {
		return err
	}
	if !r.o.DryRun && !r.o.NoSync {
		r.flusher = newFlusher(func() error { return syncTarget(r.baseFD) }, r.toWrite)
	}
	err = r.withWorkers(func(to sender) error {
		p := r.newPlanner(to)
		defer p.close()
		p.estimate = est
		return p.plan(r.ctx, parts)
	})
	r.report.losses()
	if ferr := r.flusher.stop(); err == nil && ferr != nil {
		err = wrap("flush to disk", ferr)
	}
	return err
}

// toWrite is how many bytes of files this restore writes; negative while that is not planned.
func (r *run) toWrite() int64 {
	if !r.totalsKnown && r.c.PlanDone.Load() == 0 {
		return -1
	}
	return r.c.TotalBytes.Load() - r.c.SkippedBytes.Load()
}

// withWorkers calls plan, and does the batches that it sends until all are done.
func (r *run) withWorkers(plan func(sender) error) error {
	batches := make(chan batch) // unbuffered: the window is the buffer
	var wg sync.WaitGroup
	for range max(inFlight, 2*r.workers) {
		wg.Go(func() { r.work(batches) })
	}
	err := plan(sender{
		send: func(b batch) {
			r.tally.add()
			batches <- b // the workers take batches until the end, even after a stop
		},
		try: func(b batch) bool {
			r.tally.add()
			select {
			case batches <- b:
				return true
			default:
				r.tally.done()
				return false
			}
		},
	})
	if err != nil {
		r.stop(err)
	}
	close(batches)
	wg.Wait()
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	return nil
}

// enter tells the phase that begins.
func (r *run) enter(phase string) {
	if r.o.Phase != nil {
		r.o.Phase(phase)
	}
}

// settle does what must come after everything else.
func (r *run) settle() error {
	if r.o.DryRun {
		return nil
	}
	for i := range r.late {
		if err := r.setLate(&r.late[i]); err != nil {
			r.report.fail(r.late[i].path, fmt.Errorf("set file flags: %w", err))
		}
	}
	if r.o.NoSync {
		return nil
	}
	return r.sync()
}

// sync makes what was restored durable.
func (r *run) sync() error {
	if r.baseFD < 0 {
		return nil
	}
	if r.elsewhere.Load() {
		syncAll()
		return nil
	}
	return wrap("flush to disk", syncTarget(r.baseFD))
}

func (r *run) closeBase() {
	if r.baseFD >= 0 {
		_ = closeFD(r.baseFD)
	}
}
