// Package agent is the role that runs on a protected computer: it takes a task from the
// backup server, drives source, pipeline and restore, and reports.
//
// It decides neither when nor where, and nothing can be started at it but by the server: over
// the link, or by what the server has issued to it beforehand (standing.go). One Agent serves any number of attempts at once; its methods may be called by
// several goroutines.
package agent

import (
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"time"

	"keepward/internal/pipeline"
	"keepward/internal/snapshot"
	"keepward/internal/update"
)

// Config is what an agent is started with.
type Config struct {
	// DataDir holds the agent's certificate and the ends not yet acknowledged.
	DataDir string
	// Server is the host and port of the backup server; empty: the one joined.
	Server string
	// JoinToken is needed at the first start only.
	JoinToken string
	// Listen is host:port where it waits for its server and for movers that dial; empty: it does not.
	Listen string
	// NoDial has it wait for its server, even where it knows an address of it.
	NoDial bool
	// Pair has it wait to be paired anew, although it has an identity.
	Pair bool
	// Waiting is told the code for pairing, while it waits for that.
	Waiting func(code string)
	// Name is the computer's name; empty: that of the certificate, or of the host.
	Name string
	// Version is what the agent calls itself.
	Version string
	Logger  *slog.Logger
	// CheckpointEvery is how much time of a backup an interruption may cost; zero: the default.
	CheckpointEvery time.Duration
	// TendEvery is how often kept snapshots are looked at; zero: the default.
	TendEvery time.Duration
	// Snapshots takes those that backups are read from; nil: with what there is on this system.
	Snapshots *snapshot.Taker
	// TrustHidden has processes that the agent must not look into count as such that write to no
	// file without being seen.
	TrustHidden bool
	// Watchdog are the arguments with which this program calls ServeHold on its standard streams;
	// none: holds are served within this process, and nobody lets go when that is killed.
	Watchdog []string
	// Keeper are the arguments with which this program calls Keep on its standard streams; none:
	// commands are kept within this process, and go on when that is killed.
	Keeper []string
	// HoldLimit is how long an application is held for a snapshot; zero: the default.
	HoldLimit time.Duration
	// Ready, where it is set, is called once the agent has joined and begins to keep its link up.
	Ready func()
	// Linked, where it is set, is called each time the server has answered over a new link.
	Linked func()
	// Updates carries out updates of this program; nil: it is not updated by itself.
	Updates *update.Updater
	// Answered, where it is set, is called when the server has answered. The agent is on trial
	// then: no attempt begins.
	Answered func()
}

// The collector begins to work harder where the heap passes what an agent needs: the window
// of entries, the parent's nodes and what is on its way to the mover, and for each worker its
// compressor and its largest record. The contents of files are not in the heap.
const (
	memoryLimit     = 80 << 20
	memoryPerWorker = 16 << 20
)

// limitMemory sets the soft limit of the process, unless somebody has set one.
func limitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" && debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(int64(memoryLimit + pipeline.DefaultWorkers()*memoryPerWorker))
	}
}
