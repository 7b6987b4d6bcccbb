package pipeline

import (
	"context"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/signature"
)

// packer stores single blocks of a file, many to a bundle, and keeps the file's extents in
// order until the bundle that a block lies in is known. It collects in its worker's bundle,
// which a large file leaves idle.
type packer struct {
	w  *worker
	to *extentList

	hold   *hold // of the open bundle; nil: none is open
	before *hold // of the bundle before
	// queue are extents from the first one on that waits for its bundle; waiting are the
	// positions in it of those that wait.
	queue   []fileindex.Extent
	waiting []int
}

const (
	// packBlocks is how many blocks a bundle takes: with their header they fill a buffer of
	// one MiB.
	packBlocks = 63
	// packQueue bounds the extents that wait: a file with few changes gets smaller bundles.
	packQueue = 4096
)

// add appends an extent that is known.
func (p *packer) add(ctx context.Context, x fileindex.Extent) error {
	if p.hold == nil {
		return p.to.add(ctx, x)
	}
	if n := len(p.queue); n > 0 && p.queue[n-1].Append(&x) {
		return nil
	}
	p.queue = append(p.queue, x)
	if len(p.queue) < packQueue {
		return nil
	}
	return p.flush(ctx)
}

// block stores content, at most a block.
func (p *packer) block(ctx context.Context, content []byte) error {
	b := &p.w.bundle
	if p.hold == nil {
		need := seal.BundleHeaderLen(packBlocks) + packBlocks*signature.Block
		h, err := p.w.pool.spare(p.before, need, p.w.seal)
		if err != nil {
			return errStore{err}
		}
		p.hold = h
		b.reset(seal.BundleHeaderLen(packBlocks))
	}
	copy(p.hold.buf[b.end:], content)
	x := p.w.member(p.hold.buf[b.end : b.end+len(content)])
	b.end += len(content)
	p.waiting = append(p.waiting, len(p.queue))
	p.queue = append(p.queue, x)
	if len(b.sizes) < packBlocks {
		return nil
	}
	return p.flush(ctx)
}

// flush closes the open bundle and passes on what waited for it.
func (p *packer) flush(ctx context.Context) error {
	if p.hold == nil {
		return nil
	}
	for _, i := range p.waiting {
		p.w.bundle.users = append(p.w.bundle.users, &p.queue[i])
	}
	p.w.closeBundle(p.hold)
	p.before, p.hold = p.hold, nil
	p.w.pool.unhold(p.before)
	for _, x := range p.queue {
		if err := p.to.add(ctx, x); err != nil {
			return err
		}
	}
	p.queue, p.waiting = p.queue[:0], p.waiting[:0]
	return nil
}

// close gives up what is open.
func (p *packer) close() {
	if p.hold != nil {
		p.w.pool.unhold(p.hold)
		p.hold = nil
	}
}
