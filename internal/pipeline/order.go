package pipeline

import (
	"bytes"
	"context"

	"keepward/internal/repo/fileindex"
)

// orderer builds one tree from groups as they come, each when it is complete.
type orderer struct {
	builder *fileindex.Builder
	count   *Counters
	uses    *uses
	// inodes: the tree is an inode table, not a path tree.
	inodes bool
	// bytes are the sizes of the regular files that were added.
	bytes int64
	last  []byte // path of the last entry
	// between is called between groups; nil: nothing is to be done there.
	between func(ctx context.Context) error
}

// run adds groups until in is closed. After a failure it only takes them away.
func (o *orderer) run(ctx context.Context, in <-chan *group) error {
	var err error
	for g := range in {
		g.pending.Wait()
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = o.add(ctx, g)
		}
		g.free()
		if err == nil && o.between != nil {
			err = o.between(ctx)
		}
	}
	return err
}

func (o *orderer) add(ctx context.Context, g *group) error {
	files, dirs, size := int64(0), int64(0), int64(0)
	for i := range g.entries {
		e := &g.entries[i]
		if e.Type == 0 {
			continue
		}
		var err error
		if o.inodes {
			err = o.builder.AddKeyed(ctx, fileindex.InodeKey(e.Device, e.Inode), e)
		} else {
			err = o.builder.Add(ctx, e)
			files++
		}
		if err != nil {
			return err
		}
		if e.Type == fileindex.Dir {
			dirs++
		}
		if e.Type == fileindex.File {
			size += e.Size
			o.uses.add(e)
		}
	}
	o.bytes += size
	o.count.doneFiles.Add(files)
	o.count.doneDirs.Add(dirs)
	o.count.doneBytes.Add(size)
	if !o.inodes { // an inode's names were counted when they were met
		o.count.reusedFiles.Add(g.reused)
	}
	o.count.reusedBytes.Add(g.reusedBytes)
	for i := len(g.entries) - 1; i >= 0 && !o.inodes; i-- {
		if g.entries[i].Type != 0 {
			o.last = append(o.last[:0], g.entries[i].Path...)
			break
		}
	}
	return nil
}

// lastKey is the key of the last entry that was added.
func (o *orderer) lastKey() []byte { return bytes.ReplaceAll(o.last, []byte{'/'}, []byte{0}) }
