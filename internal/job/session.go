package job

// sessionOrder is which task status a session shows: the first of these that any of
// its tasks has. Interrupted passes at once, so the session shows where it goes.
var sessionOrder = []struct{ task, session Status }{
	{Running, Running},
	{RunningUnverified, RunningUnverified},
	{InterruptPending, InterruptPending},
	{SuspendPending, SuspendPending},
	{KillPending, KillPending},
	{Cleanup, Cleanup},
	{Interrupted, Waiting},
	{Waiting, Waiting},
	{Pending, Pending},
	{Queued, Queued},
	{Suspended, Suspended},
}

// SessionStatus derives the status of a session from those of its tasks. A session
// without a task had nothing to do and was refused.
func SessionStatus(tasks []Status) Status {
	if len(tasks) == 0 {
		return FailedToStart
	}
	has := make(map[Status]bool, len(tasks))
	for _, s := range tasks {
		has[s] = true
	}
	for _, o := range sessionOrder {
		if has[o.task] {
			return o.session
		}
	}
	return finalStatus(has)
}

// finalStatus sums up tasks that are all over. What all of them are, the session is.
func finalStatus(has map[Status]bool) Status {
	left, clean := false, true
	for s := range has {
		if len(has) == 1 {
			return s
		}
		left = left || s.LeftResult()
		clean = clean && (s == Completed || s == CompletedWithWarnings)
	}
	switch {
	case !left:
		return Failed
	case clean:
		return CompletedWithWarnings
	}
	return CompletedWithErrors
}

// Ended is the final status of a task that did its work: errors weigh more than
// warnings.
func Ended(errors, warnings int64) Status {
	switch {
	case errors > 0:
		return CompletedWithErrors
	case warnings > 0:
		return CompletedWithWarnings
	}
	return Completed
}
