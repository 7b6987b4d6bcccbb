package source

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"

	"keepward/internal/extsort"
	"keepward/internal/repo/fileindex"
)

const (
	// hugeNames is how many names of one directory are kept in memory: with their names some
	// MiB, and far more than most directories have.
	hugeNames = 1 << 16
	// hugeMemory is for sorting the names of a directory that has more.
	hugeMemory = 8 << 20
)

// hugeDir keeps the names of a directory that has too many of them on disk, sorted and cut
// into batches.
type hugeDir struct {
	sorter *extsort.Sorter // until all names are known
	// file holds name, zero byte, type; offsets are where each batch begins, and the end. The
	// system removes it with the process.
	file    *os.File
	offsets []int64
}

// overflow moves the names in memory to disk, without those that are not taken.
func (w *Walker) overflow(n *node) error {
	l := n.l
	if l.huge == nil {
		l.huge = &hugeDir{sorter: extsort.New(w.scratch, hugeMemory)}
		// The tag may not be listed yet.
		if w.mayBeTagged(n) && n.hasTag() {
			n.flags |= fileindex.CacheTagged
		}
	}
	w.sift(n)
	var rec []byte
	for i := range l.refs {
		rec = append(append(append(rec[:0], l.name(i)...), 0), byte(l.refs[i].typ))
		if err := l.huge.sorter.Add(rec); err != nil {
			return err
		}
	}
	l.names, l.refs = l.names[:0], l.refs[:0]
	return nil
}

// finishHuge sorts what overflow has moved, and makes the batches.
func (w *Walker) finishHuge(n *node) error {
	if err := w.overflow(n); err != nil {
		return err
	}
	n.l.nameList = nameList{}
	files, err := n.l.huge.sort(w.scratch)
	if err != nil {
		return err
	}
	for from := 0; from < files; from += batchSize {
		n.l.batches = append(n.l.batches, &statBatch{from: from, to: min(from+batchSize, files)})
	}
	return nil
}

// sort writes the names in order and answers how many there are.
func (h *hugeDir) sort(dir string) (files int, err error) {
	if h.file, err = os.CreateTemp(dir, "keepward-list-*"); err != nil {
		return 0, fmt.Errorf("list on disk: %w", err)
	}
	_ = os.Remove(h.file.Name()) // where the system can do that; close removes it elsewhere
	out := bufio.NewWriterSize(h.file, 256<<10)
	at := int64(0)
	var last []byte
	err = h.sorter.Each(func(rec []byte) error {
		name := rec[:len(rec)-1]
		if bytes.Equal(name, last) {
			return nil // a directory that changes while it is listed may give a name twice
		}
		last = append(last[:0], name...)
		if files%batchSize == 0 {
			h.offsets = append(h.offsets, at)
		}
		files++
		at += int64(len(rec))
		_, err := out.Write(rec)
		return err
	})
	h.offsets = append(h.offsets, at)
	if err = errors.Join(err, out.Flush()); err != nil {
		return 0, fmt.Errorf("list on disk: %w", err)
	}
	h.sorter.Close()
	h.sorter = nil
	return files, nil
}

// load reads the names of a batch.
func (h *hugeDir) load(b *statBatch) error {
	k := b.from / batchSize
	raw := make([]byte, h.offsets[k+1]-h.offsets[k])
	if _, err := h.file.ReadAt(raw, h.offsets[k]); err != nil {
		return fmt.Errorf("list on disk: read back: %w", err)
	}
	list := &nameList{names: make([]byte, 0, len(raw)), refs: make([]nameRef, 0, b.to-b.from)}
	for len(raw) > 0 {
		i := bytes.IndexByte(raw, 0)
		list.add(raw[:i], fileindex.Type(raw[i+1]))
		raw = raw[i+2:]
	}
	b.list, b.base = list, b.from
	return nil
}

func (h *hugeDir) close() {
	if h.sorter != nil {
		h.sorter.Close()
	}
	if h.file != nil {
		_ = h.file.Close() // nobody wants what is in it
		_ = os.Remove(h.file.Name())
	}
}
