package manager

import (
	"slices"

	"keepward/internal/job"
)

// board knows which tasks live and which of them must not run beside each other: two backups of the
// same computer by the same job; two sessions of one job that queues duplicates; an index
// reconstruction and any write to its repository; two retentions or two sweeps of one repository, and
// a sweep while a retention has yet to say what goes. Of two that conflict the one of the older
// session goes first, so no two wait for each other; but a backup that only waits for something that
// is switched off keeps no reconstruction waiting, and no session of its job, since that may take for
// ever. Should it wake up meanwhile, the broker lets only one of the two have the repository. And a
// backup that a rule of the queue keeps there lets younger ones of the same job pass; it waits for
// that of the same computer when its own time comes. It is pure and not safe for concurrent use.
type board struct {
	backups  map[backupKey][]entry // in the order of their sessions
	jobs     map[string]*jobRuns   // the same backups by their job
	writes   map[string][]entry    // by repository: what writes to it
	rebuilds map[string][]entry    // by repository: what wants it alone
	ages     map[string][]entry    // by repository: retentions
	sweeps   map[string][]entry    // by repository
}

type backupKey struct{ job, computer string }

// keyOf names what only one session does at a time. The server makes one copy of itself at a time,
// whichever job asks for it.
func keyOf(t *task) backupKey {
	if t.typ == job.ServerBackup {
		return backupKey{computer: t.row.Computer}
	}
	return backupKey{t.job, t.row.Computer}
}

type entry struct {
	session int64
	task    string
	backup  backupKey // zero: no backup
	standing
}

// standing is what of a task's state matters to others.
type standing struct {
	away  bool // see task.away
	held  bool // see task.held
	begun bool // see task.begun
}

func standingOf(t *task) standing { return standing{away: t.away(), held: t.held(), begun: t.begun()} }

func newBoard() *board {
	return &board{
		backups: map[backupKey][]entry{}, jobs: map[string]*jobRuns{}, writes: map[string][]entry{}, rebuilds: map[string][]entry{},
		ages: map[string][]entry{}, sweeps: map[string][]entry{},
	}
}

func (b *board) add(t *task) {
	e := entry{session: t.row.Session, task: t.row.ID}
	switch t.typ {
	case job.Backup, job.ServerBackup:
		k := keyOf(t)
		e.backup, e.standing = k, standingOf(t)
		b.backups[k] = insert(b.backups[k], e)
		if b.jobs[t.job] == nil {
			b.jobs[t.job] = &jobRuns{}
		}
		b.jobs[t.job].add(t.row.Session, e.away)
		b.writes[t.row.Repository] = insert(b.writes[t.row.Repository], e)
	case job.RebuildIndex:
		b.rebuilds[t.row.Repository] = insert(b.rebuilds[t.row.Repository], e)
	case job.Retention:
		b.ages[t.row.Repository] = insert(b.ages[t.row.Repository], e)
	case job.Sweep:
		b.sweeps[t.row.Repository] = insert(b.sweeps[t.row.Repository], e)
		b.writes[t.row.Repository] = insert(b.writes[t.row.Repository], e)
	}
}

// sweepsOf are the sessions that sweep a repository or want to.
func (b *board) sweepsOf(repository string) []int64 { return sessionsOf(nil, b.sweeps[repository]) }

func insert(list []entry, e entry) []entry {
	i, found := slices.BinarySearchFunc(list, e, compareEntries)
	if found {
		return list
	}
	return slices.Insert(list, i, e)
}

func compareEntries(a, b entry) int {
	switch {
	case a.session != b.session && a.session < b.session:
		return -1
	case a.session != b.session:
		return 1
	case a.task < b.task:
		return -1
	case a.task > b.task:
		return 1
	}
	return 0
}

// conflict is the session that must end before the task may start; 0: none. A task of the
// same session is never in the way.
func (b *board) conflict(t *task) int64 {
	switch t.typ {
	case job.Backup, job.ServerBackup:
		if s := b.rival(t); s != 0 {
			return s
		}
		if t.queues {
			if s := b.jobs[t.job].before(t.row.Session); s != 0 {
				return s
			}
		}
		return before(b.rebuilds[t.row.Repository], t.row.Session)
	case job.RebuildIndex:
		if s := b.writerBefore(t); s != 0 {
			return s
		}
		return before(b.rebuilds[t.row.Repository], t.row.Session)
	case job.Retention:
		return before(b.ages[t.row.Repository], t.row.Session)
	case job.Sweep:
		return max(before(b.sweeps[t.row.Repository], t.row.Session), before(b.ages[t.row.Repository], t.row.Session),
			before(b.rebuilds[t.row.Repository], t.row.Session))
	}
	return 0
}

// rival is another session's backup of the same computer by the same job that must end first: an
// older one, unless it is kept in the queue, or one that has left the queue; 0: there is none.
func (b *board) rival(t *task) int64 {
	for _, e := range slices.Backward(b.backups[keyOf(t)]) {
		if e.session < t.row.Session && !e.held || e.session > t.row.Session && e.begun {
			return e.session
		}
	}
	return 0
}

