//go:build !unix

package restore

import (
	"context"
	"runtime"

	"keepward/internal/errs"
)

// Run restores; on this system it cannot yet, and says so.
func Run(context.Context, Options) (Result, error) {
	return Result{}, errs.New(errs.Invalid, "restore.unsupported", "restore: files cannot be restored on %s", runtime.GOOS).
		WithHint("restore to another computer, or use keepward extract on a Unix system")
}
