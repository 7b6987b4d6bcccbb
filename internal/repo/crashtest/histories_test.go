package crashtest

import (
	"context"
	"testing"

	"keepward/internal/repo/point"
	"keepward/internal/storage/vfs/memfs"
)

// history is a small life of a repository.
type history struct {
	name string
	// before is done without crashes.
	before []step
	// acts are tried with a crash at every call.
	acts []step
}

// made is a repository with nothing in it.
var made = []step{create}

var (
	web    = tree{base: 1}
	webTwo = tree{base: 1, extra: 5}
	db     = tree{base: 1, extra: 6} // of another computer, with chunks of web
	other  = tree{base: 2}

	thin    = tree{base: 3, small: 1}
	thinned = tree{base: 4, small: 1, half: true}

	bundled = tree{base: 3, small: 1, bundle: 4}
	sparse  = tree{base: 3, small: 1, bundle: 4, nth: 4, parent: 1} // of whose bundles most members are dead
	sparser = tree{base: 5, small: 1, bundle: 4, nth: 8, parent: 2}
	others  = tree{base: 3, small: 1, bundle: 4, nth: 2, parent: 1} // with members that sparse has not

	punching = upkeep{compact: true, merge: true, punch: true}
)

var histories = []history{
	{"creation", nil, []step{create}},
	{"a first backup", made, []step{backup(1, "web1", web)}},
	{"a partial point", made, []step{begin(1, "web1", web), commit(1, point.Partial)}},
	{"an incremental", with(backup(1, "web1", web)), []step{backup(2, "web1", webTwo)}},
	{"nothing changed", with(backup(1, "web1", web)), []step{backup(2, "web1", web)}},
	{"a second computer with shared chunks", with(backup(1, "web1", web)), []step{backup(2, "db1", db)}},
	{"two computers at once", made, []step{
		begin(1, "web1", web), begin(2, "db1", db), storing(1, 2), storing(2, 3), commit(2, point.Complete), commit(1, point.Complete),
	}},
	{"a checkpoint, then the commit", made, []step{begin(1, "web1", web), checkpoint(1, 1), checkpoint(1, 2), commit(1, point.Complete)}},
	{"a checkpoint, then another attempt goes on", made, []step{
		begin(1, "web1", web), checkpoint(1, 2), abort(1), fence(1), backup(2, "web1", web),
	}},
	{"a checkpoint with files read ahead, beside a sweep", with(backup(1, "web1", web), remove(1)), []step{
		begin(2, "web1", webTwo), aheadOf(2, 4), purge(1), upkeep{}.waits(2), recorded(2, 4), commit(2, point.Complete), upkeep{}.sweeps(),
	}},
	{"a checkpoint with files read ahead is kept by a sweep", with(backup(1, "web1", thin), begin(2, "web1", thinned), aheadOf(2, 4), abort(2), fence(2), remove(1)), []step{
		upkeep{compact: true, merge: true, keep: 2}.sweeps(1), recorded(2, 4), repair, backup(3, "web1", thinned),
	}},
	{"a checkpoint becomes a partial point", made, []step{
		begin(1, "web1", web), checkpointed(1), endEarly(1), fencedOut(1), everything.sweeps(), backup(2, "web1", webTwo),
	}},
	{"an abort", with(backup(1, "web1", web)), []step{begin(2, "web1", webTwo), storing(2, 4), abort(2), backup(3, "web1", other)}},
	{"a fence while it writes", made, []step{begin(1, "web1", web), storing(1, 2), fence(1), fencedOut(1), backup(2, "web1", web)}},
	{"what was flushed is used by the next attempt", made, []step{begin(1, "web1", web), flush(1, 2), abort(1), backup(2, "web1", web)}},
	{"a point is deleted and comes back", with(backup(1, "web1", web), backup(2, "web1", webTwo)), []step{remove(1), undelete(1), remove(2), undelete(2)}},
	{"a point is held and released", with(backup(1, "web1", web)), []step{hold(1), release(1), remove(1), hold(1)}},
	{"a point is purged", with(backup(1, "web1", web), backup(2, "web1", webTwo)), []step{remove(1), purge(1)}},
	{"the only point is purged", with(backup(1, "web1", web)), []step{remove(1), purge(1), backup(2, "web1", web)}},
	{"a sweep of what an abort left", with(backup(1, "web1", web), begin(2, "web1", webTwo), flush(2, 4), abort(2), fence(2)), []step{upkeep{}.sweeps()}},
	{"a sweep that purges", with(backup(1, "web1", web), backup(2, "web1", other), remove(1)), []step{upkeep{}.sweeps(1)}},
	{"a sweep that purges all", with(backup(1, "web1", web), remove(1)), []step{upkeep{}.sweeps(1), backup(2, "web1", web)}},
	{"a sweep beside an attempt that relies on what goes", with(backup(1, "web1", web), remove(1)), []step{
		begin(2, "web1", webTwo), storing(2, 3), purge(1), upkeep{}.waits(2), commit(2, point.Complete), upkeep{}.sweeps(),
	}},
	{"a sweep beside an attempt that began after its list", with(backup(1, "web1", web), begin(2, "web1", other), remove(1), purge(1)), []step{
		upkeep{}.waits(2), begin(3, "web1", webTwo), storing(3, 3), abort(2), fence(2), upkeep{}.sweeps(), commit(3, point.Complete),
	}},
	{"a sweep beside an attempt that is given up", with(backup(1, "web1", web), remove(1), begin(2, "web1", webTwo), storing(2, 4), purge(1)), []step{
		upkeep{}.waits(2), abort(2), upkeep{}.sweeps(),
	}},
	{"compaction", with(backup(1, "web1", thin), backup(2, "web1", thinned), remove(1)), []step{upkeep{compact: true, moves: true}.sweeps(1)}},
	{"compaction of what another computer relies on", with(backup(1, "web1", thin), backup(2, "db1", thinned), remove(1)), []step{upkeep{compact: true, moves: true}.sweeps(1)}},
	{"compaction beside an attempt that relies on what is moved", with(backup(1, "web1", thin), backup(2, "web1", thinned), remove(1), purge(1), begin(3, "web1", thin), storing(3, 6)), []step{
		upkeep{compact: true}.waits(3), commit(3, point.Complete), upkeep{compact: true, merge: true}.sweeps(),
	}},
	{"dead members are taken out of bundles", with(backup(1, "web1", bundled), backup(2, "web1", sparse), remove(1)), []step{
		punching.sweeps(1), backup(3, "web1", bundled), punching.sweeps(),
	}},
	{"dead members are taken out of bundles twice", with(backup(1, "web1", bundled), backup(2, "web1", sparse), remove(1), punching.sweeps(1)), []step{
		backup(3, "web1", sparser), remove(2), punching.sweeps(2),
	}},
	{"dead members that an attempt needs meanwhile", with(backup(1, "web1", bundled), backup(2, "web1", sparse), remove(1), purge(1), begin(3, "web1", others)), []step{
		punching.waits(3), commit(3, point.Complete), punching.sweeps(), backup(4, "db1", bundled),
	}},
	{"dead members, and the sweep goes on without keys", with(backup(1, "web1", bundled), backup(2, "web1", sparse), remove(1), purge(1), begin(3, "web1", others)), []step{
		punching.waits(3), abort(3), fence(3), everything.sweeps(),
	}},
	{"merging of segments", with(backup(1, "web1", web), backup(2, "db1", db), backup(3, "web1", webTwo), remove(2)), []step{upkeep{merge: true}.sweeps(), upkeep{merge: true}.sweeps(2)}},
	{"everything at once", with(backup(1, "web1", web), backup(2, "db1", db), backup(3, "web1", thin), backup(4, "web1", thinned), remove(1), remove(3)), []step{
		upkeep{compact: true, merge: true, moves: true}.sweeps(1, 3), backup(5, "db1", thin), everything.sweeps(),
	}},
	{"a damaged record is marked and healed", with(backup(1, "web1", web), damageRecord(1)), []step{repair, backup(2, "web1", web), healed, everything.sweeps()}},
	{"a damaged node is marked and healed", with(backup(1, "web1", web), damageNode(1)), []step{repair, backup(2, "web1", web), healed, everything.sweeps()}},
	{"a pack is gone", with(backup(1, "web1", web), losePack(1)), []step{repair, backup(2, "web1", web), healed, everything.sweeps()}},
	{"a damaged segment is rebuilt by a check", with(backup(1, "web1", web), backup(2, "db1", db), damageSegment(1)), []step{repair, healed, everything.sweeps()}},
	{"a lost segment is rebuilt by a check", with(backup(1, "web1", web), backup(2, "db1", db), loseSegment(1)), []step{repair, healed}},
	{"a lost segment is rebuilt without a key", with(backup(1, "web1", web), loseSegment(1)), []step{rebuild, healed, backup(2, "web1", webTwo)}},
	{"a lost segment is rebuilt by a sweep", with(backup(1, "web1", web), backup(2, "db1", db), loseSegment(1)), []step{everything.sweeps(), healed}},
	{"a check proves everything", with(backup(1, "web1", web), backup(2, "db1", db)), []step{repair, repair, backup(3, "db1", web), remove(1), everything.sweeps(1), repair}},
	{"a fence after the commit", made, []step{backup(1, "web1", web), fence(1)}},
}

// with is a repository that some steps were done to.
func with(steps ...step) []step { return append([]step{create}, steps...) }

// The histories of bundles are about something. A disk that fails keeps a run from it, so they do
// not ask themselves.
func TestHistoriesTakeMembersOutOfBundles(t *testing.T) {
	must := upkeep{compact: true, punch: true, moves: true}
	w := newWorld(memfs.New())
	defer w.end()
	err := w.run(context.Background(), with(
		backup(1, "web1", bundled), backup(2, "web1", sparse), remove(1), must.sweeps(1), backup(3, "web1", sparser), remove(2), must.sweeps(2),
	))
	if err != nil {
		t.Fatal(err)
	}
}
