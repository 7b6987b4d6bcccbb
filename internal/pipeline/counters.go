package pipeline

import (
	"sync/atomic"

	keepwardv1 "keepward/api/keepward/v1"
)

// Counters are what a backup has done so far; the names are those of the schema. They may be
// read while it runs.
type Counters struct {
	totalFiles, totalBytes     atomic.Int64
	doneFiles, doneBytes       atomic.Int64
	doneDirs                   atomic.Int64 // of doneFiles
	readFiles, readBytes       atomic.Int64
	reusedFiles, reusedBytes   atomic.Int64
	newFiles, changedFiles     atomic.Int64
	deletedFiles               atomic.Int64
	sentBytes                  atomic.Int64
	chunks, duplicates         atomic.Int64
	duplicateBytes, keptBytes  atomic.Int64
	errors, warnings, excluded atomic.Int64
	missed                     atomic.Int64 // of changes, by what Options.Check says
	// resentBytes counts all attempts of the task; of rereadBefore those before this one, whose
	// last read unread bytes that no checkpoint kept.
	resentBytes          atomic.Int64
	rereadBefore, unread atomic.Int64
	// What held the backup up, in nanoseconds: see gauge.
	limitSource, limitCPU, limitTarget, limitSend atomic.Int64

	current atomic.Pointer[string]
}

// Proto is the counters as they stand.
func (c *Counters) Proto() *keepwardv1.Counters {
	return &keepwardv1.Counters{
		TotalFiles: c.totalFiles.Load(), TotalBytes: c.totalBytes.Load(),
		DoneFiles: c.doneFiles.Load(), DoneBytes: c.doneBytes.Load(), DoneDirs: c.doneDirs.Load(),
		ReadFiles: c.readFiles.Load(), ReadBytes: c.readBytes.Load(),
		ReusedFiles: c.reusedFiles.Load(), ReusedBytes: c.reusedBytes.Load(),
		NewFiles: c.newFiles.Load(), ChangedFiles: c.changedFiles.Load(), DeletedFiles: c.deletedFiles.Load(),
		SentBytes: c.sentBytes.Load(), ResentBytes: c.resentBytes.Load(), RereadBytes: c.reread(),
		Chunks: c.chunks.Load(), DuplicateChunks: c.duplicates.Load(), DuplicateBytes: c.duplicateBytes.Load(), KeptBytes: c.keptBytes.Load(),
		LimitSourceMillis: millis(&c.limitSource), LimitCpuMillis: millis(&c.limitCPU),
		LimitTargetMillis: millis(&c.limitTarget), LimitSendMillis: millis(&c.limitSend),
		Errors: c.errors.Load(), Warnings: c.warnings.Load(), ExcludedFiles: c.excluded.Load(),
		MissedChanges: c.missed.Load(),
	}
}

// again forgets what a try counted that is begun anew, but not what it did.
func (c *Counters) again() {
	if c == nil {
		return
	}
	for _, n := range []*atomic.Int64{
		&c.doneFiles, &c.doneBytes, &c.doneDirs, &c.reusedFiles, &c.reusedBytes, &c.newFiles, &c.changedFiles, &c.deletedFiles,
		&c.errors, &c.warnings, &c.excluded,
	} {
		n.Store(0)
	}
}

// reread are the bytes that were read more than once: what an attempt reads first is what the
// one before had read in vain.
func (c *Counters) reread() int64 {
	return c.rereadBefore.Load() + min(c.readBytes.Load(), c.unread.Load())
}

func millis(nanos *atomic.Int64) int64 { return nanos.Load() / 1e6 }

// Current is the path in work, raw; empty before the first.
func (c *Counters) Current() string {
	if p := c.current.Load(); p != nil {
		return *p
	}
	return ""
}

// Warn counts a warning that is about no file.
func (c *Counters) Warn() { c.warnings.Add(1) }
