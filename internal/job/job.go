// Package job holds the words and rules by which Keepward runs jobs, as tables:
// statuses and the moves between them, job types with their phases and flags,
// reasons for delay, priorities, limits.
//
// It is for deciding and for showing: the job manager, the broker, the command line
// and the documentation read the same rows, and a test prints docs/reference/jobs.md
// from them. It is not for doing: it has no state, no clock and no I/O, and imports
// nothing of ours.
//
// The tables are never changed after start, so everything here may be used from any
// goroutine; who wants to alter a row copies it.
package job
