package repo

import (
	"context"
	"runtime"
	"sync"

	"keepward/internal/errs"
	"keepward/internal/repo/ledger"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
)

// WriterOptions are what a Writer is for.
type WriterOptions struct {
	Attempt point.Attempt
	// Owner is the pseudonym of the computer whose chunks these are.
	Owner [16]byte
	// Keys open and re-hash chunks of others that this computer wants to rely on. Without
	// them such chunks count as absent.
	Keys *seal.Keys
	// PackSize is where a pack is closed; zero: 64 MiB.
	PackSize int64
	// Term is the order's, for the open marker.
	Term uint64
	// Durable, if set, is told of each pack that is on the disk, from several goroutines, which
	// it must not hold up.
	Durable func(pack.Key)
}

const (
	defaultPackSize = 64 << 20
	// maxPending rows are kept in memory before a segment is published: 25 MiB with its map.
	maxPending = 1 << 18
	// maxMissing bounds what an agent may refer to before it stores it: it stores children
	// first, so a little more than what is on its way.
	maxMissing = 1 << 19
	// maxClosing packs are synced behind the writer's back; one more waits. It bounds what is
	// in the system's memory and not yet on the disk.
	maxClosing = 2
)

// Writer stores the chunks of one attempt and ends with its point.
type Writer struct {
	r    *Repository
	opts WriterOptions

	provers chan *prover // idle ones; as many as there are processors
	relied  *reliance
	whole   wholePacks

	mu       sync.Mutex
	err      error // the first failure to write: nothing is acknowledged after it
	ended    bool
	packs    map[pack.Class]*packWriter
	numbers  map[pack.Class]uint32 // of the last pack begun
	table    []segment.Pack        // packs that pending rows name
	tableAt  map[packKey]uint32
	rows     []segment.Row       // not yet in a segment
	closed   []*packWriter       // handed over since the last segment
	held     map[seal.ID]bool    // ids of the good ones among rows
	marked   map[place]bool      // places that rows mark as damaged
	missing  map[seal.ID]seal.ID // ids referred to that are not there yet, and by whom
	segments uint32              // of the last segment published
	points   uint32              // of the last checkpoint
	stats    WriterStats

	closing  sync.WaitGroup
	slots    chan struct{} // one for every pack that may be closing
	closeErr chan error    // holds the first failure of a closing pack
}

type packKey struct {
	attempt point.Attempt
	class   pack.Class
	number  uint32
}

// WriterStats count what a Writer did.
type WriterStats struct {
	Chunks     int64 // stored
	Bytes      int64 // stored, whole records
	Duplicates int64 // came though this writer had them
	Proved     int64 // of others, opened and re-hashed
	Packs      int64 // begun
	Segments   int64 // published
}

// NewWriter begins an attempt and leaves its open marker, so that no sweep deletes what it
// relies on. End it with Commit or Abort; after an Abort the marker stays until somebody fences
// the attempt.
func (r *Repository) NewWriter(ctx context.Context, o WriterOptions) (*Writer, error) {
	if err := r.cfg.Writable(); err != nil {
		return nil, err
	}
	if o.Attempt == (point.Attempt{}) {
		return nil, errs.New(errs.Internal, "", "begin to write: the attempt has no name")
	}
	if o.PackSize == 0 {
		o.PackSize = defaultPackSize
	}
	g, err := r.openMarker(ctx, ledger.Open{Attempt: o.Attempt, Term: o.Term})
	if err == nil && !g.Done {
		err = r.Refresh(ctx) // what is live of condemned packs was moved, and this tells where to
	}
	if err != nil {
		return nil, err
	}
	w := &Writer{
		r: r, opts: o,
		relied:   newReliance(r.b, g),
		provers:  make(chan *prover, runtime.GOMAXPROCS(0)),
		packs:    map[pack.Class]*packWriter{},
		numbers:  map[pack.Class]uint32{},
		missing:  map[seal.ID]seal.ID{},
		slots:    make(chan struct{}, maxClosing),
		closeErr: make(chan error, 1), // the first failure; later ones say nothing new
	}
	w.forget()
	return w, nil
}

// forget drops what a published segment now tells.
func (w *Writer) forget() {
	w.table, w.tableAt = nil, map[packKey]uint32{}
	w.rows = w.rows[:0]
	w.closed = nil
	w.held, w.marked = map[seal.ID]bool{}, map[place]bool{}
}

// Stats are the counts so far.
func (w *Writer) Stats() WriterStats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats
}

// poison makes err the writer's end; w.mu is held.
func (w *Writer) poison(err error) error {
	if w.err == nil && err != nil {
		w.err = err
	}
	return err
}

// usable answers why nothing more may be written; w.mu is held.
func (w *Writer) usable() error {
	select {
	case err := <-w.closeErr:
		_ = w.poison(err)
	default:
	}
	if w.err == nil && w.ended {
		return errs.New(errs.Internal, "", "write to repository: attempt %s has ended", w.opts.Attempt)
	}
	return w.err
}

