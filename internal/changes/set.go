package changes

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"keepward/internal/repo/fileindex"
)

// Set is what may have changed on a volume. It does not change any more; several goroutines
// may read it, each with a Cursor of its own.
type Set struct {
	// Reason is empty, or everything is in doubt and there are no Changes.
	Reason Reason
	// Err is the failure behind Reason, if there was one.
	Err error
	// LinksInDoubt: every file that had more than one link in the parent may have changed
	// beside what is named; their stats tell.
	LinksInDoubt bool
	// Notes say for the session log what was counted as changed without being known to be.
	Notes []string
	// Count is the number of changes.
	Count int64

	memory []byte
	file   *os.File
	size   int64
}

// NewSet makes a Set of changes whose paths are relative to the view's root, in any order.
func NewSet(view View, list []Change) (*Set, error) {
	b := newBuilder(&view)
	defer b.close()
	for i := range list {
		if err := b.add(&list[i]); err != nil {
			return nil, err
		}
	}
	return b.finish()
}

// doubt is a Set that knows nothing.
func doubt(why Reason, err error) *Set { return &Set{Reason: why, Err: err} }

// Doubt answers a Set in which everything is in doubt, for callers that have a reason of
// their own.
func Doubt(why Reason) *Set { return doubt(why, nil) }

// Close gives the Set's memory and disk space back.
func (s *Set) Close() {
	if s.file != nil {
		_ = s.file.Close() // nobody wants what is in it
	}
	s.memory, s.file = nil, nil
}

// Cursor answers what may have changed at paths that come in the order of the index.
type Cursor struct {
	set  *Set
	in   *bufio.Reader
	next Change // the first change that was not passed; its Path is a key
	end  bool

	cover   []byte // the key of the last Subtree that was passed
	covered bool
	last    Change // what was found at the last path, its Path the key
	has     bool
}

// Cursor answers a new cursor at the beginning.
func (s *Set) Cursor() *Cursor {
	var r io.Reader = bytes.NewReader(s.memory)
	if s.file != nil {
		r = io.NewSectionReader(s.file, 0, s.size)
	}
	return &Cursor{set: s, in: bufio.NewReaderSize(r, 16<<10)}
}

// Look answers what may have changed at path, and whether something may have below it. Paths
// must ascend as in the index; one may be asked for again. The Change is valid until the next
// call of Look or Next. Where everything is in doubt it has Subtree.
func (c *Cursor) Look(path []byte) (change Change, below bool, err error) {
	if c.set.Reason != "" {
		return Change{Path: path, What: Subtree | everything}, true, nil
	}
	key := fileindex.PathKey(path)
	for !c.has || !bytes.Equal(c.last.Path, key) {
		if err := c.fill(); err != nil {
			return Change{}, false, err
		}
		if c.end || bytes.Compare(c.next.Path, key) > 0 {
			break
		}
		c.take()
	}
	if c.covered && under(key, c.cover) {
		return Change{Path: path, What: Subtree | everything}, true, nil
	}
	if c.has && bytes.Equal(c.last.Path, key) {
		change = c.last
	}
	change.Path = path
	if err := c.fill(); err != nil {
		return Change{}, false, err
	}
	return change, !c.end && under(c.next.Path, key), nil
}

// Next answers the next change that no Look has passed, io.EOF behind the last.
func (c *Cursor) Next() (Change, error) {
	if err := c.fill(); err != nil {
		return Change{}, err
	}
	if c.end {
		return Change{}, io.EOF
	}
	c.take()
	out := c.last
	out.Path = fileindex.KeyPath(out.Path)
	return out, nil
}

// take passes the next change.
func (c *Cursor) take() {
	c.last, c.has = c.next, true
	c.next = Change{}
	if c.last.What&Subtree != 0 {
		c.cover, c.covered = c.last.Path, true
	}
}

// fill reads the next change, if it is not there.
func (c *Cursor) fill() error {
	if c.end || c.next.What != 0 {
		return nil
	}
	rec, err := readRecord(c.in)
	if errors.Is(err, io.EOF) {
		c.end = true
		return nil
	}
	if err == nil {
		c.next, err = decodeChange(rec)
	}
	if err != nil {
		return fmt.Errorf("read the set of changes: %w", err)
	}
	return nil
}

// under tells whether key is dir's or lies below it.
func under(key, dir []byte) bool {
	return len(dir) == 0 || bytes.HasPrefix(key, dir) && (len(key) == len(dir) || key[len(dir)] == 0)
}
