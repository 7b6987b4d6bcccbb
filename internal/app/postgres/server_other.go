//go:build !linux

package postgres

import (
	"context"
	"runtime"

	"keepward/internal/errs"
)

func errHere() error {
	return errs.New(errs.Invalid, "application.platform", "PostgreSQL is brought back on Linux only, not on %s", runtime.GOOS).
		WithHint("restore its files, and recover by hand")
}

func ownerOf(string) (uid, gid int, err error) { return 0, 0, errHere() }

func (r *recovery) run(context.Context) error { return errHere() }
