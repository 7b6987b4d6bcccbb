package postgres

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"keepward/internal/app"
	"keepward/internal/errs"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// laid is what a point lays down of a server: it needs one segment of its log.
func laid(t *testing.T, change func(a *about)) string {
	t.Helper()
	dir := t.TempDir()
	a := about{SegmentSize: 16 << 20, Timeline: 1, First: 1, Start: 1, Stop: 1}
	if change != nil {
		change(&a)
	}
	write(t, filepath.Join(dir, "files", "data", "PG_VERSION"), "15\n")
	write(t, filepath.Join(dir, "more", labelFile), "START TIMELINE: 1\n")
	write(t, filepath.Join(dir, "more", walDir, "000000010000000000000001"), "log")
	if err := app.WriteAbout(filepath.Join(dir, "more"), a); err != nil {
		t.Fatal(err)
	}
	return dir
}

func recovered(t *testing.T, dir string) error {
	t.Helper()
	return Kind{}.Recover(t.Context(), &app.Recovery{Dir: dir, Phase: func(string) {}, Event: func(string, string, string) {}})
}

// TestAPointThatSaysWhatCannotBeIsRefused: it may have been made by a computer that is not to be
// trusted, and is restored by root.
func TestAPointThatSaysWhatCannotBeIsRefused(t *testing.T) {
	for name, change := range map[string]func(a *about){
		"no segments":            func(a *about) { a.SegmentSize = 0 },
		"segments of no size":    func(a *about) { a.SegmentSize = 3 << 20 },
		"a tablespace elsewhere": func(a *about) { a.Tablespaces = []tablespace{{OID: "../../../beside"}} },
		"a tablespace of none":   func(a *about) { a.Tablespaces = []tablespace{{OID: ""}} },
		"too much of everything": func(a *about) { a.Version = strings.Repeat("1", 2<<20) },
	} {
		dir := laid(t, change)
		beside := filepath.Join(dir, "beside")
		write(t, beside, "mine")
		if err := recovered(t, dir); errs.CodeOf(err) != "application.incomplete" || errs.KindOf(err) != errs.Corrupt {
			t.Errorf("%s: %v", name, err)
		}
		if b, err := os.ReadFile(beside); err != nil || string(b) != "mine" {
			t.Errorf("%s: the file beside is %q, %v", name, b, err)
		}
	}
	if err := recovered(t, laid(t, func(a *about) { a.Tablespaces = []tablespace{{OID: "16384"}} })); err != nil {
		t.Errorf("a point like others: %v", err)
	}
}

func TestLinksOfAPointLeadNowhere(t *testing.T) {
	for _, name := range []string{
		"files/data", "files/data/pg_wal", "files/data/pg_wal/archive_status", "files/data/pg_tblspc", "files/data/backup_label", "files/data/recovery.signal",
		"files/data/postgresql.auto.conf", "more", "more/wal", "wal",
	} {
		dir := laid(t, func(a *about) { a.Tablespaces = []tablespace{{OID: "16384"}} })
		out := t.TempDir()
		write(t, filepath.Join(out, "file"), "theirs")
		write(t, filepath.Join(out, "16384"), "theirs")
		to, path := out, filepath.Join(dir, name)
		if ext := filepath.Ext(name); ext != "" || strings.HasSuffix(name, labelFile) {
			to = filepath.Join(out, "file")
		}
		if name == "more" || name == "more/wal" { // what is there is theirs, too
			if err := os.Rename(path, filepath.Join(out, "there")); err != nil {
				t.Fatal(err)
			}
			to = filepath.Join(out, "there")
		}
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
		before := listed(t, out)
		if err := recovered(t, dir); err == nil {
			t.Errorf("%s: it was followed", name)
		}
		if after := listed(t, out); after != before {
			t.Errorf("%s: beside it there was\n%s\nand is\n%s", name, before, after)
		}
	}
}

// listed is all that there is in a directory.
func listed(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		text := []byte("a directory")
		if !d.IsDir() {
			if text, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		fmt.Fprintf(&b, "%s: %s\n", path, text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestARecoveryEndsWhereItIsToldTo: the settings of an earlier one may stand in the files of a server
// that was restored once before.
func TestARecoveryEndsWhereItIsToldTo(t *testing.T) {
	dir := laid(t, nil)
	auto := filepath.Join(dir, "files", "data", "postgresql.auto.conf")
	write(t, auto, "recovery_target_time = '2001-01-01 00:00:00+00'\nrecovery_target_xid = '7'\n")
	if err := recovered(t, dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(auto)
	if err != nil {
		t.Fatal(err)
	}
	last := map[string]string{} // the last counts
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " = "); ok {
			last[name] = value
		}
	}
	for _, name := range []string{"recovery_target", "recovery_target_name", "recovery_target_time", "recovery_target_xid", "recovery_target_lsn"} {
		if last[name] != "''" {
			t.Errorf("%s is %s", name, last[name])
		}
	}
}

func TestAPasswordIsInNoDirectory(t *testing.T) {
	r := &recovery{Recovery: &app.Recovery{Secret: app.NewSecret(`a:b\c`)}, uid: os.Getuid(), gid: os.Getgid()}
	f, err := r.passwordFile()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	if to, err := os.Readlink(at); err != nil || !strings.HasPrefix(to, "/memfd:") {
		t.Errorf("it is at %s, %v", to, err)
	}
	if info, err := f.Stat(); err != nil || info.Mode() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	if b, err := os.ReadFile(at); err != nil || string(b) != `*:*:*:*:a\:b\\c`+"\n" {
		t.Errorf("it holds %q, %v", b, err)
	}
}

// TestAServerThatIsWantedMayTakeItsTimeToEnd: to write out what it has may take long.
func TestAServerThatIsWantedMayTakeItsTimeToEnd(t *testing.T) {
	was := stopWithin
	stopWithin = time.Millisecond
	t.Cleanup(func() { stopWithin = was })
	for _, wanted := range []bool{true, false} {
		// It ends when it is told to, and then the pipe ends as well.
		cmd := exec.Command("/bin/sh", "-c", `trap 'read -r line; exit 0' INT; echo up; while :; do sleep 0.01; done`)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		s := &server{cmd: cmd, said: &tail{}, over: make(chan struct{}), dir: t.TempDir()}
		go func() { s.err = cmd.Wait(); close(s.over) }()
		late := time.AfterFunc(200*time.Millisecond, func() { _, _ = io.WriteString(in, "now\n") })
		if err := s.end(context.Background(), wanted); (err == nil) != wanted {
			t.Errorf("wanted %v: %v", wanted, err)
		}
		late.Stop()
		<-s.over
	}
}
