//go:build unix

package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
)

// selections plans the chosen parts, one after the other.
func (p *planner) selections(ctx context.Context, parts []part) error {
	found := 0
	for i := range parts {
		p.part = &parts[i]
		ok, err := p.selection(ctx, parts[i].path)
		if err != nil {
			return err
		}
		if !ok {
			p.r.report.fail([]byte("/"+parts[i].path), errs.New(errs.NotFound, "restore.path-missing", "it is not in the restore point"))
			continue
		}
		found++
	}
	if found == 0 {
		return errs.New(errs.NotFound, "restore.path-missing", "none of the chosen paths is in restore point %s", p.r.o.Point)
	}
	p.r.c.PlanDone.Store(1)
	return nil
}

// selection plans one chosen path and all below it; false: the point has none of it.
func (p *planner) selection(ctx context.Context, path string) (bool, error) {
	key := fileindex.PathKey([]byte(path))
	n, lost := 0, false
	if err := p.cursor.Seek(ctx, key); err != nil {
		if err := p.damagedIndex(path, err); err != nil {
			return false, err
		}
		lost = true
	}
	for ctx.Err() == nil {
		e, err := p.cursor.Next(ctx)
		if errors.Is(err, io.EOF) {
			return lost || n > 0, nil
		}
		if err != nil {
			if err := p.damagedIndex(path, err); err != nil {
				return false, err
			}
			lost = true
			continue
		}
		// The entry of path itself comes first, unless it is among what is lost.
		if !within(path, e.Path) || n == 0 && !lost && string(e.Path) != path {
			return lost || n > 0, nil
		}
		if n == 0 && p.r.o.Strip {
			p.strip(path, e)
		}
		n++
		p.last = string(e.Path)
		if skip := p.part.skipped(e.Path); skip != "" {
			// Just behind a key is what begins with it and a separator: all that is below it.
			err := p.cursor.Seek(ctx, append(fileindex.PathKey([]byte(skip)), 1))
			if err != nil {
				if err := p.damagedIndex(path, err); err != nil {
					return false, err
				}
				lost = true
			}
			continue
		}
		if err := p.entry(ctx, e); err != nil {
			return false, err
		}
		p.easeDescriptors()
	}
	return false, context.Cause(ctx)
}

// damagedIndex reports that a part of the file index cannot be read. Names in it are not
// known; what lies behind it is restored. An error that is not about that part is answered.
func (p *planner) damagedIndex(path string, err error) error {
	err = fmt.Errorf("read file index: %w", err)
	if p.r.reads.fatal(err) {
		return err
	}
	where := p.last
	if where == "" {
		where = path
	}
	p.r.report.fail([]byte("/"+where), errs.New(errs.KindOf(err), "restore.index-damaged", "entries behind this one are lost: %w", err).
		WithHint("a check of the repository names what is damaged; an earlier point may be whole"))
	for _, d := range p.stack {
		d.keep = nil // what belongs there is not known any more
	}
	return nil
}

// strip makes the base stand for the chosen directory, or for the directory of the chosen file.
func (p *planner) strip(path string, e *fileindex.Entry) {
	if e.Type != fileindex.Dir && string(e.Path) == path {
		path, _ = splitPath(path)
	}
	p.r.base.path = path
}

func within(dir string, path []byte) bool {
	return dir == "" || len(path) >= len(dir) && string(path[:len(dir)]) == dir && (len(path) == len(dir) || path[len(dir)] == '/')
}

func splitPath(path string) (parent, name string) {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return "", path
}
