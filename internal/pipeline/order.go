package pipeline

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"

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
	dirs  int64 // directories that were added
	// donor is the parent's tree, of which groups name ranges; nil: they do not. tail is the
	// range that was taken over last, if no entry was added behind it.
	donor *fileindex.Donor
	tail  *fileindex.Range
	last  []byte // path of the last entry
	// underway are the units of this tree; added is the last group that was added.
	underway *underway
	added    atomic.Int64
	// between is called between groups, and while one is waited for, when underway says so.
	between func(ctx context.Context) error
}

// run adds groups until in is closed. After a failure it only takes them away.
func (o *orderer) run(ctx context.Context, in <-chan *group) error {
	var waiting sync.WaitGroup
	defer waiting.Wait()
	complete := make(chan struct{}, 1) // of the one group that is waited for
	var err error
	do := func(fn func(context.Context) error) {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = fn(ctx)
		}
	}
	for {
		select {
		case g, ok := <-in:
			if !ok {
				return err
			}
			waiting.Go(func() {
				g.pending.Wait()
				complete <- struct{}{}
			})
			for waits := true; waits; {
				select {
				case <-complete:
					waits = false
				case <-o.underway.nudge:
					do(o.between)
				}
			}
			do(func(ctx context.Context) error { return o.add(ctx, g) })
			o.added.Store(g.seq)
			g.free()
			do(o.between)
		case <-o.underway.nudge:
			do(o.between)
		}
	}
}

func (o *orderer) add(ctx context.Context, g *group) error {
	files, dirs, size := int64(0), int64(0), int64(0)
	ranges := g.kept
	for i := range g.entries {
		for ; len(ranges) > 0 && ranges[0].at == i; ranges = ranges[1:] {
			if err := o.take(ctx, ranges[0].within); err != nil {
				return err
			}
		}
		e := &g.entries[i]
		if e.Type == 0 {
			continue
		}
		o.tail = nil
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
	o.dirs += dirs
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
	for _, k := range ranges {
		if err := o.take(ctx, k.within); err != nil {
			return err
		}
	}
	return nil
}

// take takes a range of the parent over.
func (o *orderer) take(ctx context.Context, r fileindex.Range) error {
	part, err := o.builder.Take(ctx, o.donor, r)
	if err != nil {
		return donorLost(err)
	}
	if part.Entries == 0 {
		return nil
	}
	o.tail = &r
	o.bytes += part.Bytes
	o.count.doneBytes.Add(part.Bytes)
	o.count.reusedBytes.Add(part.Bytes)
	if !o.inodes {
		o.count.doneFiles.Add(part.Entries)
		o.count.reusedFiles.Add(part.Entries)
	}
	return nil
}

// lastKey is the key of the last entry in the tree.
func (o *orderer) lastKey(ctx context.Context) ([]byte, error) {
	if o.tail != nil {
		key, err := o.donor.Last(ctx, *o.tail)
		return key, donorLost(err)
	}
	return bytes.ReplaceAll(o.last, []byte{'/'}, []byte{0}), nil
}
