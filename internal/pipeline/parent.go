package pipeline

import (
	"bytes"
	"context"
	"fmt"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/source"
)

// base is what a backup is compared with: a row of trees, each for the keys up to a bound.
// After an interrupted attempt these are its checkpoint's, and behind it the parent's.
type base struct {
	parts []part
	// gone is how many entries of the base were passed that are no more there.
	gone int64
	// strict: the base is not given up, since others take parts of it over unseen. dirs counts
	// its directories that were looked at, and lost, if it is set, is told of each that is gone.
	strict bool
	dirs   int64
	// passed counts the entries that were matched or are gone, without those that are taken over.
	passed int64
	lost   func(*fileindex.Entry) error
	// behind is where to go on before anything is matched, if jump is set.
	behind []byte
	jump   bool
	// hops: what is asked for lies far apart, and what is passed does not matter.
	hops bool
	// damaged is told once why the base cannot be read on; the rest is compared with nothing.
	damaged func(error)
}

type part struct {
	cursor *fileindex.Cursor
	last   []byte // the part's last key; nil: no bound
}

func (b *base) close() {
	for i := range b.parts {
		b.parts[i].cursor.Close()
	}
}

// match answers the base's entry under key, nil if there is none. Keys must ascend. The entry
// is valid until the next call.
func (b *base) match(ctx context.Context, key []byte) (*fileindex.Entry, error) {
	e, err := b.find(ctx, key)
	return e, b.endure(err)
}

// endure gives a base up that is damaged: that costs time, not the backup.
func (b *base) endure(err error) error {
	switch errs.KindOf(err) {
	case errs.Corrupt, errs.NotFound:
		if b.strict {
			return errParent{err}
		}
		b.close()
		b.parts = nil
		b.damaged(err)
		return nil
	}
	return err
}

func (b *base) find(ctx context.Context, key []byte) (*fileindex.Entry, error) {
	if err := b.arrive(ctx); err != nil {
		return nil, err
	}
	for len(b.parts) > 0 {
		p := &b.parts[0]
		if p.last != nil && bytes.Compare(key, p.last) > 0 {
			if err := b.nextPart(ctx); err != nil {
				return nil, err
			}
			continue
		}
		for passed := 0; ; passed++ {
			if b.hops && passed == hop {
				if err := p.cursor.Seek(ctx, key); err != nil {
					return nil, err
				}
			}
			k, err := p.cursor.PeekKey(ctx)
			if err != nil {
				return nil, err
			}
			if k == nil {
				return nil, nil
			}
			order := bytes.Compare(k, key)
			if order > 0 {
				return nil, nil
			}
			e, err := p.cursor.Next(ctx)
			if err != nil {
				return nil, err
			}
			b.pass(e)
			if order == 0 {
				return e, nil
			}
			if err := b.leave(e); err != nil {
				return nil, err
			}
		}
	}
	return nil, nil
}

// hop is how many entries it costs to go to a key from above.
const hop = 64

// pass counts an entry that was looked at.
func (b *base) pass(e *fileindex.Entry) {
	b.passed++
	if e.Type == fileindex.Dir {
		b.dirs++
	}
}

// unpass counts an entry that was matched as one that was not: it is taken over.
func (b *base) unpass(typ fileindex.Type) {
	b.passed--
	if typ == fileindex.Dir {
		b.dirs--
	}
}

// leave counts an entry as gone.
func (b *base) leave(e *fileindex.Entry) error {
	b.gone++
	if b.lost == nil {
		return nil
	}
	return b.lost(e)
}

// arrive goes to where the base goes on.
func (b *base) arrive(ctx context.Context) error {
	if !b.jump || len(b.parts) == 0 {
		return nil
	}
	b.jump = false
	return b.parts[0].cursor.Seek(ctx, b.behind)
}

// keep passes a range that is taken over. What is before it and was not matched is gone.
func (b *base) keep(ctx context.Context, r fileindex.Range) error { return b.endure(b.passTo(ctx, r)) }

