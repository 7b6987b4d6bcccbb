package pipeline

import (
	"context"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/signature"
)

// signer makes the signature of a file from its bytes, as they are read or passed by as a
// hole. Only what is stored may go in: the next backup takes equal blocks for stored.
type signer struct {
	hasher *signature.Hasher
	out    *signature.Writer
	part   []byte // of a block that is not complete
}

func newSigner(h *signature.Hasher, hasher *seal.Hasher, saver fileindex.Saver) *signer {
	return &signer{hasher: h, out: signature.NewWriter(hasher, saver), part: make([]byte, 0, signature.Block)}
}

// bytes takes the next bytes of the file.
func (s *signer) bytes(ctx context.Context, p []byte) error {
	for len(p) > 0 {
		if len(s.part) == 0 && len(p) >= signature.Block {
			if err := s.out.Add(ctx, s.hasher.Sum(p[:signature.Block])); err != nil {
				return errStore{err}
			}
			p = p[signature.Block:]
			continue
		}
		n := min(len(p), signature.Block-len(s.part))
		s.part = append(s.part, p[:n]...)
		p = p[n:]
		if err := s.complete(ctx); err != nil {
			return err
		}
	}
	return nil
}

// complete passes the collected block on if it is whole.
func (s *signer) complete(ctx context.Context) error {
	if len(s.part) < signature.Block {
		return nil
	}
	return s.close(ctx)
}

func (s *signer) close(ctx context.Context) error {
	sum := s.hasher.Sum(s.part)
	s.part = s.part[:0]
	if err := s.out.Add(ctx, sum); err != nil {
		return errStore{err}
	}
	return nil
}

// hole takes n bytes that are a hole.
func (s *signer) hole(ctx context.Context, n int64) error {
	pad := func(n int64) { s.part = append(s.part, make([]byte, n)...) }
	if len(s.part) > 0 {
		k := min(n, int64(signature.Block-len(s.part)))
		pad(k)
		n -= k
		if err := s.complete(ctx); err != nil {
			return err
		}
	}
	if n >= signature.Block {
		if err := s.out.Zeros(ctx, n/signature.Block); err != nil {
			return errStore{err}
		}
	}
	pad(n % signature.Block)
	return nil
}

// finish gives the entry of a file of size bytes its signature.
func (s *signer) finish(ctx context.Context, e *fileindex.Entry, size int64) error {
	if size == 0 {
		return nil
	}
	if len(s.part) > 0 {
		if err := s.close(ctx); err != nil {
			return err
		}
	}
	h, err := s.out.Finish(ctx, size)
	if err != nil {
		return errStore{err}
	}
	e.Signature = &h
	return nil
}
