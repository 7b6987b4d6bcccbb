//go:build !linux

package mariadb

import (
	"context"
	"runtime"

	"keepward/internal/app"
	"keepward/internal/errs"
)

func errHere() error {
	return errs.New(errs.Invalid, "application.platform", "MariaDB is backed up and brought back on Linux only, not on %s", runtime.GOOS).
		WithHint("take its dump as a command of the job")
}

func deviceOf(string) (uint64, error) { return 0, errHere() }

func ownerOf(string) (uid, gid int, err error) { return 0, 0, errHere() }

// Copy makes a copy of the server.
func (i *instance) Copy(context.Context, string) ([]app.Tree, error) { return nil, errHere() }

func (r *recovery) prepare(context.Context) error { return errHere() }

func (r *recovery) run(context.Context) error { return errHere() }
