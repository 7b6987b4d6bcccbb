package changes

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"keepward/internal/extsort"
	"keepward/internal/repo/fileindex"
)

// builder collects changes in any order and makes a Set of them. A path may come several
// times. It belongs to one goroutine.
type builder struct {
	view   *View
	sorter *extsort.Sorter
	rec    []byte
	links  bool
	notes  []string
}

func newBuilder(view *View) *builder {
	return &builder{view: view, sorter: extsort.New(view.Scratch, view.memory()/2)}
}

func (b *builder) close() { b.sorter.Close() }

// maxNotes bounds what the session log is told.
const maxNotes = 16

func (b *builder) note(format string, args ...any) {
	if n := fmt.Sprintf(format, args...); len(b.notes) < maxNotes && !slices.Contains(b.notes, n) {
		b.notes = append(b.notes, n)
	}
}

// add takes a change; its Path is relative to the view's root.
func (b *builder) add(c *Change) error { return b.addAt(b.view.path(c.Path), c) }

// addAt takes a change at a path of the index.
func (b *builder) addAt(path []byte, c *Change) error {
	b.rec = encodeChange(b.rec[:0], fileindex.PathKey(path), c)
	return b.sorter.Add(b.rec)
}

// A record: the key, two zero bytes (which no key holds), then what, inode, whether the
// extents are known, their number, and for each the distance to the one before and its length.
func encodeChange(b, key []byte, c *Change) []byte {
	b = append(append(b, key...), 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(c.What))
	b = binary.AppendUvarint(b, c.Inode)
	if !c.Known {
		return append(b, 0)
	}
	b = append(b, 1)
	b = binary.AppendUvarint(b, uint64(len(c.Extents)))
	at := int64(0)
	for _, e := range c.Extents {
		b = binary.AppendUvarint(b, uint64(e.Offset-at))
		b = binary.AppendUvarint(b, uint64(e.Length))
		at = e.Offset
	}
	return b
}

var errRecord = errors.New("a record is damaged")

// decodeChange answers a change whose Path is a key. It points into rec.
func decodeChange(rec []byte) (Change, error) {
	var c Change
	i := 0
	if len(rec) < 2 || rec[0] != 0 || rec[1] != 0 { // not the root
		i = bytes.Index(rec, []byte{0, 0})
	}
	if i < 0 || len(rec) < i+4 {
		return c, errRecord
	}
	c.Path, rec = rec[:i:i], rec[i+2:]
	c.What, rec = What(binary.BigEndian.Uint16(rec)), rec[2:]
	bad := c.What == 0
	number := func() uint64 {
		v, n := binary.Uvarint(rec)
		if n <= 0 {
			bad = true
			return 0
		}
		rec = rec[n:]
		return v
	}
	c.Inode = number()
	if number() == 1 {
		c.Known = true
		n := number()
		if bad || n > uint64(len(rec)) {
			return c, errRecord
		}
		at := int64(0)
		for range n {
			at += int64(number())
			c.Extents = append(c.Extents, Extent{at, int64(number())})
		}
	}
	if bad {
		return c, errRecord
	}
	return c, nil
}

func readRecord(in *bufio.Reader) ([]byte, error) {
	n, err := binary.ReadUvarint(in)
	if err != nil {
		return nil, err
	}
	rec := make([]byte, n)
	if _, err := io.ReadFull(in, rec); err != nil {
		return nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	return rec, nil
}

// merge adds what o says of the same path to c.
func merge(c, o *Change) {
	switch {
	case o.What&Content == 0:
	case c.What&Content == 0:
		c.Known, c.Extents = o.Known, o.Extents
	case c.Known && o.Known:
		for _, e := range o.Extents {
			c.Extents = addExtent(c.Extents, e)
		}
		c.Extents = normal(c.Extents)
	default:
		c.Known, c.Extents = false, nil
	}
	c.What |= o.What
	// A name whose file was replaced may come with the inodes of both.
	if c.Inode == 0 {
		c.Inode = o.Inode
	}
}

// finish makes the Set: in order, each path once, nothing below a Subtree.
func (b *builder) finish() (*Set, error) {
	s := &Set{LinksInDoubt: b.links, Notes: b.notes}
	out := output{set: s, limit: b.view.memory() / 2, dir: b.view.Scratch}
	var cur Change
	var cover, room []byte
	covered := false
	write := func() error {
		if cur.What == 0 || covered && under(cur.Path, cover) {
			return nil
		}
		if cur.What&Subtree != 0 {
			cover, covered = append(cover[:0], cur.Path...), true
			cur.What |= everything
			cur.Known, cur.Extents = false, nil
		}
		s.Count++
		b.rec = encodeChange(b.rec[:0], cur.Path, &cur)
		return out.write(b.rec)
	}
	err := b.sorter.Each(func(rec []byte) error {
		c, err := decodeChange(rec)
		if err != nil {
			return err
		}
		if cur.What != 0 && bytes.Equal(cur.Path, c.Path) {
			merge(&cur, &c)
			return nil
		}
		if err := write(); err != nil {
			return err
		}
		room = append(room[:0], c.Path...)
		c.Path = room
		cur = c
		return nil
	})
	if err == nil {
		err = write()
	}
	if err == nil {
		err = out.flush()
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("collect changes: %w", err)
	}
	return s, nil
}

// output writes a Set's records, to a file when they are too many.
type output struct {
	set   *Set
	limit int
	dir   string
	w     *bufio.Writer
}

func (o *output) write(rec []byte) error {
	s := o.set
	if o.w == nil {
		s.memory = append(binary.AppendUvarint(s.memory, uint64(len(rec))), rec...)
		if len(s.memory) <= o.limit {
			return nil
		}
		f, err := os.CreateTemp(o.dir, "changes-*")
		if err != nil {
			return err
		}
		_ = os.Remove(f.Name()) // it lives as long as it is open, whatever becomes of us
		s.file, o.w = f, bufio.NewWriterSize(f, 256<<10)
		s.size = int64(len(s.memory))
		_, err = o.w.Write(s.memory)
		s.memory = nil
		return err
	}
	var length [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(length[:], uint64(len(rec)))
	s.size += int64(n + len(rec))
	if _, err := o.w.Write(length[:n]); err != nil {
		return err
	}
	_, err := o.w.Write(rec)
	return err
}

func (o *output) flush() error {
	if o.w == nil {
		return nil
	}
	return o.w.Flush()
}
