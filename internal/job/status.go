package job

// Status is where a task or a session stands in its life. The texts are shown to
// people, stored in the catalog and sent over the wire: never rename one.
type Status string

// The statuses of a task. A session has the same ones, derived from its tasks.
const (
	Queued                Status = "Queued"
	Waiting               Status = "Waiting"
	Pending               Status = "Pending"
	Running               Status = "Running"
	RunningUnverified     Status = "Running (cannot be verified)"
	InterruptPending      Status = "Interrupt Pending"
	Interrupted           Status = "Interrupted"
	SuspendPending        Status = "Suspend Pending"
	Suspended             Status = "Suspended"
	KillPending           Status = "Kill Pending"
	Cleanup               Status = "Cleanup"
	Completed             Status = "Completed"
	CompletedWithWarnings Status = "Completed w/ warnings"
	CompletedWithErrors   Status = "Completed w/ errors"
	Committed             Status = "Committed"
	Killed                Status = "Killed"
	Failed                Status = "Failed"
	FailedToStart         Status = "Failed to start"
)

// None is the status before the first one: the "from" of the first move.
const None Status = ""

// Class groups statuses by what the job manager owes them.
type Class string

// The classes.
const (
	Parked  Class = "parked"  // waits; leaves when its cause clears
	Active  Class = "active"  // a phase executes
	Leaving Class = "leaving" // asked to stop; has a time limit
	Final   Class = "final"   // never left
)

// StatusRow is what there is to know of one status.
type StatusRow struct {
	Status Status
	Class  Class
	// Holds says, for people, whether a task in this status has its resources.
	Holds string
	// Keeps is the same for the broker: whether a reservation may exist.
	Keeps   bool
	Meaning string
}

// Statuses has one row for every status, in the order of a life.
var Statuses = []StatusRow{
	{Queued, Parked, "no", false, "must not start yet: conflicting session, activity disabled, outside its window, throttle of the client or server reached, start time in the future. Leaves by itself when the cause clears"},
	{Waiting, Parked, "no; the first set while it waits for a second", true, "wants resources; retried on every release that could matter"},
	{Pending, Parked, "no; the first set between two tries for a second", true, "a phase failed and will be tried again after the restart interval, or its medium is held by another job"},
	{Running, Active, "yes; a polling database restore: no", true, "a phase is executing"},
	{RunningUnverified, Active, "yes", true, "the holder missed its heartbeat; back to Running when it answers, else the phase fails"},
	{InterruptPending, Leaving, "until it has let go", true, "asked to stop for a job of higher priority"},
	{Interrupted, Parked, "no", false, "passes at once to Waiting"},
	{SuspendPending, Leaving, "until it has let go", true, "a user asked for a pause"},
	{Suspended, Parked, "no", false, "until a user resumes it; a job may also be started suspended"},
	{KillPending, Leaving, "until it has let go", true, "a user, or a limit, asked it to end"},
	{Cleanup, Leaving, "being released", true, "a process died; what it left is being cleared before the phase is decided"},
	{Completed, Final, "no", false, "all that was asked for is done"},
	{CompletedWithWarnings, Final, "no", false, "all is protected, something is worth reading"},
	{CompletedWithErrors, Final, "no", false, "some objects failed; the rest is a valid restore point"},
	{Committed, Final, "no", false, "ended early by kill with commit; what was written by then is a valid, partial restore point"},
	{Killed, Final, "no", false, "ended by a user or a limit; nothing is kept"},
	{Failed, Final, "no", false, "ended by an error, or its restarts are used up; nothing is kept"},
	{FailedToStart, Final, "no", false, "refused before its first phase"},
}

// statusRows finds a row by its status.
var statusRows = func() map[Status]StatusRow {
	m := make(map[Status]StatusRow, len(Statuses))
	for _, r := range Statuses {
		m[r.Status] = r
	}
	return m
}()

// Known says whether s is a row of Statuses.
func (s Status) Known() bool { _, ok := statusRows[s]; return ok }

// Class is the class of s, empty when s is not a known status.
func (s Status) Class() Class { return statusRows[s].Class }

// Final says whether a task in s is over for ever.
func (s Status) Final() bool { return s.Class() == Final }

// MayHold says whether a task in s may have a reservation.
func (s Status) MayHold() bool { return statusRows[s].Keeps }

// LeftResult says whether a task that ended in s left a restore point or another
// result that can be used.
func (s Status) LeftResult() bool {
	switch s {
	case Completed, CompletedWithWarnings, CompletedWithErrors, Committed:
		return true
	}
	return false
}

// Result is the short vocabulary beside the status.
type Result string

// The results.
const (
	ResultNone    Result = "None"
	ResultSuccess Result = "Success"
	ResultWarning Result = "Warning"
	ResultFailed  Result = "Failed"
)

// Result maps s to the short vocabulary; a task that is not over has none yet.
func (s Status) Result() Result {
	switch s {
	case Completed:
		return ResultSuccess
	case CompletedWithWarnings, CompletedWithErrors, Committed:
		return ResultWarning
	case Killed, Failed, FailedToStart:
		return ResultFailed
	}
	return ResultNone
}
