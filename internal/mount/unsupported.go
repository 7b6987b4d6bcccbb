//go:build !(linux || darwin || freebsd)

package mount

import (
	"context"
	"runtime"

	"keepward/internal/errs"
)

// Run refuses: there is no FUSE here.
func Run(context.Context, string, Options, func()) error {
	return errs.New(errs.Invalid, "mount.system", "mount restore points: that cannot be done on %s", runtime.GOOS).
		WithHint("mount them on a Linux computer that reaches the server, or restore what you need")
}
