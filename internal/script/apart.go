package script

import (
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"keepward/internal/errs"
)

// apart has what a command prints read apart from the waiting for its end, so that who still holds
// its output when it ends can be ended first. rest, which may be called again, reads what is left,
// and does not wait for more than a grace.
func apart(cmd *exec.Cmd, to io.Writer, both bool, grace time.Duration) (rest func(), err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, errs.New(errs.Internal, "script.start", "start script %s: %w", cmd.Path, err)
	}
	cmd.Stderr = w
	if both {
		cmd.Stdout = w
	}
	var reads sync.WaitGroup
	reads.Go(func() { _, _ = io.Copy(to, r) })
	return sync.OnceFunc(func() {
		_ = w.Close()
		late := time.AfterFunc(grace, func() { _ = r.Close() })
		defer late.Stop()
		reads.Wait()
		_ = r.Close()
	}), nil
}
