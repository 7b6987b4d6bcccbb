package cli_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

// restored is a restore of so many MiB to a computer in a minute.
func restored(id int64, computer string, mib int64) *keepwardv1.Session {
	return &keepwardv1.Session{
		Id: id, Type: "restore", Status: "Completed", Tasks: []*keepwardv1.Task{{Computer: computer}},
		Started: timestamppb.New(now.Add(-time.Hour)), Ended: timestamppb.New(now.Add(-time.Hour + time.Minute)),
		Progress: &keepwardv1.Progress{Counters: &keepwardv1.Counters{DoneBytes: mib << 20, SentBytes: mib << 19}},
	}
}

func TestEstimateGoesByTheLastRestoreThatCanTell(t *testing.T) {
	counted := restored(8, "web1", 6000) // an estimate: nothing but the list of files was sent
	counted.Progress.Counters.SentBytes = 1 << 20
	failed := restored(9, "web1", 6000)
	failed.Status = "Failed"
	for _, c := range []struct {
		name string
		list []*keepwardv1.Session
		want []string
	}{
		{"none yet", []*keepwardv1.Session{}, []string{"expected time  not known"}},
		{"none that can tell", []*keepwardv1.Session{failed, counted, restored(7, "web1", 1)}, []string{"expected time  not known"}},
		{"of this computer", []*keepwardv1.Session{failed, counted, restored(6, "web2", 6000), restored(5, "web1", 600), restored(4, "web1", 60)}, []string{"about 1:41 min", "10.0 MiB/s of session 5"}},
		{"of another computer", []*keepwardv1.Session{restored(6, "web2", 6000)}, []string{"about 11.0 s", "session 6"}},
	} {
		f := newFake(t)
		f.list = c.list
		f.sessions = []*keepwardv1.Session{state("Completed", &keepwardv1.Counters{
			DoneFiles: 1010, DoneBytes: 1001 << 20, SkippedFiles: 10, SkippedBytes: 1 << 20, FetchChunks: 7, FetchBytes: 300 << 20, FetchPacks: 2,
		})}
		r := f.do(t, "restore", "files", "--computer", "web1", "--point", "latest", "--to", "/x", "--estimate").
			want(t, 0, "1 010 files, 0.98 GiB", "1 000 files, 0.98 GiB", "10 files, 1.00 MiB", "300 MiB, 7 chunks of 2 packs")
		r.want(t, 0, c.want...)
		if !f.restore.GetEstimate() || !f.restore.GetDryRun() {
			t.Errorf("%s: it was a restore: %v", c.name, f.restore)
		}
		var e keepwardv1.RestoreEstimate
		out := f.do(t, "restore", "files", "--computer", "web1", "--point", "latest", "--to", "/x", "--estimate", "-o", "json").want(t, 0).out
		if err := protojson.Unmarshal([]byte(out), &e); err != nil || e.FetchBytes != 300<<20 || e.Session != 12 {
			t.Errorf("%s as JSON: %v, %v", c.name, &e, err)
		}
	}
}

// A script is not asked, and its restore is not estimated first.
func TestScriptsAreNotAskedBeforeARestore(t *testing.T) {
	f := newFake(t)
	f.do(t, "restore", "files", "--computer", "web1", "--point", "latest", "--to", "/x", "--verify", "--restart-interval", "1m").want(t, 0)
	if f.restore.GetEstimate() || f.restore.GetDryRun() || !f.restore.GetVerify() || f.restore.GetRestartInterval().AsDuration() != time.Minute {
		t.Errorf("asked for %v", f.restore)
	}
}
