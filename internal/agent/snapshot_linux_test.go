package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/snapshot"
	"keepward/internal/snapshot/snapshottest"
	"keepward/internal/wire"
	"keepward/internal/wire/wiretest"
)

// snapshotted starts a backup of a directory with snapshots where they can be had.
func (s *site) snapshotted(src string, change func(*keepwardv1.StartBackupRequest)) string {
	s.t.Helper()
	order, endpoint := s.order()
	m := &keepwardv1.StartBackupRequest{
		Order: order, Mover: endpoint, Keys: wire.KeysToProto(s.mover.keys), Compression: "zstd",
		Files: &keepwardv1.FileSelection{Include: []string{src}}, SnapshotRetries: 3, SnapshotKept: durationpb.New(time.Hour),
	}
	if change != nil {
		change(m)
	}
	if _, err := s.client.StartBackup(s.t.Context(), connect.NewRequest(m)); err != nil {
		s.t.Fatal(err)
	}
	return order.GetAttempt()
}

// said are the texts of an attempt's events of a code.
func (s *site) said(id, code string) (out []string) {
	s.server.Set(func() {
		for _, e := range s.server.Events[id] {
			if e.GetCode() == code {
				out = append(out, e.GetText())
			}
		}
	})
	return out
}

func (s *site) stop(id string) {
	s.t.Helper()
	_, err := s.client.StopAttempt(s.t.Context(), connect.NewRequest(&keepwardv1.StopAttemptRequest{
		Order: &keepwardv1.Order{Attempt: id, Term: 5}, Reason: "interrupted",
	}))
	if err != nil {
		s.t.Fatal(err)
	}
	s.server.End(id)
}

