package manager

import (
	"cmp"
	"slices"
)

// jobRuns are the sessions of one job that have live tasks, the oldest first. By the policy queue a
// session waits for the one before; but not for tasks that only wait for something that is switched
// off, or a laptop that never comes back would end the backups of all.
type jobRuns struct{ list []jobRun }

type jobRun struct {
	session int64
	tasks   int
	busy    int // tasks that are not away
}

func (r *jobRuns) find(session int64) (int, bool) {
	return slices.BinarySearchFunc(r.list, session, func(a jobRun, b int64) int { return cmp.Compare(a.session, b) })
}

func (r *jobRuns) add(session int64, away bool) {
	i, found := r.find(session)
	if !found {
		r.list = slices.Insert(r.list, i, jobRun{session: session})
	}
	r.list[i].tasks++
	if !away {
		r.list[i].busy++
	}
}

// remove takes out a task, and answers the sessions that may have waited for it.
func (r *jobRuns) remove(session int64, away bool) []int64 {
	i, found := r.find(session)
	if !found {
		return nil
	}
	var freed []int64
	if !away {
		freed = r.less(i)
	}
	if r.list[i].tasks--; r.list[i].tasks == 0 {
		r.list = leaveOut(r.list, i)
	}
	return freed
}

// note follows a task that begins or ceases to be away, and answers the sessions that may have
// waited for it, or wait for it from now on and must say so.
func (r *jobRuns) note(session int64, away bool) []int64 {
	i, found := r.find(session)
	switch {
	case !found:
		return nil
	case away:
		return r.less(i)
	}
	if r.list[i].busy++; r.list[i].busy > 1 {
		return nil
	}
	return r.behind(i)
}

// less is one busy task less.
func (r *jobRuns) less(i int) []int64 {
	if r.list[i].busy--; r.list[i].busy > 0 {
		return nil
	}
	return r.behind(i)
}

// behind are those who wait for a session: up to the first that is busy itself, for the rest wait
// for that.
func (r *jobRuns) behind(i int) []int64 {
	var freed []int64
	for _, run := range r.list[i+1:] {
		freed = append(freed, run.session)
		if run.busy > 0 {
			break
		}
	}
	return freed
}

// before is the newest session before the given one that is busy; 0: there is none.
func (r *jobRuns) before(session int64) int64 {
	if r == nil {
		return 0
	}
	i, _ := r.find(session)
	for _, run := range slices.Backward(r.list[:i]) {
		if run.busy > 0 {
			return run.session
		}
	}
	return 0
}
