package crashtest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/repotest"
	"keepward/internal/storage"
)

// hurt damages an object of an attempt: the first below folder whose name, behind the
// folder's, begins with prefix. With no offset it is removed, else a bit there is flipped.
func hurt(n int, folder, prefix string, offset int) step {
	return func(ctx context.Context, w *world) error {
		found := ""
		err := w.backend().List(ctx, folder, func(i storage.Info) error {
			name := i.Name[strings.LastIndexByte(i.Name, '/')+1:]
			if found == "" && strings.Contains(i.Name, repotest.Attempt(n).String()) && strings.HasPrefix(name, prefix) {
				found = i.Name
			}
			return nil
		})
		if err == nil && found == "" {
			err = fmt.Errorf("attempt %d has nothing in %s that begins with %q", n, folder, prefix)
		}
		if err != nil {
			return err
		}
		w.note(func(e *expectation) { e.hurt = true })
		if offset != 0 {
			return w.disk.Flip(root+"/"+found, offset, 3)
		}
		return storage.NewDir(w.disk, root).Delete(ctx, found)
	}
}

const (
	inRecord = 64 + 300 // of the first record of a pack
	inPage   = 4096 + 200
	gone     = 0
)

func damageRecord(n int) step  { return hurt(n, "packs", "d", inRecord) }
func damageNode(n int) step    { return hurt(n, "packs", "m", inRecord) }
func losePack(n int) step      { return hurt(n, "packs", "d", gone) }
func damageSegment(n int) step { return hurt(n, "index", "", inPage) }
func loseSegment(n int) step   { return hurt(n, "index", "", gone) }

// repair runs a repairing check, which also proves what it reads.
func repair(ctx context.Context, w *world) error {
	return w.with(ctx, func(r *repo.Repository) error {
		o := w.checkAll()
		o.Repair, o.Attempt, o.Time = true, repotest.Attempt(w.number()), time.Unix(1_700_001_000, 0)
		_, err := r.Check(ctx, o)
		return err
	})
}

func (w *world) checkAll() repo.CheckOptions {
	issue, computers := w.site.Master.IssueKey(), w.site.Master.ComputersKey()
	return repo.CheckOptions{ReadData: true, Keys: w.site.Keys("check"), IssueKey: &issue, ComputersKey: &computers}
}

// rebuild makes index segments for packs that none names.
func rebuild(ctx context.Context, w *world) error {
	return w.with(ctx, func(r *repo.Repository) error {
		_, err := r.RebuildIndex(ctx)
		return err
	})
}

// healed says that nothing is damaged any more.
func healed(_ context.Context, w *world) error {
	w.note(func(e *expectation) { e.hurt = false })
	return nil
}

// ofDamage tells whether a restore may fail so, as long as something is damaged.
func ofDamage(err error) bool {
	k := errs.KindOf(err)
	return k == errs.Corrupt || k == errs.NotFound
}
