package pipeline

import (
	"context"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/signature"
)

// A long run of blocks that differ is cut by content, as of a new file, so that what was only
// moved is found again.
const (
	// longRun is how many blocks that differ in a row make a long run. Shorter ones are
	// stored block by block.
	longRun = 64
	// minKept is how many equal blocks end a long run. Fewer are most often a coincidence,
	// and would leave chunks of which next to nothing is used.
	minKept = 8
	// zeroBlocks is minZeros in blocks.
	zeroBlocks = minZeros / signature.Block
)

// cut takes one extent of a long run from the window's start, or ends the run.
func (r *inplace) cut(ctx context.Context) (bool, error) {
	e := r.runEnd()
	switch {
	case e.at > r.at:
	case e.zeros > 0:
		to := r.blocks[e.zeros-1].end()
		err := r.zeros(ctx, r.at, to)
		r.pass(to)
		return true, err
	default:
		r.long = !e.sure
		return e.sure, nil
	}
	if hole, end := r.here.at(r.at); end < e.at || hole {
		end = min(end, e.at)
		if hole && allZero(r.window(r.at, end)) {
			err := r.pack.add(ctx, fileindex.Extent{Kind: fileindex.Hole, Len: end - r.at})
			r.pass(end)
			return true, err
		}
		e.at, e.sure = end, true
	}
	data := r.window(r.at, e.at)
	n, found := r.w.chunker.Resume(&r.search, data)
	if !found && !e.sure {
		return false, nil
	}
	x := r.w.offerData(data[:n], r.hold)
	r.pass(r.at + int64(n))
	return true, r.pack.add(ctx, x)
}

// border is where a long run, or the piece of it before a stretch of zeros, ends.
type border struct {
	at    int64
	zeros int  // blocks of zeros that begin there
	sure  bool // more of the file would not move it
}

func (r *inplace) runEnd() border {
	i := 0
	if r.at > r.blocks[0].at {
		i = 1 // what is left of a block that was cut
	}
	for i < len(r.blocks) {
		b := &r.blocks[i]
		kept, zeros := 0, 0
		for i+kept < len(r.blocks) && r.blocks[i+kept].keep {
			kept++
		}
		for i+zeros < len(r.blocks) && r.blocks[i+zeros].zero {
			zeros++
		}
		switch {
		case zeros >= zeroBlocks:
			return border{at: b.at, zeros: zeros, sure: true}
		case kept >= minKept, kept > 0 && i+kept == len(r.blocks) && r.last:
			return border{at: b.at, sure: true}
		case max(kept, zeros) > 0 && i+max(kept, zeros) == len(r.blocks) && !r.last:
			return border{at: b.at}
		}
		i++
	}
	return border{at: r.at + int64(r.end-r.start), sure: r.last}
}
