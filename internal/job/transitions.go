package job

// Transition is one allowed move of a task, and what causes it.
type Transition struct {
	From, To Status
	Cause    string
}

// Transitions is the whole life of a task. What is not here must not happen.
// A phase that follows a phase within Running is no move.
var Transitions = []Transition{
	{None, Queued, "submitted"},
	{None, Suspended, "submitted, to be started by a user"},
	{None, FailedToStart, "refused at submission"},

	{Queued, Waiting, "nothing holds it back any longer"},
	{Queued, FailedToStart, "refused at set-up"},
	{Queued, SuspendPending, "a user suspends it"},
	{Queued, KillPending, "a user or a limit ends it"},
	{Queued, Completed, "its former attempt is found committed"},
	{Queued, CompletedWithWarnings, "its former attempt is found committed"},
	{Queued, CompletedWithErrors, "its former attempt is found committed"},

	{Waiting, Running, "all resources reserved, or none needed"},
	{Waiting, Queued, "late set-up finds a conflict, window, activity or throttle"},
	{Waiting, Pending, "what it lacks is tried again later"},
	{Waiting, Failed, "what it lacks is given up"},
	{Waiting, InterruptPending, "preempted while it holds its first set"},
	{Waiting, SuspendPending, "a user suspends it"},
	{Waiting, KillPending, "a user or a limit ends it"},
	{Waiting, Completed, "its former attempt is found committed"},
	{Waiting, CompletedWithWarnings, "its former attempt is found committed"},
	{Waiting, CompletedWithErrors, "its former attempt is found committed"},

	{Pending, Waiting, "the restart interval is over, or something it lacked was released"},
	{Pending, Failed, "no attempts left, or what it needs is gone"},
	{Pending, InterruptPending, "preempted while it holds its first set"},
	{Pending, SuspendPending, "a user suspends it"},
	{Pending, KillPending, "a user or a limit ends it"},
	{Pending, Completed, "its former attempt is found committed"},
	{Pending, CompletedWithWarnings, "its former attempt is found committed"},
	{Pending, CompletedWithErrors, "its former attempt is found committed"},

	{Running, Completed, "the last phase is done"},
	{Running, CompletedWithWarnings, "the last phase is done"},
	{Running, CompletedWithErrors, "the last phase is done"},
	{Running, Waiting, "the next phase wants resources, or a media refresh has let go"},
	{Running, Pending, "the phase failed, restarts are left"},
	{Running, Failed, "the phase failed for good"},
	{Running, RunningUnverified, "the holder is silent"},
	{Running, InterruptPending, "preempted"},
	{Running, SuspendPending, "a user suspends it"},
	{Running, KillPending, "a user or a limit ends it"},
	{Running, Cleanup, "a process of it died"},

	{RunningUnverified, Running, "the holder answers"},
	{RunningUnverified, Cleanup, "the holder does not answer in time, or died"},
	{RunningUnverified, KillPending, "a user or a limit ends it"},
	{RunningUnverified, Completed, "its end is reported by the other side"},
	{RunningUnverified, CompletedWithWarnings, "its end is reported by the other side"},
	{RunningUnverified, CompletedWithErrors, "its end is reported by the other side"},
	{RunningUnverified, Failed, "its failure is reported by the other side"},

	{InterruptPending, Interrupted, "it has let go, or was cut off"},
	{InterruptPending, KillPending, "a user or a limit ends it"},
	{InterruptPending, Completed, "it was done before it let go"},
	{InterruptPending, CompletedWithWarnings, "it was done before it let go"},
	{InterruptPending, CompletedWithErrors, "it was done before it let go"},
	{InterruptPending, Failed, "it failed for good before it let go"},

	{Interrupted, Waiting, "at once"},
	{Interrupted, SuspendPending, "a user suspends it"},
	{Interrupted, KillPending, "a user or a limit ends it"},

	{SuspendPending, Suspended, "it has let go, or was cut off"},
	{SuspendPending, KillPending, "a user or a limit ends it"},
	{SuspendPending, Completed, "it was done before it let go"},
	{SuspendPending, CompletedWithWarnings, "it was done before it let go"},
	{SuspendPending, CompletedWithErrors, "it was done before it let go"},
	{SuspendPending, Failed, "it failed for good before it let go"},

	{Suspended, Queued, "a user resumes it"},
	{Suspended, Waiting, "a user resumes it"},
	{Suspended, Pending, "a user resumes it"},
	{Suspended, KillPending, "a user or a limit ends it"},
	{Suspended, Completed, "its former attempt is found committed"},
	{Suspended, CompletedWithWarnings, "its former attempt is found committed"},
	{Suspended, CompletedWithErrors, "its former attempt is found committed"},

	{KillPending, Killed, "it has let go, or was cut off"},
	{KillPending, Committed, "it has let go; what was written is kept"},
	{KillPending, Completed, "it was done before it let go"},
	{KillPending, CompletedWithWarnings, "it was done before it let go"},
	{KillPending, CompletedWithErrors, "it was done before it let go"},

	{Cleanup, Pending, "cleared; restarts are left"},
	{Cleanup, Failed, "cleared; the phase failed for good"},
	{Cleanup, KillPending, "a user or a limit ends it"},
	{Cleanup, Completed, "its attempt is found committed"},
	{Cleanup, CompletedWithWarnings, "its attempt is found committed"},
	{Cleanup, CompletedWithErrors, "its attempt is found committed"},
}

type move struct{ from, to Status }

// moves finds a cause by the move.
var moves = func() map[move]string {
	m := make(map[move]string, len(Transitions))
	for _, t := range Transitions {
		m[move{t.From, t.To}] = t.Cause
	}
	return m
}()

// CanMove says whether a task may go from one status to another. A status does not
// move to itself.
func CanMove(from, to Status) bool { _, ok := moves[move{from, to}]; return ok }

// Cause is the table's word for why a task moves, empty when it must not.
func Cause(from, to Status) string { return moves[move{from, to}] }