// Put stores one sealed record after checking its checksum; its content is not opened. It
// answers how many bytes were stored: none, if this writer has the chunk already. The record
// may be reused. What is stored is durable after the next Flush.
func (w *Writer) Put(record []byte) (stored int, err error) {
	rec, err := seal.ParseRecord(record)
	if err != nil {
		return 0, err
	}
	if rec.Len() != len(record) || rec.Domain != w.r.cfg.Domain {
		return 0, errs.New(errs.Invalid, "record.foreign", "store chunk %s: it is of key domain %d and %d of its %d bytes, the repository's domain is %d", rec.ID, rec.Domain, rec.Len(), len(record), w.r.cfg.Domain)
	}
	if rec.Punched {
		return 0, errs.New(errs.Invalid, "record.punched", "store bundle %s: members are missing from it", rec.ID)
	}
	unknown, err := w.unknownRefs(&rec)
	if err != nil {
		return 0, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.usable(); err != nil {
		return 0, err
	}
	if w.held[rec.ID] {
		w.stats.Duplicates++
		return 0, nil
	}
	if err := w.append(&rec); err != nil {
		return 0, w.poison(err)
	}
	for _, ref := range unknown {
		if !w.held[ref] {
			w.missing[ref] = rec.ID
		}
	}
	delete(w.missing, rec.ID)
	if len(w.missing) > maxMissing {
		return 0, w.poison(errs.New(errs.Corrupt, "commit.chunk-missing", "store chunk %s: %d chunks that were referred to are not in the repository, more than can be on their way", rec.ID, len(w.missing)))
	}
	if len(w.rows) >= maxPending {
		// Not with a caller's context: what was begun must be ended.
		return rec.Len(), w.poison(w.publish(context.Background()))
	}
	return rec.Len(), nil
}

// unknownRefs are the ids a record refers to that the repository does not hold.
func (w *Writer) unknownRefs(rec *seal.Record) ([]seal.ID, error) {
	if rec.NumRefs() == 0 {
		return nil, nil
	}
	refs := make([]seal.ID, 0, rec.NumRefs())
	w.mu.Lock()
	for i := range rec.NumRefs() {
		if id := rec.Ref(i); !w.held[id] {
			refs = append(refs, id)
		}
	}
	w.mu.Unlock()
	return w.absent(context.Background(), refs)
}

// absent are those of ids that lie in no pack that may be relied on. It reuses the list.
func (w *Writer) absent(ctx context.Context, ids []seal.ID) ([]seal.ID, error) {
	out := ids[:0]
	for _, id := range ids {
		there, err := w.there(ctx, id)
		if err != nil {
			return nil, err
		}
		if !there {
			out = append(out, id)
		}
	}
	return out, nil
}

// append writes a record into the open pack of its class, beginning one if there is none;
// w.mu is held.
func (w *Writer) append(rec *seal.Record) error {
	class := classOf(rec.Kind)
	p := w.packs[class]
	if p == nil {
		var err error
		if p, err = w.begin(class); err != nil {
			return err
		}
	}
	offset := p.size
	if err := p.add(rec); err != nil {
		return err
	}
	w.addRow(packKey{w.opts.Attempt, class, p.number}, segment.Row{
		ID: rec.ID, Offset: uint32(offset), Length: uint32(rec.Len()), Kind: rec.Kind,
	})
	w.held[rec.ID] = true
	w.stats.Chunks++
	w.stats.Bytes += int64(rec.Len())
	if p.size >= w.opts.PackSize {
		w.finish(class)
	}
	return nil
}

// addRow adds a row for a chunk in a pack; w.mu is held.
func (w *Writer) addRow(k packKey, row segment.Row) {
	at, ok := w.tableAt[k]
	if !ok {
		at = uint32(len(w.table))
		w.table = append(w.table, segment.Pack{Attempt: k.attempt, Class: k.class, Number: k.number})
		w.tableAt[k] = at
	}
	row.Pack = at
	w.rows = append(w.rows, row)
}

// begin opens the next pack of a class; w.mu is held.
func (w *Writer) begin(class pack.Class) (*packWriter, error) {
	w.numbers[class]++
	n := w.numbers[class]
	// The pack lives longer than the call that happened to need it.
	p, err := newPackWriter(context.Background(), w.r.b, pack.Header{
		Class: class, RepositoryID: w.r.cfg.ID, Attempt: w.opts.Attempt, Owner: w.opts.Owner, Number: n,
	})
	if err != nil {
		return nil, err
	}
	w.packs[class] = p
	w.stats.Packs++
	return p, nil
}

// finish hands the open pack of a class over to be closed, so that writing goes on; w.mu is
// held. It waits while too many are closing.
func (w *Writer) finish(class pack.Class) {
	p := w.packs[class]
	delete(w.packs, class)
	w.closed = append(w.closed, p)
	w.slots <- struct{}{}
	w.closing.Go(func() {
		defer func() { <-w.slots }()
		if err := p.commit(context.Background()); err != nil {
			select {
			case w.closeErr <- err:
			default: // an earlier failure says it
			}
			return
		}
		if w.opts.Durable != nil {
			w.opts.Durable(pack.Key{Attempt: w.opts.Attempt, Class: p.class, Number: p.number})
		}
	})
}

// durable closes all packs and waits until they are on the disk; w.mu is held, so nothing is
// written meanwhile.
func (w *Writer) durable() error {
	for _, class := range []pack.Class{pack.Data, pack.Meta} {
		if w.packs[class] != nil {
			w.finish(class)
		}
	}
	w.closing.Wait()
	return w.usable()
}

// Flush makes everything that was stored durable and known to others.
func (w *Writer) Flush(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.usable(); err != nil {
		return err
	}
	return w.poison(w.publish(ctx))
}

// Abort ends the attempt without a point. Packs that are not durable are removed; what lies in
// the others is made known, if it can be, so that the next attempt need not store it again.
// It may be called after Commit, and more than once.
func (w *Writer) Abort() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end()
}

// end releases everything; w.mu is held.
func (w *Writer) end() {
	if w.ended {
		return
	}
	w.ended = true
	for _, class := range []pack.Class{pack.Data, pack.Meta} { // in an order that a test can repeat
		if p := w.packs[class]; p != nil {
			p.abort()
			delete(w.packs, class)
		}
	}
	w.closing.Wait()
	w.salvage()
	for {
		select {
		case p := <-w.provers:
			p.opener.Close()
		default:
			return
		}
	}
}