// begin notes that a task leaves the queue, before that is written: two must not leave it together.
func (b *board) begin(t *task) {
	if t.makesPoint() {
		b.stand(t, standing{begun: true})
	}
}

// stand changes how a backup stands, and answers how it stood, and the sessions of its job that may
// have waited for it.
func (b *board) stand(t *task, now standing) (was standing, freed []int64) {
	was = now // of one that is not there nothing changes
	for _, list := range [][]entry{b.writes[t.row.Repository], b.backups[keyOf(t)]} {
		if i, found := indexOf(list, t); found {
			was, list[i].standing = list[i].standing, now
		}
	}
	if runs := b.jobs[t.job]; runs != nil && now.away != was.away {
		freed = runs.note(t.row.Session, now.away)
	}
	return was, freed
}

// note follows a backup that begins or ceases to be away, or to be kept in the queue, and answers
// the sessions that it may have held up.
func (b *board) note(t *task) []int64 {
	if !t.makesPoint() {
		return nil
	}
	now := standingOf(t)
	was, held := b.stand(t, now)
	if now.held != was.held || was.begun && !now.begun { // held no more: the younger wait for it, and must say so
		held = sessionsOf(held, b.backups[keyOf(t)])
	}
	if now.away && !was.away {
		held = sessionsOf(held, b.rebuilds[t.row.Repository])
	}
	return held
}

// writerBefore is the newest older session that writes or soon will; 0: there is none. A backup
// behind one that is away is as good as away.
func (b *board) writerBefore(t *task) int64 {
	for _, e := range slices.Backward(b.writes[t.row.Repository]) {
		behind := func(other entry) bool { return other.away && !other.held && other.session < e.session }
		if e.session < t.row.Session && !e.away && !slices.ContainsFunc(b.backups[e.backup], behind) {
			return e.session
		}
	}
	return 0
}

// before is the newest session in the list that is older than the given one.
func before(list []entry, session int64) int64 {
	for _, e := range slices.Backward(list) {
		if e.session < session {
			return e.session
		}
	}
	return 0
}

// remove takes out a task that is over, and answers the sessions that it may have held up.
func (b *board) remove(t *task) []int64 {
	var held []int64
	drop := func(m map[string][]entry, repository string) {
		m[repository] = without(m[repository], t)
		if len(m[repository]) == 0 {
			delete(m, repository)
		}
	}
	switch t.typ {
	case job.Backup, job.ServerBackup:
		k := keyOf(t)
		held = b.leaveJob(t, b.backups[k])
		b.backups[k] = without(b.backups[k], t)
		held = sessionsOf(held, b.backups[k])
		if len(b.backups[k]) == 0 {
			delete(b.backups, k)
		}
		drop(b.writes, t.row.Repository)
		held = sessionsOf(held, b.rebuilds[t.row.Repository])
	case job.RebuildIndex:
		drop(b.rebuilds, t.row.Repository)
		held = sessionsOf(sessionsOf(held, b.writes[t.row.Repository]), b.rebuilds[t.row.Repository])
	case job.Retention:
		drop(b.ages, t.row.Repository)
		held = sessionsOf(sessionsOf(held, b.ages[t.row.Repository]), b.sweeps[t.row.Repository])
	case job.Sweep:
		drop(b.sweeps, t.row.Repository)
		drop(b.writes, t.row.Repository)
		held = sessionsOf(sessionsOf(held, b.sweeps[t.row.Repository]), b.rebuilds[t.row.Repository])
	}
	slices.Sort(held)
	return slices.Compact(held)
}

// leaveJob takes a task out of the runs of its job.
func (b *board) leaveJob(t *task, list []entry) []int64 {
	i, found := indexOf(list, t)
	runs := b.jobs[t.job]
	if !found || runs == nil {
		return nil
	}
	held := runs.remove(t.row.Session, list[i].away)
	if len(runs.list) == 0 {
		delete(b.jobs, t.job)
	}
	return held
}

func without(list []entry, t *task) []entry {
	if i, found := indexOf(list, t); found {
		return leaveOut(list, i)
	}
	return list
}

// leaveOut moves those on the shorter side: who ends is older than the thousands that wait.
func leaveOut[T any](list []T, i int) []T {
	if i < len(list)/2 {
		copy(list[1:], list[:i])
		clear(list[:1])
		return list[1:]
	}
	return slices.Delete(list, i, i+1)
}

// indexOf is where a task stands in a list, which may be long.
func indexOf(list []entry, t *task) (int, bool) {
	return slices.BinarySearchFunc(list, entry{session: t.row.Session, task: t.row.ID}, compareEntries)
}

func sessionsOf(held []int64, list []entry) []int64 {
	for _, e := range list {
		held = append(held, e.session)
	}
	return held
}
