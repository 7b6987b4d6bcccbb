package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

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
		b.close()
		b.parts = nil
		b.damaged(err)
		return nil
	}
	return err
}

func (b *base) find(ctx context.Context, key []byte) (*fileindex.Entry, error) {
	for len(b.parts) > 0 {
		p := &b.parts[0]
		if p.last != nil && bytes.Compare(key, p.last) > 0 {
			if err := b.nextPart(ctx); err != nil {
				return nil, err
			}
			continue
		}
		for {
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
			if order == 0 {
				return e, nil
			}
			b.gone++
		}
	}
	return nil, nil
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
	for len(b.parts) > 0 {
		for {
			_, err := b.parts[0].cursor.Next(ctx)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			b.gone++
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
	return e.MTime == st.MTime && e.CTime == st.CTime && e.Inode == st.Inode && e.Device == st.Device &&
		e.Mode == st.Mode && e.UID == uint64(st.UID) && e.GID == uint64(st.GID) && e.Links == st.Links && e.RDev == st.RDev
}
