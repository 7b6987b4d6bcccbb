package restore

import "sync/atomic"

// Counters of one restore; all grow only. They may be read at any time.
type Counters struct {
	TotalFiles   atomic.Int64 // entries planned so far
	TotalBytes   atomic.Int64 // and the bytes of their regular files
	DoneFiles    atomic.Int64 // entries dealt with: written, skipped or failed
	DoneBytes    atomic.Int64
	DoneDirs     atomic.Int64 // of DoneFiles
	SkippedFiles atomic.Int64 // already right on the target, or left alone by policy
	SkippedBytes atomic.Int64
	SkippedDirs  atomic.Int64 // of SkippedFiles
	NewFiles     atomic.Int64 // entries that were not on the target
	ChangedFiles atomic.Int64 // entries replaced, or whose metadata was put right
	DeletedFiles atomic.Int64 // removed by DeleteExtra
	FetchedBytes atomic.Int64 // sealed bytes received
	Chunks       atomic.Int64 // records received
	// Read back and found right, and found to differ.
	VerifiedFiles atomic.Int64
	VerifiedBytes atomic.Int64
	Mismatched    atomic.Int64
	// Estimate: what would be fetched, and of how many packs.
	PlanChunks atomic.Int64
	PlanBytes  atomic.Int64
	PlanPacks  atomic.Int64
	Errors     atomic.Int64
	Warnings   atomic.Int64
	// PlanDone is 1 when the totals are final.
	PlanDone atomic.Int64
}

// Snapshot is the value of Counters at one time.
type Snapshot struct {
	TotalFiles, TotalBytes               int64
	DoneFiles, DoneBytes                 int64
	SkippedFiles, SkippedBytes           int64
	DoneDirs, SkippedDirs                int64
	NewFiles, ChangedFiles, DeletedFiles int64
	FetchedBytes, Chunks                 int64
	VerifiedFiles, VerifiedBytes         int64
	Mismatched                           int64
	PlanChunks, PlanBytes, PlanPacks     int64
	Errors, Warnings                     int64
	PlanDone                             bool
}

// Snapshot reads all counters.
func (c *Counters) Snapshot() Snapshot {
	return Snapshot{
		TotalFiles: c.TotalFiles.Load(), TotalBytes: c.TotalBytes.Load(),
		DoneFiles: c.DoneFiles.Load(), DoneBytes: c.DoneBytes.Load(),
		SkippedFiles: c.SkippedFiles.Load(), SkippedBytes: c.SkippedBytes.Load(),
		DoneDirs: c.DoneDirs.Load(), SkippedDirs: c.SkippedDirs.Load(),
		NewFiles: c.NewFiles.Load(), ChangedFiles: c.ChangedFiles.Load(), DeletedFiles: c.DeletedFiles.Load(),
		FetchedBytes: c.FetchedBytes.Load(), Chunks: c.Chunks.Load(),
		VerifiedFiles: c.VerifiedFiles.Load(), VerifiedBytes: c.VerifiedBytes.Load(), Mismatched: c.Mismatched.Load(),
		PlanChunks: c.PlanChunks.Load(), PlanBytes: c.PlanBytes.Load(), PlanPacks: c.PlanPacks.Load(),
		Errors: c.Errors.Load(), Warnings: c.Warnings.Load(),
		PlanDone: c.PlanDone.Load() == 1,
	}
}
