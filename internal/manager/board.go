package manager

import (
	"slices"

	"keepward/internal/job"
)

// board knows which tasks live and which of them must not run beside each other: two
// backups of the same computer by the same job; an index reconstruction and any write to its
// repository; two retentions or two sweeps of one repository, and a sweep while a retention has
// yet to say what goes. Of two that conflict the one of the older session goes first, so no two
// wait for each other; but a backup that only waits for something that is switched off keeps no
// reconstruction waiting, since that may take for ever. Should it wake up meanwhile, the broker
// lets only one of the two have the repository. It is pure and not safe for concurrent use.
type board struct {
	backups  map[backupKey][]entry // in the order of their sessions
	writes   map[string][]entry    // by repository: what writes to it
	rebuilds map[string][]entry    // by repository: what wants it alone
	ages     map[string][]entry    // by repository: retentions
	sweeps   map[string][]entry    // by repository
}

type backupKey struct{ job, computer string }

type entry struct {
	session int64
	task    string
	backup  backupKey // zero: no backup
	away    bool      // see task.away
}

func newBoard() *board {
	return &board{
		backups: map[backupKey][]entry{}, writes: map[string][]entry{}, rebuilds: map[string][]entry{},
		ages: map[string][]entry{}, sweeps: map[string][]entry{},
	}
}

func (b *board) add(t *task) {
	e := entry{session: t.row.Session, task: t.row.ID}
	switch t.typ {
	case job.Backup:
		k := backupKey{t.job, t.row.Computer}
		e.backup, e.away = k, t.away()
		b.backups[k] = insert(b.backups[k], e)
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
	case job.Backup:
		if s := before(b.backups[backupKey{t.job, t.row.Computer}], t.row.Session); s != 0 {
			return s
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

// note follows a backup that begins or ceases to be away, and answers the sessions that it may
// have held up.
func (b *board) note(t *task) []int64 {
	if t.typ != job.Backup {
		return nil
	}
	away := t.away()
	set := func(list []entry) bool {
		i := slices.IndexFunc(list, func(e entry) bool { return e.task == t.row.ID })
		if i < 0 || list[i].away == away {
			return false
		}
		list[i].away = away
		return true
	}
	set(b.backups[backupKey{t.job, t.row.Computer}])
	if set(b.writes[t.row.Repository]) && away {
		return sessionsOf(nil, b.rebuilds[t.row.Repository])
	}
	return nil
}

// writerBefore is the newest older session that writes or soon will; 0: there is none. A backup
// behind one that is away is as good as away.
func (b *board) writerBefore(t *task) int64 {
	for _, e := range slices.Backward(b.writes[t.row.Repository]) {
		behind := func(other entry) bool { return other.away && other.session < e.session }
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
		m[repository] = without(m[repository], t.row.ID)
		if len(m[repository]) == 0 {
			delete(m, repository)
		}
	}
	switch t.typ {
	case job.Backup:
		k := backupKey{t.job, t.row.Computer}
		b.backups[k] = without(b.backups[k], t.row.ID)
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

func without(list []entry, task string) []entry {
	return slices.DeleteFunc(list, func(e entry) bool { return e.task == task })
}

func sessionsOf(held []int64, list []entry) []int64 {
	for _, e := range list {
		held = append(held, e.session)
	}
	return held
}
