package pipeline

import (
	"context"
	"errors"
	"io"
	"time"

	"keepward/internal/repo/fileindex"
	"keepward/internal/source"
)

// estimateFor bounds how long files are counted beside a first backup: a disk on which that
// takes longer has better things to do.
const estimateFor = 20 * time.Second

// estimate counts what a first backup has before it, where no parent tells. It is a walk of
// its own, far ahead of the one that is read, and what it reads of directories the other then
// finds in memory.
func (r *run) estimate(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, estimateFor)
	defer cancel()
	// What cannot be looked at is the other walk's to report.
	w, err := source.NewWalker(r.opts.Selection, func(source.Problem) {})
	if err != nil {
		return
	}
	defer w.Close()
	w.SpillTo(r.opts.Scratch)
	files, size := int64(0), int64(0)
	for {
		it, err := w.Next(ctx)
		if errors.Is(err, io.EOF) {
			r.count.totalFiles.Store(files)
			r.count.totalBytes.Store(size)
			return
		}
		if err != nil {
			return
		}
		files++
		// Each name of a file counts its share.
		if it.Stat.Type == fileindex.File {
			size += it.Stat.Size / int64(max(it.Stat.Links, 1))
		}
		if ctx.Err() != nil {
			return
		}
	}
}
