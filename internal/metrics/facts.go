package metrics

import (
	"context"
	"time"

	"keepward/internal/job"
)

// Source is what a Collector asks of the server.
type Source interface {
	// Ready is nil when the server does its work, else why it does not.
	Ready(ctx context.Context) error
	// Facts are those of this moment.
	Facts(ctx context.Context) (*Facts, error)
	// Ended are the sessions that ended at or after a moment.
	Ended(ctx context.Context, since time.Time) ([]Ended, error)
	// EndedOf are those of the newest sessions of a job that are over, the newest first.
	EndedOf(ctx context.Context, job string) ([]Ended, error)
	// Volume is what a session has moved.
	Volume(ctx context.Context, session int64) (Volume, error)
}

// Facts is what is true of a server at one moment.
type Facts struct {
	Certificates []Certificate
	Conditions   []Condition
	Sessions     []Sessions
	Jobs         []Job
	Computers    []Computer
	Repositories []Repository

	ComputersOnline, Transports, TransportsOnline int
}

// Certificate is one of the server's.
type Certificate struct {
	Name    string
	Expires time.Time
}

// Condition is a lasting problem.
type Condition struct{ Code, Severity string }

// Sessions are sessions that are not over and alike.
type Sessions struct {
	Type   job.Type
	Status job.Status
	Reason string // code; empty: none
	Count  int64
	Oldest time.Time
}

// Job is a saved job.
type Job struct {
	Name    string
	Created time.Time
	// Spacing is the longest pause of its calendar; 0: none starts it.
	Spacing time.Duration
}

// Computer is a computer, and when it was protected last; zero: never.
type Computer struct {
	Name string
	Last time.Time
}

// Repository is a repository as it was counted last.
type Repository struct {
	Name                 string
	Up                   bool
	SizeBytes, FreeBytes int64
	Looked               time.Time
	Points               int64
	Streams, StreamsUsed int
	Proof                *Proof // nil: never counted
}

// Proof is how well the content of a repository is proved.
type Proof struct {
	Bytes, ProvedBytes, DueBytes, DamagedPacks int64
	Oldest                                     time.Time
}

// Ended is a session that is over.
type Ended struct {
	ID             int64
	Job            string
	Type           job.Type
	Status         job.Status
	Started, Ended time.Time // started: zero if it never was
}

// Volume is what a session has moved, in bytes.
type Volume struct{ Processed, Read, Sent, Stored int64 }
