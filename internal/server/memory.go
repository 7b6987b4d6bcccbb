package server

import (
	"math"
	"os"
	"runtime/debug"

	"keepward/internal/manager"
)

// LimitMemory sets the soft limit of a process that is a server and nothing else, unless somebody
// has set one.
func LimitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" && debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(manager.MemoryLimit)
	}
}
