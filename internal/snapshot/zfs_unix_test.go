//go:build unix

package snapshot_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keepward/internal/snapshot"
	"keepward/internal/snapshot/snapshottest"
)

// zfsDouble stands for the program zfs: its snapshots are copies. It notes what it was called with.
const zfsDouble = `#!/bin/sh
echo "$*" >>"$DOUBLE/calls"
shots="$DOUBLE/mnt/.zfs/snapshot"
case "$1 $2 $3" in
"list -H -o") ;;
"list -H -t") for s in "$shots"/*; do [ -e "$s" ] && echo "pool/data@${s##*/}"; done; true;;
"snapshot "*) d="$shots/${2#*@}"; mkdir "$d" && for f in "$DOUBLE/mnt"/*; do [ -e "$f" ] && cp -a "$f" "$d/"; done; true;;
"destroy "*) rm -r "$shots/${2#*@}";;
"rename "*) mv "$shots/${2#*@}" "$shots/${3#*@}";;
*) echo "zfs: what is $*" >&2; exit 2;;
esac
`

// double makes a provider's programs scripts of a directory of their own, and answers that.
func double(t *testing.T, scripts map[string]string) (string, snapshot.Run) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("DOUBLE", dir)
	return dir, func(ctx context.Context, name string, args ...string) (string, error) {
		return snapshot.RunCommand(ctx, filepath.Join(dir, name), args...)
	}
}

func zfsSubject(t *testing.T) snapshottest.Subject {
	dir, run := double(t, map[string]string{"zfs": zfsDouble})
	mnt := filepath.Join(dir, "mnt")
	if err := os.MkdirAll(filepath.Join(mnt, ".zfs", "snapshot"), 0o755); err != nil {
		t.Fatal(err)
	}
	return snapshottest.Subject{Provider: snapshot.NewZFS(run), Volume: snapshot.Volume{ID: 1, Root: "/", Mount: mnt, Type: "zfs", Source: "pool/data"}}
}

func TestZFSContractOfADouble(t *testing.T) { snapshottest.Run(t, zfsSubject) }

func TestZFSIsCalledLikeThis(t *testing.T) {
	s := zfsSubject(t)
	n := snapshot.Name{Owner: "00000000000000aa", ID: "1"}
	if err := s.Provider.Fits(t.Context(), s.Volume); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Provider.Create(t.Context(), s.Volume, n, func(string) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if err := s.Provider.Remove(t.Context(), s.Volume, n); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(filepath.Dir(s.Volume.Mount), "calls"))
	want := `list -H -o name pool/data
snapshot pool/data@keepward-00000000000000aa-run-1
list -H -t snapshot -o name -d 1 pool/data
destroy pool/data@keepward-00000000000000aa-run-1
`
	if err != nil || string(b) != want {
		t.Errorf("calls %q, %v", b, err)
	}
	for why, v := range map[string]snapshot.Volume{
		"it is no ZFS": {Type: "ext4"}, "only a part of the data set is mounted there": {Type: "zfs", Root: "/x"},
	} {
		if err := s.Provider.Fits(t.Context(), v); err == nil || err.Error() != why {
			t.Errorf("%+v: %v", v, err)
		}
	}
	missing := snapshot.NewZFS(func(ctx context.Context, _ string, args ...string) (string, error) {
		return snapshot.RunCommand(ctx, "keepward-no-such-program", args...)
	})
	if err := missing.Fits(t.Context(), s.Volume); err == nil || !strings.Contains(err.Error(), "not installed") {
		t.Errorf("without the program: %v", err)
	}
}
