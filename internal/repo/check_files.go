package repo

import (
	"bytes"
	"context"
	"errors"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// fileWalk names the files of one point that need what is lost.
type fileWalk struct {
	c      *checker
	p      point.Point
	name   string // of the computer
	opener *seal.Opener
	inodes map[string][]int // keys of inodes that need something lost, and the findings
}

// files walks the file index of a point and names the files that need a lost chunk. It answers
// false if there are no keys to do so.
func (c *checker) files(ctx context.Context, p point.Point) (bool, error) {
	if !c.opts.keyed() {
		return false, nil
	}
	computer, body, err := c.body(p)
	if err != nil || body == nil {
		return false, err
	}
	opener, err := seal.NewOpener(c.opts.Keys)
	if err != nil {
		return false, err
	}
	defer opener.Close()
	w := &fileWalk{c: c, p: p, name: computer, opener: opener, inodes: map[string][]int{}}
	return true, w.root(ctx, body.Root)
}

// body opens what is sealed of a point. It answers nil if that does not open, which is then
// reported.
func (c *checker) body(p point.Point) (computer string, _ *point.Body, _ error) {
	issue, err := point.OpenIssue(*c.opts.IssueKey, &p)
	if err != nil {
		return "", nil, c.unopened(p, err)
	}
	c.names[c.opts.ComputersKey.Owner(issue.Computer)] = issue.Computer
	body, err := point.OpenBody(c.opts.ComputersKey.Computer(issue.Computer), &p)
	if err != nil {
		return "", nil, c.unopened(p, err)
	}
	return issue.Computer, &body, nil
}

// unopened reports, once, a point whose checksum is good and that does not open with its keys.
func (c *checker) unopened(p point.Point, err error) error {
	if k := errs.KindOf(err); k != errs.Denied && k != errs.Corrupt {
		return err
	}
	if c.sealed[p.Attempt] {
		return nil
	}
	c.sealed[p.Attempt] = true
	c.find(Finding{
		Object: "point", Name: pointName(p.Attempt), Code: "point.sealed", Text: err.Error(),
		Affected: []AffectedFile{{Point: p.Attempt}}, AffectedTotal: 1,
	})
	return nil
}

// fetch opens a chunk; finding is where its loss is reported if it cannot be had (content is
// nil then).
func (w *fileWalk) fetch(ctx context.Context, h seal.H) (content []byte, finding int, err error) {
	id := h.ID()
	err = w.c.readGood(ctx, [16]byte{}, id, func(rec *seal.Record) (err error) {
		content, err = w.opener.Open(nil, rec, h)
		return err
	})
	switch errs.KindOf(err) {
	case "":
		return content, 0, nil
	case errs.Cancelled:
		return nil, 0, err
	}
	return nil, w.c.chunk(id, "", readCode(err), err.Error()), nil
}

func (w *fileWalk) root(ctx context.Context, h seal.H) error {
	content, finding, err := w.fetch(ctx, h)
	if err != nil {
		return err
	}
	if content == nil {
		w.affect(finding, 1, nil)
		return nil
	}
	root, err := fileindex.ParseRoot(content)
	if err != nil {
		return err
	}
	if err := w.tree(ctx, seal.KindInode, root.Inodes); err != nil {
		return err
	}
	return w.tree(ctx, seal.KindNode, root.Paths)
}

func (w *fileWalk) tree(ctx context.Context, kind seal.Kind, t fileindex.Tree) error {
	if t.Empty() {
		return nil
	}
	return w.node(ctx, kind, fileindex.Child{H: t.H, Entries: t.Entries})
}

func (w *fileWalk) affect(finding int, files int64, path []byte) {
	w.c.affect(finding, files, AffectedFile{Point: w.p.Attempt, Computer: w.name, Path: bytes.Clone(path)})
}

// node visits a node and what is below it. What is all there is passed over, unless it may
// hold names of an inode that is not.
func (w *fileWalk) node(ctx context.Context, kind seal.Kind, n fileindex.Child) error {
	if w.c.clean(n.H.ID()) && len(w.inodes) == 0 {
		return nil
	}
	content, finding, err := w.fetch(ctx, n.H)
	if err != nil {
		return err
	}
	if content == nil {
		// All entries below it are out of reach; the first is known by name. For inodes the
		// names are not known at all.
		var path []byte
		if kind == seal.KindNode {
			path = fileindex.KeyPath(n.First)
		}
		w.affect(finding, n.Entries, path)
		return nil
	}
	return fileindex.Visit(kind, content,
		func(ch fileindex.Child) error {
			ch.First = bytes.Clone(ch.First)
			return w.node(ctx, kind, ch)
		},
		func(key []byte, e *fileindex.Entry) error { return w.entry(ctx, kind, key, e) })
}

// entry names a file under each lost chunk that it needs; an inode is remembered for its names.
func (w *fileWalk) entry(ctx context.Context, kind seal.Kind, key []byte, e *fileindex.Entry) error {
	lost, err := w.needs(ctx, e)
	if err != nil {
		return err
	}
	if kind == seal.KindInode {
		if len(lost) > 0 {
			w.inodes[string(key)] = lost
		}
		return nil
	}
	if e.Type == fileindex.Link {
		lost = append(lost, w.inodes[string(fileindex.InodeKey(e.Device, e.Inode))]...)
	}
	for _, finding := range lost {
		w.affect(finding, 1, e.Path)
	}
	return nil
}

// needs are the findings of the lost chunks that an entry's content needs. A lost signature
// only makes the next backup read the file whole.
func (w *fileWalk) needs(ctx context.Context, e *fileindex.Entry) (lost []int, err error) {
	e.Hashes(func(kind seal.Kind, h seal.H) {
		if kind == seal.KindSignature || err != nil {
			return
		}
		var more []int
		if kind == seal.KindMap {
			more, err = w.contentMap(ctx, h)
		} else {
			more = w.gone(ctx, h.ID())
		}
		lost = union(lost, more)
	})
	return lost, err
}

func union(a, b []int) []int {
	seen := map[int]bool{}
	var out []int
	for _, i := range append(a, b...) {
		if !seen[i] {
			seen[i] = true
			out = append(out, i)
		}
	}
	return out
}

func (w *fileWalk) gone(ctx context.Context, id seal.ID) []int {
	if !w.c.lost(ctx, id) {
		return nil
	}
	return []int{w.c.chunk(id, "", "chunk.missing", "the repository does not hold it")}
}

// contentMap are the findings of what a content map needs.
func (w *fileWalk) contentMap(ctx context.Context, h seal.H) (lost []int, err error) {
	if w.c.clean(h.ID()) {
		return nil, nil
	}
	content, finding, err := w.fetch(ctx, h)
	if err != nil {
		return nil, err
	}
	if content == nil {
		return []int{finding}, nil
	}
	err = fileindex.NodeRefs(seal.KindMap, content, func(kind seal.Kind, h seal.H) error {
		var more []int
		var err error
		if kind == seal.KindMap {
			more, err = w.contentMap(ctx, h)
		} else {
			more = w.gone(ctx, h.ID())
		}
		lost = union(lost, more)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, ctx.Err())
	}
	return lost, nil
}
