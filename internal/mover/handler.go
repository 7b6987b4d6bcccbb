package mover

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/repo"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// reader is what both kinds of agents may ask.
type reader struct {
	t *task
	// metaOnly: a backup compares with its parent, it does not read files back.
	metaOnly bool
}

func (r reader) Get(ctx context.Context, id seal.ID, dst []byte) ([]byte, error) {
	rec, err := r.t.repo.ReadFor(ctx, r.t.order.owner(), id, dst)
	if err != nil {
		return nil, err
	}
	if err := r.may(&rec); err != nil {
		return nil, err
	}
	r.sent(int64(rec.Len()))
	return rec.Bytes(), nil
}

// may tells whether the agent may have a record.
func (r reader) may(rec *seal.Record) error {
	if r.metaOnly && !rec.Kind.Meta() {
		return errs.New(errs.Denied, "chunk.not-readable", "read chunk %s: a backup may not read data back", rec.ID)
	}
	return nil
}

func (r reader) Point(ctx context.Context, name string) ([]byte, error) {
	if !slices.Contains(r.t.order.GetStart().GetReadablePoints(), name) {
		return nil, errs.New(errs.Denied, "point.not-readable", "read restore point %q: this task may not read it", name)
	}
	a, err := point.ParseAttempt(name)
	if err != nil {
		return nil, err
	}
	return readPoint(ctx, r.t.repo, a)
}

// readPoint answers a point, or where the attempt left none its last checkpoint: also an
// attempt that was cut off is worth going on from.
func readPoint(ctx context.Context, r *repo.Repository, a point.Attempt) ([]byte, error) {
	content, err := r.Point(ctx, a)
	if err == nil {
		p, perr := point.Parse(content)
		if perr != nil {
			return nil, perr
		}
		if p.Type != point.Tombstone {
			return content, nil
		}
	} else if errs.KindOf(err) != errs.NotFound {
		return nil, err
	}
	checkpoint, cerr := r.LatestCheckpoint(ctx, a)
	if errs.KindOf(cerr) == errs.NotFound {
		return nil, errs.New(errs.NotFound, "point.not-found", "read restore point %s: there is neither a point nor a checkpoint", a)
	}
	return checkpoint, cerr
}

func notHere(what string) error {
	return errs.New(errs.Denied, "request.mode", "%s: this task only reads", what)
}

// restoreHandler only reads.
type restoreHandler struct {
	reader
	packs packNumbers
}

// packNumbers are small numbers for packs, whose names are none of an agent's business.
type packNumbers struct {
	mu sync.Mutex
	of map[string]uint32
}

func (n *packNumbers) number(name string) uint32 {
	n.mu.Lock()
	defer n.mu.Unlock()
	k, ok := n.of[name]
	if !ok {
		if n.of == nil {
			n.of = make(map[string]uint32)
		}
		k = uint32(len(n.of))
		n.of[name] = k
	}
	return k
}

// Locate implements wire.Locator.
func (h *restoreHandler) Locate(ctx context.Context, ids []seal.ID) (sizes, packs []uint32, err error) {
	sizes, packs = make([]uint32, len(ids)), make([]uint32, len(ids))
	for i, id := range ids {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		if all := h.t.repo.LocationsFor(ctx, h.t.order.owner(), id); len(all) > 0 {
			sizes[i], packs[i] = all[0].Length, h.packs.number(all[0].PackName())
		}
	}
	return sizes, packs, nil
}

func (*restoreHandler) Have(context.Context, []seal.H) ([]bool, error) { return nil, notHere("have") }
func (*restoreHandler) Put(context.Context, []byte) error              { return notHere("put") }
func (*restoreHandler) Checkpoint(context.Context, point.Draft) error  { return notHere("checkpoint") }
func (*restoreHandler) Commit(context.Context, point.Draft) error      { return notHere("commit") }

// backupHandler stores.
type backupHandler struct {
	reader
	w *repo.Writer
	// storing is how long Put was at work; it belongs to the one goroutine that puts.
	storing time.Duration

	mu   sync.Mutex
	done *keepwardv1.PointSummary // of the committed point
}

