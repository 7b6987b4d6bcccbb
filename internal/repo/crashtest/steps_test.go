package crashtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"keepward/internal/repo"
	"keepward/internal/repo/point"
	"keepward/internal/repo/repotest"
)

// tree is an invented tree of files. Trees of the same base share what they share.
type tree struct {
	base  uint64
	extra uint64 // more files, of this seed; zero: none
	small uint64 // and many small ones; zero: none
	half  bool   // of the small ones every other
	nth   int    // of the small ones every so many; zero: all
	// bundle is how many files share a bundle, and parent the attempt whose extents files keep.
	bundle, parent int
}

func (t tree) files() map[string]string {
	out := repotest.Files(3, 2500, t.base)
	if t.extra != 0 {
		for path, content := range repotest.Files(2, 1500, t.extra) {
			out["extra/"+path] = content
		}
	}
	if t.small != 0 {
		small := repotest.Files(10, 900, t.small)
		for i, path := range slices.Sorted(maps.Keys(small)) {
			if (!t.half || i%2 == 0) && i%max(1, t.nth) == 0 {
				out["small/"+path] = small[path]
			}
		}
	}
	return out
}

// some are the first n of files.
func some(files map[string]string, n int) map[string]string {
	out := map[string]string{}
	for _, path := range slices.Sorted(maps.Keys(files))[:n] {
		out[path] = files[path]
	}
	return out
}

// begin starts an attempt; the steps that follow go on with it.
func begin(n int, computer string, t tree) step {
	return func(ctx context.Context, w *world) error {
		a := repotest.Attempt(n)
		l := &life{backup: repotest.Backup{Site: w.site, Computer: computer, Attempt: a, Files: t.files(), Bundle: t.bundle}}
		if t.parent != 0 {
			l.backup.Parent = w.bundled[repotest.Attempt(t.parent)]
		}
		w.noteWant(a, func(x *want) {
			*x = want{computer: computer, files: l.backup.Files, point: absent, deleted: no, held: no}
		})
		var err error
		if l.r, err = w.open(ctx); err != nil {
			return err
		}
		l.w, err = l.r.NewWriter(context.Background(), repo.WriterOptions{Attempt: a, Owner: w.site.Owner(computer), Keys: w.site.Keys(computer), PackSize: packSize})
		if err != nil {
			return errors.Join(err, l.r.Close())
		}
		w.lives[a] = l
		return nil
	}
}

// on runs f with an attempt that was begun.
func on(n int, f func(ctx context.Context, w *world, l *life) error) step {
	return func(ctx context.Context, w *world) error { return f(ctx, w, w.lives[repotest.Attempt(n)]) }
}

// storing stores the first so many files of an attempt.
func storing(n, count int) step {
	return on(n, func(ctx context.Context, _ *world, l *life) error {
		_, err := l.backup.Store(ctx, l.w, some(l.backup.Files, count))
		return err
	})
}

// checkpoint stores the first so many files and records how far the attempt came.
func checkpoint(n, count int) step {
	return on(n, func(ctx context.Context, _ *world, l *life) error {
		d, err := l.backup.Store(ctx, l.w, some(l.backup.Files, count))
		if err == nil {
			err = l.w.Checkpoint(ctx, d, nil)
		}
		return err
	})
}

// aheadOf records that the files up to count are stored, the last two of them behind the path tree: of
// these the second in part.
func aheadOf(n, count int) step {
	record := checkpoint(n, count)
	return on(n, func(ctx context.Context, w *world, l *life) error {
		l.backup.Ahead = 2
		defer func() { l.backup.Ahead = 0 }()
		return record(ctx, w)
	})
}

// recorded checks that all that the last checkpoint of an attempt names is there: so many files, the
// last one in part, and whole under an inode.
func recorded(n, count int) step {
	return func(ctx context.Context, w *world) error {
		a := repotest.Attempt(n)
		x := w.found().wants[a]
		return w.with(ctx, func(r *repo.Repository) error {
			content, err := r.LatestCheckpoint(ctx, a)
			if err != nil {
				return err
			}
			files, failed, err := w.site.RestoreFrom(ctx, r, x.computer, content)
			whole := files[repotest.InodeAhead]
			delete(files, repotest.InodeAhead)
			if err != nil || len(failed) > 0 || len(files) != count || whole == "" {
				return fmt.Errorf("the checkpoint has %d files, and %v failed: %w", len(files), failed, err)
			}
			for path, got := range files {
				if !strings.HasPrefix(x.files[path], got) {
					return fmt.Errorf("%s is not what was stored", path)
				}
			}
			return nil
		})
	}
}

// flush stores the first so many files and makes them durable and known.
func flush(n, count int) step {
	return on(n, func(ctx context.Context, _ *world, l *life) error {
		_, err := l.backup.Store(ctx, l.w, some(l.backup.Files, count))
		if err == nil {
			err = l.w.Flush(ctx)
		}
		return err
	})
}

// commit stores what is missing and commits, as a point of its kind.
func commit(n int, kind point.Type) step {
	return on(n, func(ctx context.Context, w *world, l *life) error {
		a := l.backup.Attempt
		d, err := l.backup.Store(ctx, l.w, l.backup.Files)
		if err != nil {
			return err
		}
		issue, err := l.backup.Issue()
		if err != nil {
			return err
		}
		d.Type = kind
		w.noteWant(a, func(x *want) { x.point, x.kind = x.point|there, kind })
		err = l.w.Commit(ctx, d, issue)
		if err != nil {
			return err
		}
		w.noteWant(a, func(x *want) { x.point = there })
		if l.backup.Bundle > 0 {
			w.bundled[a] = &l.backup
		}
		return w.leave(l)
	})
}

// fencedOut goes on with an attempt that was cut off: it must not get a point.
func fencedOut(n int) step {
	return on(n, func(ctx context.Context, w *world, l *life) error {
		d, err := l.backup.Store(ctx, l.w, l.backup.Files)
		if err == nil {
			err = l.w.Commit(ctx, d, nil)
		}
		if err == nil {
			return errors.New("a fenced attempt was committed")
		}
		return w.leave(l)
	})
}

// abort gives an attempt up.
func abort(n int) step {
	return on(n, func(_ context.Context, w *world, l *life) error { return w.leave(l) })
}

// leave ends an attempt's process.
func (w *world) leave(l *life) error {
	delete(w.lives, l.backup.Attempt)
	l.w.Abort()
	return l.r.Close()
}

// fence cuts an attempt off, from another process.
func fence(n int) step { return fenceOf(repotest.Attempt(n)) }

func fenceOf(a point.Attempt) step {
	return func(ctx context.Context, w *world) error {
		w.noteWant(a, func(x *want) {
			if x.point |= fenced; x.deleted == 0 { // of an attempt that never began
				x.point, x.deleted, x.held = x.point|absent, no, no
			}
		})
		return w.with(ctx, func(r *repo.Repository) error {
			committed, err := r.Fence(ctx, a, "test")
			if err != nil {
				return err
			}
			w.noteWant(a, func(x *want) {
				if x.point = fenced; committed {
					x.point = there
				}
			})
			return nil
		})
	}
}

// backup is a whole attempt.
func backup(n int, computer string, t tree) step {
	return together(begin(n, computer, t), commit(n, point.Complete))
}

func together(steps ...step) step {
	return func(ctx context.Context, w *world) error { return w.run(ctx, steps) }
}
