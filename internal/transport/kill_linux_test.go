package transport_test

import (
	"path/filepath"
	"syscall"

	"keepward/internal/mover"
)

// kill ends an attempt's mover as a crash would.
func (h *host) kill(attempt string) {
	state, err := mover.ReadState(filepath.Join(h.data, "movers", attempt))
	if err != nil {
		return
	}
	if boot, started, err := mover.Birth(state.PID); err == nil && boot == state.Boot && started == state.Started {
		_ = syscall.Kill(state.PID, syscall.SIGKILL)
	}
}
