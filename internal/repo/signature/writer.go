package signature

import (
	"context"
	"encoding/binary"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

// Writer makes a signature out of the hashes of a file's blocks in their order. Its memory
// does not grow with the file.
type Writer struct {
	hasher *seal.Hasher
	saver  fileindex.Saver
	leaf   []byte
	some   bool // one of the leaf's hashes is not 0
	blocks int64
	leaves int64 // closed
	// up[i] is the open record of level i+1. A record is closed when there is more than it
	// can take, so that the last one, which alone may be short, is closed by Finish.
	up []inner
}

type inner struct {
	hs     []seal.H
	closed int64
}

// NewWriter makes a Writer.
func NewWriter(hasher *seal.Hasher, saver fileindex.Saver) *Writer {
	return &Writer{hasher: hasher, saver: saver}
}

// Add appends the hash of the next block.
func (w *Writer) Add(ctx context.Context, sum uint64) error {
	if len(w.leaf) == 8*leafBlocks {
		if err := w.closeLeaf(ctx); err != nil {
			return err
		}
	}
	w.leaf = binary.LittleEndian.AppendUint64(w.leaf, sum)
	w.some = w.some || sum != 0
	w.blocks++
	return nil
}

// Zeros appends the hashes of so many blocks of zeros.
func (w *Writer) Zeros(ctx context.Context, blocks int64) error {
	for blocks > 0 {
		if len(w.leaf) == 8*leafBlocks {
			if err := w.closeLeaf(ctx); err != nil {
				return err
			}
		}
		if len(w.leaf) == 0 && blocks > leafBlocks { // a whole leaf, and not the last
			w.leaves++
			if err := w.push(ctx, 0, seal.H{}); err != nil {
				return err
			}
			w.blocks += leafBlocks
			blocks -= leafBlocks
			continue
		}
		n := min(blocks, leafBlocks-int64(len(w.leaf)/8))
		w.leaf = append(w.leaf, make([]byte, 8*n)...)
		w.blocks += n
		blocks -= n
	}
	return nil
}

// closeLeaf passes a full leaf on.
func (w *Writer) closeLeaf(ctx context.Context) error {
	h, err := w.saveLeaf(ctx, span(0), false)
	if err != nil {
		return err
	}
	w.leaves++
	return w.push(ctx, 0, h)
}

func (w *Writer) saveLeaf(ctx context.Context, size int64, top bool) (seal.H, error) {
	some := w.some || top
	content := append(header(0, size), w.leaf...)
	w.leaf, w.some = w.leaf[:0], false
	if !some {
		return seal.H{}, nil
	}
	return w.save(ctx, content, nil)
}

// push takes the hash of a record into the open one above.
func (w *Writer) push(ctx context.Context, i int, h seal.H) error {
	if i == len(w.up) {
		w.up = append(w.up, inner{})
	}
	if len(w.up[i].hs) == fan {
		above, err := w.saveInner(ctx, i, span(i+1), false)
		if err != nil {
			return err
		}
		w.up[i].closed++
		if err := w.push(ctx, i+1, above); err != nil {
			return err
		}
	}
	w.up[i].hs = append(w.up[i].hs, h)
	return nil
}

func (w *Writer) saveInner(ctx context.Context, i int, size int64, top bool) (seal.H, error) {
	content := header(i+1, size)
	var refs []seal.H
	for _, h := range w.up[i].hs {
		content = append(content, h[:]...)
		if h != (seal.H{}) {
			refs = append(refs, h)
		}
	}
	w.up[i].hs = w.up[i].hs[:0]
	if len(refs) == 0 && !top {
		return seal.H{}, nil
	}
	return w.save(ctx, content, refs)
}

func (w *Writer) save(ctx context.Context, content []byte, refs []seal.H) (seal.H, error) {
	h := w.hasher.Hash(seal.KindSignature, content)
	return h, w.saver.Save(ctx, fileindex.Chunk{Kind: seal.KindSignature, H: h, Refs: refs, Content: content})
}

// Finish saves what is open and answers the topmost record. size is the file's: the last
// block may be short.
func (w *Writer) Finish(ctx context.Context, size int64) (seal.H, error) {
	if size <= 0 || parts(size, Block) != w.blocks {
		return seal.H{}, errs.New(errs.Internal, "", "make signature: %d blocks of a file of %d bytes", w.blocks, size)
	}
	h, err := w.saveLeaf(ctx, size-w.leaves*span(0), len(w.up) == 0)
	for i := 0; i < len(w.up) && err == nil; i++ {
		if err = w.push(ctx, i, h); err != nil {
			break
		}
		h, err = w.saveInner(ctx, i, size-w.up[i].closed*span(i+1), i == len(w.up)-1)
	}
	return h, err
}