func (b *base) passTo(ctx context.Context, r fileindex.Range) error {
	if len(b.parts) == 0 {
		return nil
	}
	if !b.jump || bytes.Compare(b.behind, r.From) < 0 {
		if err := b.arrive(ctx); err != nil {
			return err
		}
		if err := b.leaveUpTo(ctx, r.From); err != nil {
			return err
		}
	}
	if r.To == nil {
		b.close()
		b.parts = nil
	}
	b.jump, b.behind = true, append(b.behind[:0], r.To...)
	return nil
}

// leaveUpTo counts what is before key as gone; nil: all.
func (b *base) leaveUpTo(ctx context.Context, key []byte) error {
	for {
		k, err := b.parts[0].cursor.PeekKey(ctx)
		if err != nil || k == nil || key != nil && bytes.Compare(k, key) >= 0 {
			return err
		}
		e, err := b.parts[0].cursor.Next(ctx)
		if err != nil {
			return err
		}
		b.pass(e)
		if err := b.leave(e); err != nil {
			return err
		}
	}
}

// nextPart goes on with the next tree, behind what the first one covered.
func (b *base) nextPart(ctx context.Context) error {
	last := b.parts[0].last
	b.parts[0].cursor.Close()
	b.parts = b.parts[1:]
	if len(b.parts) == 0 {
		return nil
	}
	return b.parts[0].cursor.Seek(ctx, append(bytes.Clone(last), 0))
}

// rest counts what is left as gone.
func (b *base) rest(ctx context.Context) error { return b.endure(b.passRest(ctx)) }

func (b *base) passRest(ctx context.Context) error {
	if err := b.arrive(ctx); err != nil {
		return err
	}
	for len(b.parts) > 0 {
		if err := b.leaveUpTo(ctx, nil); err != nil {
			return err
		}
		if b.parts[0].last == nil {
			return nil
		}
		if err := b.nextPart(ctx); err != nil {
			return err
		}
	}
	return nil
}

// earlier is a restore point or checkpoint as a base.
type earlier struct {
	body point.Body
	root fileindex.Root
}

// openEarlier fetches a point by name.
func openEarlier(ctx context.Context, store Store, keys *seal.Keys, f *fetcher, name string) (*earlier, error) {
	raw, err := store.Point(ctx, name)
	if err != nil {
		return nil, errs.New(errs.KindOf(err), errs.CodeOf(err), "fetch restore point %s: %w", name, err)
	}
	p, err := point.Parse(bytes.Clone(raw))
	if err != nil {
		return nil, fmt.Errorf("restore point %s: %w", name, err)
	}
	if p.Type == point.Tombstone || p.Attempt.String() != name || p.RepositoryID != keys.RepositoryID {
		return nil, errs.New(errs.Invalid, "point.parent", "restore point %s cannot be compared with: it is a %s of attempt %s", name, p.Type, p.Attempt)
	}
	var e earlier
	if e.body, err = point.OpenBody(keys.ComputerKey, &p); err != nil {
		return nil, err
	}
	if e.root, err = fileindex.FetchRoot(ctx, f, e.body.Root); err != nil {
		return nil, fmt.Errorf("restore point %s: %w", name, err)
	}
	return &e, nil
}

// unchanged tells whether what stands at e needs no other look than its stat: a change would
// have moved one of these.
func unchanged(e *fileindex.Entry, st *source.Stat, state fileindex.State) bool {
	if e.State&(fileindex.Racy|fileindex.Incomplete) != 0 || e.State != state || e.Type != st.Type {
		return false
	}
	if st.Type == fileindex.File && e.Size != st.Size {
		return false
	}
	return sameStat(e, st)
}

func sameStat(e *fileindex.Entry, st *source.Stat) bool {
	return e.MTime == st.MTime && e.CTime == st.CTime && e.Inode == st.Inode && e.Device == st.Device &&
		e.Mode == st.Mode && e.UID == uint64(st.UID) && e.GID == uint64(st.GID) && e.Links == st.Links && e.RDev == st.RDev
}