// restored is the content of a file of a point.
func (s *site) restored(id, path string) string {
	s.t.Helper()
	to := s.t.TempDir()
	order, endpoint := s.order()
	_, err := s.client.StartRestore(s.t.Context(), connect.NewRequest(&keepwardv1.StartRestoreRequest{
		Order: order, Mover: endpoint, Keys: wire.KeysToProto(s.mover.keys), Point: id, Paths: [][]byte{[]byte(filepath.Dir(path))}, To: []byte(to),
	}))
	if err != nil {
		s.t.Fatal(err)
	}
	if end := s.server.End(order.GetAttempt()); end.GetOutcome() != "done" {
		s.t.Fatalf("restore ended with %v", end)
	}
	b, err := os.ReadFile(filepath.Join(to, path))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// ours are the snapshots on a btrfs.
func ours(t *testing.T, device string) []string {
	t.Helper()
	top := t.TempDir()
	snapshottest.Mount(t, device, top, "-o", "subvolid=5")
	list, err := filepath.Glob(filepath.Join(top, snapshot.BtrfsDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestABackupIsReadFromItsSnapshot(t *testing.T) {
	mount, device := snapshottest.Btrfs(t)
	s := newSite(t)
	gate := make(chan struct{})
	s.mover.gate, s.mover.reached = gate, make(chan struct{})
	file := filepath.Join(mount, "f")
	put(t, file, "before")
	if err := os.Mkdir(filepath.Join(mount, "old"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		put(t, filepath.Join(mount, "old", fmt.Sprint(i)), "x")
	}
	time.Sleep(100 * time.Millisecond) // what is younger than the grain of the clock is read again
	id := s.snapshotted(mount, nil)
	<-s.mover.reached
	put(t, file, "after that")
	// An attempt that is interrupted leaves its snapshot to the next, which reads what stood then.
	s.stop(id)
	if got := ours(t, device); len(got) != 1 {
		t.Fatalf("kept: %v", got)
	}
	id = s.snapshotted(mount, nil)
	close(gate)
	if end := s.server.End(id); end.GetOutcome() != "done" {
		t.Fatalf("ended with %v", end)
	}
	if got := s.restored(id, file); got != "before" {
		t.Errorf("the point holds %q", got)
	}
	if len(s.said(id, "snapshot.kept")) != 1 || len(s.said(id, "snapshot.taken")) != 0 {
		t.Errorf("the second attempt took a snapshot of its own")
	}
	if got := ours(t, device); len(got) != 0 {
		t.Errorf("left over: %v", got)
	}
	first := id
	// With a new snapshot and without one, the same files are unchanged.
	put(t, file, "third")
	id = s.snapshotted(mount, func(m *keepwardv1.StartBackupRequest) { m.Parent = first })
	if end := s.server.End(id); end.GetCounters().GetReadFiles() != 1 || s.restored(id, file) != "third" {
		t.Errorf("the next one: %v", end)
	}
	if said := s.said(id, "snapshot.taken"); len(said) != 1 || !strings.Contains(said[0], "btrfs snapshot") {
		t.Errorf("said: %q", said)
	}
	second := id
	id = s.snapshotted(mount, func(m *keepwardv1.StartBackupRequest) { m.Parent, m.Files.Live = second, true })
	if end := s.server.End(id); end.GetOutcome() != "done" || len(s.said(id, "snapshot.live")) != 1 || len(s.said(id, "snapshot.taken")) != 0 {
		t.Errorf("of the live file system: %v", end)
	}
	if c := s.server.End(id).GetCounters(); c.GetNewFiles() != 0 || c.GetReadFiles() > 1 {
		t.Errorf("of the live file system %d files are new and %d were read", c.GetNewFiles(), c.GetReadFiles())
	}
	if got := ours(t, device); len(got) != 0 {
		t.Errorf("left over: %v", got)
	}
}

func TestSnapshotsOfAnAgentThatEndsAreRemoved(t *testing.T) {
	mount, device := snapshottest.Btrfs(t)
	s := &site{t: t, server: wiretest.NewServer(t), dir: t.TempDir(), mover: newMover()}
	stop := s.start()
	gate := make(chan struct{})
	defer close(gate)
	s.mover.gate, s.mover.reached = gate, make(chan struct{})
	put(t, filepath.Join(mount, "f"), "x")
	id := s.snapshotted(mount, nil)
	<-s.mover.reached
	s.stop(id)
	stop()
	if got := ours(t, device); len(got) != 0 {
		t.Errorf("left over: %v", got)
	}
	// What a killed one left, the next start removes, but not what is kept, and nothing of others.
	owner, err := os.ReadFile(filepath.Join(s.dir, "snapshots", "owner"))
	if err != nil {
		t.Fatal(err)
	}
	us := strings.TrimSpace(string(owner))
	p, v := snapshot.NewBtrfs(), snapshottest.VolumeAt(t, mount)
	for _, n := range []snapshot.Name{{Owner: us, ID: "1"}, {Owner: us, Kept: "2"}, {Owner: us, Kept: "4"}, {Owner: us, Kept: "5"}, {Owner: "00000000000000bb", ID: "3"}} {
		if _, err := p.Create(t.Context(), v, n, func(string) bool { return true }); err != nil {
			t.Fatal(err)
		}
	}
	put(t, filepath.Join(s.dir, "snapshots", "kept.json"), `{"2":{"until":"2100-01-01T00:00:00Z"},"5":{"until":"2020-01-01T00:00:00Z"}}`)
	s.start()
	got := ours(t, device)
	for i := range got {
		got[i] = filepath.Base(got[i])
	}
	if d := cmp.Diff([]string{"keepward-00000000000000bb-run-3", "keepward-" + us + "-keep-2"}, got, cmpopts.SortSlices(strings.Compare)); d != "" {
		t.Errorf("left over (-want +got):\n%s", d)
	}
}

// unlucky fails as often as it is told; then nothing is changed while it is read, so that the
// files themselves do for a snapshot.
type unlucky struct {
	snapshot.Provider
	fails int
}

func (*unlucky) Kind() snapshot.Kind { return "unlucky" }

func (u *unlucky) Create(ctx context.Context, v snapshot.Volume, n snapshot.Name, wanted func(string) bool) (*snapshot.Snapshot, error) {
	if u.fails--; u.fails >= 0 {
		return nil, errors.New("no luck")
	}
	s, err := u.Provider.Create(ctx, v, n, wanted)
	s.Kind = u.Kind()
	return s, err
}

// A snapshot that fails once, twice, three times is there in the end; one that fails four times is
// not. Where an application is held for it, each try holds it anew.
func TestASnapshotThatFailsIsTriedAgain(t *testing.T) {
	for fails := 1; fails <= 4; fails++ {
		for _, scripts := range []bool{false, true} {
			t.Run(fmt.Sprint(fails, " scripts ", scripts), func(t *testing.T) { t.Parallel(); failing(t, fails, scripts) })
		}
	}
}

func failing(t *testing.T, fails int, scripts bool) {
	src := t.TempDir()
	put(t, filepath.Join(src, "f"), "x")
	seen := filepath.Join(t.TempDir(), "seen")
	taker := snapshot.NewTaker(t.TempDir())
	taker.Providers = []snapshot.Provider{&unlucky{snapshot.NewNone(), fails}}
	taker.Volumes = disk
	s := &site{t: t, server: wiretest.NewServer(t), dir: t.TempDir(), mover: newMover(), shots: taker, watchdog: scripts}
	next, gate := make(chan struct{}), make(chan struct{})
	s.mover.gate = gate
	taker.Wait = func(ctx context.Context, _ time.Duration) error {
		select {
		case <-next:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.start()
	id := s.snapshotted(src, func(m *keepwardv1.StartBackupRequest) {
		if scripts {
			m.Scripts = &keepwardv1.Scripts{PreFreeze: shell(t, "echo freeze >>"+seen), PostThaw: shell(t, "echo thaw >>"+seen)}
		}
	})
	retries := min(fails, 3)
	for n := range retries {
		want := fmt.Sprint(n+1, " of 3")
		s.server.Await("try "+want, func() bool {
			r := s.server.Last[id].GetReason()
			return r.GetCode() == "SNAPSHOT_RETRY" && strings.Join(r.GetArgs(), " of ") == want
		})
		if got := content(t, seen); scripts && !strings.HasSuffix(got, "thaw\n") {
			t.Errorf("while it waits the application is held: %q", got)
		}
		next <- struct{}{}
	}
	if fails < 4 { // the transfer waits
		s.server.Await("no more waiting", func() bool { return s.server.Last[id].GetReason() == nil })
	}
	close(gate)
	end := s.server.End(id)
	said := s.said(id, "snapshot.retry")
	if last := fmt.Sprintf("tried again, %d of 3: ", retries); len(said) != retries || !strings.Contains(said[retries-1], last) || !strings.Contains(said[retries-1], "no luck") {
		t.Errorf("said: %q", said)
	}
	switch f := end.GetFailure(); {
	case fails < 4 && end.GetOutcome() != "done":
		t.Errorf("ended with %v", end)
	case fails == 4 && (f.GetCode() != "snapshot.failed" || !strings.Contains(f.GetMessage(), "no luck, tried 4 times") || !strings.Contains(f.GetHint(), "--live")):
		t.Errorf("ended with %v", end)
	}
	if want := strings.Repeat("freeze\nthaw\n", retries+1); scripts && fails < 4 && content(t, seen) != want {
		t.Errorf("the scripts ran as %q", content(t, seen))
	}
}

// disk is the one volume of a computer.
func disk() ([]snapshot.Volume, error) {
	return []snapshot.Volume{{ID: 1, Mount: "/", Type: "x", Source: "disk"}}, nil
}

// A snapshot that is kept to tell the next backup what has changed holds what is overwritten
// meanwhile: where the volume fills up it goes, and the next backup compares every file.
func TestAKeptSnapshotMakesRoom(t *testing.T) {
	mount, device := snapshottest.Btrfs(t)
	s := &site{t: t, server: wiretest.NewServer(t), dir: t.TempDir(), mover: newMover(), tend: 50 * time.Millisecond}
	s.start()
	put(t, filepath.Join(mount, "f"), "x")
	backup := func(parent string) string {
		id := s.snapshotted(mount, func(m *keepwardv1.StartBackupRequest) {
			m.Job, m.Parent, m.TrackingKept = "docs", parent, durationpb.New(time.Hour)
		})
		if end := s.server.End(id); end.GetOutcome() != "done" {
			t.Fatalf("ended with %v", end)
		}
		return id
	}
	first := backup("")
	if got := ours(t, device); len(got) != 1 {
		t.Fatalf("kept: %v", got)
	}
	second := backup(first)
	if said := s.said(second, "changes.told"); len(said) != 1 {
		t.Fatalf("with room the second backup was told %q", said)
	}
	full := filepath.Join(mount, "full")
	f, err := os.Create(full)
	if err != nil {
		t.Fatal(err)
	}
	// In steps: a btrfs says what is free of the room that it has given out, and gives out more.
	for size := int64(0); ; size += 4 << 20 {
		free, err := snapshot.Free(mount)
		if err != nil {
			t.Fatal(err)
		}
		if free < 0.03 {
			break
		}
		if err := unix.Fallocate(int(f.Fd()), 0, size, 4<<20); errors.Is(err, unix.ENOSPC) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); len(ours(t, device)) > 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the volume is full, and kept is %v", ours(t, device))
		}
	}
	if err := os.Truncate(full, 0); err != nil { // so that the last backup is a short one
		t.Fatal(err)
	}
	third := backup(second)
	if said := s.said(third, "changes.compared"); len(said) != 1 {
		t.Errorf("without the kept snapshot it said %q", said)
	}
}
