// Package app is the contract between the agent and applications: programs such as databases whose
// files make no state by themselves when they are read. A package below it for each kind keeps it,
// and apptest has the suite that all of them pass.
//
// It knows neither jobs nor repositories nor who orders a backup. An Application is used by one
// goroutine at a time; Close may be called from another one while a call is under way, which then
// ends.
package app

import (
	"context"
	"time"

	"keepward/internal/errs"
)

// Secret is a password. It does not print itself; Reveal is for who sends it to the application.
type Secret struct{ text string }

// NewSecret keeps a text as a secret.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal is the secret itself. It goes to the application and nowhere else: into no argument, no
// environment, no log, no file that stays.
func (s Secret) Reveal() string { return s.text }

// Empty tells whether there is none.
func (s Secret) Empty() bool { return s.text == "" }

func (Secret) String() string   { return "(secret)" }
func (Secret) GoString() string { return "(secret)" }

// MarshalText refuses: a secret leaves memory only through code that means it.
func (Secret) MarshalText() ([]byte, error) {
	return nil, errs.New(errs.Internal, "", "a secret was about to be written as text")
}

// Instance is one application of this computer, as a job names it.
type Instance struct {
	// Name is that of its folder in points.
	Name string
	// Address is where it listens; empty: the kind's own place.
	Address string
	User    string
	Secret  Secret
	// Settings are what was set of those in internal/job.Applications.
	Settings map[string]string
	// Job is the same at every backup of one job, and another one for others: what is kept at the
	// application from one backup to the next goes by it.
	Job string
	// Event, where it is set, tells the session's log something. level is info, warning or error;
	// a warning makes the backup one with warnings.
	Event func(level, code, text string)
}

// Kind is one kind of application.
type Kind interface {
	// Open connects to an instance and finds out what is to be read. It MUST hold nothing that
	// keeps the application from its work, and MUST fail within the time of ctx when the address
	// does not answer, with an error that says what is wrong: code application.unreachable,
	// application.denied (user or password), application.unfit (it cannot be backed up as it is).
	Open(ctx context.Context, in Instance) (Application, error)
	// Reaches tells whether what was laid down suffices to bring back the state of r.ToTime.
	// It is asked before the first later point is laid down and after each.
	Reaches(ctx context.Context, r *Recovery) (bool, error)
	// Recover brings the instance back from what was laid down, which may have been made by somebody who
	// is not to be trusted: names and links in it may lead elsewhere. It MUST touch nothing but r.Dir and,
	// with r.Into, the database that it loads there; it MUST leave no process behind, however it ends. It
	// tells by events what it found.
	Recover(ctx context.Context, r *Recovery) error
}

// Application is an instance during one try to back it up. The agent calls, in this order:
//
//	Open · Begin · (Hold · the snapshot is taken · Release), once for each try · End · Committed · Close
//
// Where all that is read lies in snapshots, End comes right after Release; else it comes when all of
// Plan has been read from the live files, which may be hours later. Every call may be the last one but
// for Close, which always comes, unless the process is killed.
//
// An application MUST come back to what it was by itself when the agent's process is killed or the
// computer of the agent is lost, at any moment: what is held belongs to a connection and ends with
// it. What Hold holds MUST also end at the latest HoldMost after Hold, by the application's own
// clock, though this process is stopped and its connection stands.
type Application interface {
	// Plan is what is to be read. It does not change.
	Plan() Plan
	// Begin prepares: from here on the files may be read, or a snapshot be taken. It MUST keep
	// nobody from working, and may take long. ctx is over when the attempt is.
	Begin(ctx context.Context) error
	// Hold has the application stand still where its files make no state otherwise. An application
	// that needs no such thing does nothing. It MUST answer before ctx is over, and hold nothing
	// when it fails.
	Hold(ctx context.Context) error
	// Release ends Hold. It MUST be harmless when nothing is held.
	Release(ctx context.Context) error
	// End ends what Begin began: what Plan names was read, or is in a snapshot. It writes what else
	// belongs into the point into the directory more, which is empty and this application's alone, and
	// answers the trees that are to be read beside it, under more. They MUST stay as they are until
	// Close.
	End(ctx context.Context, more string) ([]Tree, error)
	// Committed is called when the restore point stands: what was kept at the application for it may
	// go. Until it is called, the next backup MUST be able to be made as if this one had never been.
	Committed(ctx context.Context) error
	// Close ends everything that is held or open. It may be called at any time and more than once,
	// and MUST return within seconds.
	Close()
}

// Copier is an Application that needs a snapshot, and can do without one by a copy of its own. Copy is
// called in place of reading what Plan names, behind Release, and may take long; it keeps nobody from
// working for longer than HoldMost. It fills dir, which is empty and this application's alone, and
// answers the trees that are read as those of Plan, until Close.
type Copier interface {
	Copy(ctx context.Context, dir string) ([]Tree, error)
}

// HoldMost is how long an application may be held: what the watchdog of scripts allows as well.
const HoldMost = 10 * time.Second

// Plan is what is to be read of an instance.
type Plan struct {
	// Text says what it is, in one line, for the session's log.
	Text string
	// Trees are read between Begin and End, from snapshots where there are any. Their names are
	// below files in the folder of the instance.
	Trees []Tree
	// Holds: Hold holds something. It is called under the watchdog's clock then.
	Holds bool
	// Snapshot: what is read from live files makes no state, so the attempt fails where a tree is
	// not in a snapshot, unless the application is a Copier.
	Snapshot bool
}

// Tree is a directory with all that is in it.
type Tree struct {
	// Name is its path below files or more, with slashes; trees do not lie within each other.
	Name string
	// Path is the directory, absolute, with no symbolic link in it.
	Path string
	// Leave are patterns of what is left out: /name and /dir/* from the tree on, and name for all
	// files of that name, in all trees of the plan; * stands for any text without a slash.
	Leave []string
	// Only, where it is set, are the files in it that are read, and nothing else.
	Only []string
}

// Recovery is an instance that is brought back.
type Recovery struct {
	// Dir holds the folder of the instance as its point has it: files and more. It is on this
	// computer, was empty before, and is the result.
	Dir string
	// Later are directories like Dir, of later points, with more alone, the oldest first. They lie within
	// Dir, and are removed when all is done.
	Later []string
	// ToTime is the time whose state is wanted; zero: that of the point.
	ToTime time.Time
	// Start: the application is started on Dir until it is recovered, looked at, and ended.
	Start bool
	// Into, where it is set, is the address of an instance that runs, into which Database is loaded
	// as As.
	Into         string
	User         string
	Secret       Secret
	Database, As string
	Settings     map[string]string
	// Event tells the session's log something; Phase says what goes on, in one word.
	Event func(level, code, text string)
	Phase func(string)
}
