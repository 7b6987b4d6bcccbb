package agent

import (
	"sync/atomic"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/restore"
)

// restoreCounters are a restore's counters in the words of the schema.
func restoreCounters(c *restore.Counters) *keepwardv1.Counters {
	s := c.Snapshot()
	return &keepwardv1.Counters{
		TotalFiles: s.TotalFiles, TotalBytes: s.TotalBytes, DoneFiles: s.DoneFiles, DoneBytes: s.DoneBytes,
		NewFiles: s.NewFiles, ChangedFiles: s.ChangedFiles, DeletedFiles: s.DeletedFiles,
		SkippedFiles: s.SkippedFiles, SkippedBytes: s.SkippedBytes, DoneDirs: s.DoneDirs, SkippedDirs: s.SkippedDirs,
		SentBytes: s.FetchedBytes, Chunks: s.Chunks, Errors: s.Errors, Warnings: s.Warnings,
		VerifiedFiles: s.VerifiedFiles, VerifiedBytes: s.VerifiedBytes, MismatchedFiles: s.Mismatched,
		FetchChunks: s.PlanChunks, FetchBytes: s.PlanBytes, FetchPacks: s.PlanPacks,
	}
}

// current is the path in work, set by one goroutine and read by another.
type current struct{ p atomic.Pointer[string] }

func (c *current) set(path []byte) {
	s := string(path)
	c.p.Store(&s)
}

func (c *current) get() string {
	if s := c.p.Load(); s != nil {
		return *s
	}
	return ""
}
