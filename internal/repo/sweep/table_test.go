package sweep

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the table in the docs")

const (
	page  = "../../../docs/formats/repository-layout.md"
	begin = "<!-- table of internal/repo/sweep/table_test.go: begin -->\n"
	end   = "<!-- end -->\n"
)

// cell is one pair of operations that may run at once, or of which one may die under the other.
type cell struct {
	first, second string
	guard         string // what keeps the one from harming the other
	test          func(*testing.T)
}

// cells are all of them; docs/formats/repository-layout.md shows the table.
var cells = []cell{
	{"backup", "backup", "names carry the attempt; the same chunk twice is a duplicate, and a sweep leaves one place for each owner, or a proved one", duplicatesGo},
	{"backup", "sweep that begins later", "open marker: the packs of an open attempt are no candidates", openPacksStay},
	{"backup", "sweep that publishes its list later", "open marker of an older generation: the sweep ends with `unsettled`, then marks again and spares", earlierWriterIsWaitedFor},
	{"backup that begins", "sweep that publishes its list just now", "list read, marker put, list read again: either the sweep sees the marker, or the backup sees the list", beginsWhileAListIsPublished},
	{"backup", "sweep that has published its list", "generation: rows in condemned packs are absent for it, so it stores anew", laterWriterStoresAnew},
	{"backup", "purge of its parent", "the parent is read behind the open marker: the list of that sweep waits", parentStays},
	{"backup", "purge of its parent while a list is open", "points are purged only when no list is open, so that the second mark sees all that the list's attempts made", parentStaysWhileAListIsOpen},
	{"backup whose parent relied on what is condemned", "sweep that has not judged yet", "the commit is refused as long as the list is open; what it spares may be relied on", takesOverWhatIsSpared},
	{"backup", "compaction", "as for a sweep; where a condemned pack's chunks went is read behind the open marker, and again before a commit is refused", compactionUnderABackup},
	{"backup", "merge of segments", "joined rows are durable before the parts go; who misses one lists again", mergeUnderABackup},
	{"backup", "fence", "put-if-absent of one name: the first wins", fenceUnderABackup},
	{"backup that was cut off", "sweep, days ago", "it cannot commit; its rows count for nothing where their packs are gone", zombieHarmsNobody},
	{"checkpoint of an attempt that was cut off", "next attempt", "the tombstone names the last checkpoint that counts", lateCheckpointDoesNotCount},
	{"checkpoint", "sweep", "checkpoints of open attempts and those that the order keeps are marked; others go before the mark", checkpointsAreLive},
	{"restore", "compaction and sweep", "a read that misses lists again and tries the other places", readerFollows},
	{"restore", "purge of its point", "the server pins what a task reads; without it the restore fails and names the chunk", restoreOfAPurgedPoint},
	{"sweep", "sweep", "put-if-absent of list, spared list and end: the first decides for all, whoever deletes", twoSweepsAtOnce},
	{"sweep", "sweep that decides otherwise", "the spared list that was published first is everybody's", firstToJudgeDecides},
	{"sweep that was paused", "sweep that went on", "it finds a higher generation, or deletes what the published lists say in any case", pausedSweep},
	{"sweep that died", "next sweep", "it goes on with the list that is open; copies of a compaction that died are duplicates", diedSweep},
	{"sweep", "take-over by another server", "term: looked at before each purge, list and delete", takeOver},
	{"sweep of a server that was restored from a backup, or of a clone", "owner", "a lower term is refused", lowerTerm},
	{"sweep", "delete, undelete and hold", "a point without a delete marker, or held, is not purged; deleted points are live", marksAndPurge},
	{"sweep", "check that repairs", "rebuilt segments name packs, not points: rows of condemned packs stay condemned", checkUnderASweep},
	{"sweep", "rebuild of the index", "as for a check; who relies on a row that came back makes the second mark spare it", rebuildUnderASweep},
	{"any", "computer that lies in clear", "all places of an id count for the mark; an unproved place covers its own owner's only", liarHidesNothing},
}

func TestEveryPairOfOperations(t *testing.T) {
	for _, c := range cells {
		t.Run(c.first+" × "+c.second, c.test)
	}
}

func TestTheTableInTheDocsIsThisOne(t *testing.T) {
	text := "\n| running | meanwhile | what guards it |\n|---|---|---|\n"
	for _, c := range cells {
		text += "| " + c.first + " | " + c.second + " | " + c.guard + " |\n"
	}
	text += "\n"
	b, err := os.ReadFile(page)
	must(t, err)
	before, rest, ok := strings.Cut(string(b), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", page)
	}
	if old == text {
		return
	}
	if !*update {
		t.Fatalf("%s shows another table; run this test with -update", page)
	}
	must(t, os.WriteFile(page, []byte(before+begin+text+end+after), 0o644)) //nolint:gosec // a page of the docs
}
