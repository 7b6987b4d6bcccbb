package pipeline

import (
	"bytes"
	"context"
	"errors"
	"io"

	"keepward/internal/repo/fileindex"
	"keepward/internal/source"
)

// walk takes all files of a walk, and of the parts and streams beside it.
func (s *sequencer) walk(ctx context.Context, w *source.Walker, links *linkTable, also *parts, beside *streams) error {
	for {
		s.seat.be(atSource)
		it, err := w.Next(ctx)
		s.seat.be(atCPU)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if s.early.wished() {
			s.early.leaveOut()
			break
		}
		if also.due(it) {
			if err := s.parts(ctx, also); err != nil {
				return err
			}
		}
		if taken, err := s.before(ctx, beside, it); err != nil {
			return err
		} else if taken {
			continue
		}
		if err := s.item(ctx, w, it, links); err != nil {
			return err
		}
	}
	if err := s.parts(ctx, also); err != nil {
		return err
	}
	if err := s.streams(ctx, beside); err != nil {
		return err
	}
	s.count.excluded.Store(w.Excluded())
	if err := s.leaveDoubted(); err != nil {
		return err
	}
	return s.finish(ctx)
}

// item takes one file of a walk. links nil: each name is a file of its own.
func (s *sequencer) item(ctx context.Context, w *source.Walker, it *source.Item, links *linkTable) error {
	if it.Kept != nil {
		return s.keep(ctx, *it.Kept)
	}
	s.key = append(s.key[:0], it.Path...)
	for i, c := range s.key {
		if c == '/' {
			s.key[i] = 0
		}
	}
	dir := it.Dir
	if it.Self != nil {
		dir = it.Self
	}
	old, err := s.match(ctx, s.key)
	if err != nil {
		return err
	}
	trusted := asBefore(it, old)
	if !trusted && (it.Clean || it.Partly) {
		w.Doubt()
	}
	if it.Clean {
		if trusted {
			return s.keepMatched(ctx, s.key, old.Type)
		}
		s.meetAgain(old)
		return nil
	}
	f := seen{path: it.Path, key: s.key, st: &it.Stat, state: it.State, dir: dir, unsure: it.Unsure}
	if links == nil || it.Stat.Links <= 1 || it.Stat.Type == fileindex.Dir {
		return s.add(ctx, &f, old)
	}
	if err = links.add(&it.Stat, it.Path, it.Unsure); err == nil {
		err = s.link(ctx, &f, old)
	}
	return err
}

// inodes takes all files that have several names. Narrowed, the others of the base are kept.
func (s *sequencer) inodes(ctx context.Context, links *linkTable, w *source.Walker, narrowed bool, names map[[16]byte]uint64, lost func(path []byte, err error)) error {
	at := dirs{walker: w}
	from := []byte(nil)
	err := links.each(func(i *inode) error {
		key := fileindex.InodeKey(i.device, i.number)
		if narrowed {
			if err := s.keep(ctx, fileindex.Range{From: from, To: key}); err != nil {
				return err
			}
			from = append(bytes.Clone(key), 0)
		}
		old, err := s.base.match(ctx, key)
		if err != nil {
			return err
		}
		if len(i.paths) == 0 {
			return s.nameless(ctx, i, key, old, names)
		}
		var st source.Stat
		for _, path := range i.paths {
			dir, name := at.of(path)
			s.seat.be(atSource)
			err = dir.Stat(name, &st)
			s.seat.be(atCPU)
			if err != nil {
				continue
			}
			if st.Inode != i.number || st.Device != i.device {
				err = errReplaced
				continue
			}
			s.comparison.inode(i, &st, old)
			return s.add(ctx, &seen{path: path, key: key, st: &st, dir: dir, unsure: i.unsure, inode: true}, old)
		}
		lost(bytes.Clone(i.paths[0]), err)
		return nil
	})
	if err == nil && narrowed {
		err = s.keep(ctx, fileindex.Range{From: from})
	}
	return err
}