// Point refuses a parent that needs what is marked as damaged: what is taken over from it
// unchanged would be damaged too. Without it the agent asks for every chunk, and heals it.
func (h *backupHandler) Point(ctx context.Context, name string) ([]byte, error) {
	content, err := h.reader.Point(ctx, name)
	if err != nil {
		return nil, err
	}
	p, err := point.Parse(content)
	if err != nil {
		return nil, err
	}
	return content, h.t.repo.Intact(ctx, h.t.order.owner(), p.RootID, p.Refs)
}

func (h *backupHandler) Have(ctx context.Context, hs []seal.H) ([]bool, error) {
	have, err := h.w.Have(ctx, hs)
	if err == nil {
		h.t.count(func(c *keepwardv1.Counters) {
			for _, yes := range have {
				if yes {
					c.DuplicateChunks++
				}
			}
		})
	}
	return have, err
}

func (h *backupHandler) Put(_ context.Context, record []byte) error {
	began := time.Now()
	stored, err := h.w.Put(record)
	raw := int64(seal.RawLength(record))
	h.storing += time.Since(began)
	h.t.count(func(c *keepwardv1.Counters) {
		c.StoreMillis = h.storing.Milliseconds()
		c.Chunks++
		c.StoredBytes += int64(stored)
		if stored > 0 {
			c.StoredRawBytes += raw
		}
	})
	return err
}

func (h *backupHandler) Checkpoint(ctx context.Context, d point.Draft) error {
	if _, err := h.body(d); err != nil {
		return err
	}
	if err := h.w.Checkpoint(ctx, d, h.t.order.GetStart().GetIssue()); err != nil {
		return err
	}
	h.t.events.add("info", "checkpoint.made", "made a checkpoint: what was stored so far is durable")
	return nil
}

// Commit first looks at the body: a point whose body does not open, or names another root,
// could never be restored.
func (h *backupHandler) Commit(ctx context.Context, d point.Draft) error {
	body, err := h.body(d)
	if err != nil {
		return err
	}
	if err := h.prove(ctx, body.Root); err != nil {
		return err
	}
	h.t.enter("commit")
	if err := h.w.Commit(ctx, d, h.t.order.GetStart().GetIssue()); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.done = &keepwardv1.PointSummary{
		Id: h.t.order.attempt.String(), Completeness: body.Completeness.String(), Partial: d.Type == point.Partial,
	}
	return nil
}

// prove opens all that came, where the repository wants that.
func (h *backupHandler) prove(ctx context.Context, root seal.H) error {
	start := h.t.order.GetStart()
	if start.GetForeignProof() != job.ForeignProofArrival {
		return nil
	}
	h.t.enter("prove")
	o := repo.ProveOptions{Scratch: h.t.order.GetDirectory()}
	// Without a time nothing is recorded: this host's clock may say anything.
	if start.GetTime() != nil {
		o.Time = start.GetTime().AsTime()
	}
	report, err := h.w.Prove(ctx, root, o)
	if errs.CodeOf(err) == "arrival.mismatch" {
		return errs.New(errs.Corrupt, "arrival.mismatch", "commit attempt %s: computer %s sent something else than it said: %w", h.t.order.attempt, start.GetComputer(), err).
			WithHint("test the memory of that computer, then run the job again; nothing of this attempt is relied on")
	}
	if err == nil {
		h.t.events.add("info", "arrival.proved", fmt.Sprintf("opened %d chunks of %d packs and compared their %d bytes of content with their hashes", report.ProvedChunks, report.ProvedPacks, report.ProvedBytes))
	}
	return err
}

func (h *backupHandler) body(d point.Draft) (point.Body, error) {
	p := point.Point{RepositoryID: h.t.keys.RepositoryID, Attempt: h.t.order.attempt, Body: d.Body}
	body, err := point.OpenBody(h.t.keys.ComputerKey, &p)
	if err != nil {
		return body, err
	}
	if body.Root.ID() != d.RootID {
		return body, errs.New(errs.Corrupt, "commit.root", "commit attempt %s: its body names another root", h.t.order.attempt)
	}
	return body, nil
}

func (h *backupHandler) committed() (bool, *keepwardv1.PointSummary) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.done != nil, h.done
}
