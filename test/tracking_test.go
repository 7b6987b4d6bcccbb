package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keepward/internal/snapshot"
	"keepward/internal/treegen"
)

// trackedTree makes some hundred files, some of them with several names.
func trackedTree(t *testing.T, src string) {
	t.Helper()
	for d := range 20 {
		dir := filepath.Join(src, fmt.Sprintf("d%02d", d))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%02d", i)), fmt.Appendf(nil, "%d of %d", i, d), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	command(t, "ln", src+"/d00/f00", src+"/d19/linked")
	command(t, "ln", src+"/d01/f01", src+"/d01/beside")
	command(t, "truncate", "-s", "3M", src+"/d02/sparse")
}

// trackedChange does to a tree what programs and people do.
const trackedChange = `set -e; cd "$1"
echo more >>d03/f03; printf x | dd of=d02/sparse bs=1 seek=1500000 conv=notrunc status=none
echo new >d04/new; rm d05/f05; mv d06/f06 d07/moved; mv d08 renamed; mkdir d08; echo again >d08/f00
echo both >>d19/linked; rm d01/beside; ln d09/f09 d10/also; chmod 600 d11/f11; ln -s f12 d12/link
rm -r d13; mkdir d13; echo other >d13/f00; rm d14/f14; mkdir d14/f14; echo in >d14/f14/x; touch d15/f15
`

// A backup goes by what is told of changes, on each kind of volume of which something is told, and
// makes the point that comparing every file would have made.
func TestABackupLooksWhereSomethingChanged(t *testing.T) {
	for _, c := range []struct{ kind, told, after string }{
		{"btrfs", "is told by the difference of two snapshots", "is told by the difference of two snapshots"},
		{"ext4", "is told by a journal of what happens on it", "the agent did not run all the time since the backup before"},
	} {
		t.Run(c.kind, func(t *testing.T) {
			needRoot(t)
			needPrograms(t, "mkfs."+c.kind, "mount", "umount", "losetup")
			dir := tempDir(t)
			image, disk := filepath.Join(dir, "disk.img"), filepath.Join(dir, "disk")
			src := filepath.Join(disk, "data")
			for _, err := range []error{os.WriteFile(image, nil, 0o600), os.Truncate(image, 512<<20), os.Mkdir(disk, 0o755)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			command(t, "mkfs."+c.kind, "-q", image)
			command(t, "mount", "-o", "loop", image, disk)
			t.Cleanup(func() { command(t, "umount", "-l", disk) })
			f := newFleet(t)
			f.AgentArgs = []string{"--trust-hidden"}
			f.addAgent("web1")
			f.must(os.Mkdir(src, 0o755))
			tree, zoo := filepath.Join(src, "tree"), filepath.Join(src, "zoo")
			f.must(os.Mkdir(zoo, 0o755))
			t.Cleanup(func() { f.must(treegen.Remove(zoo)) })
			_, err := treegen.Zoo(zoo)
			f.must(err)
			f.must(treegen.Remove(filepath.Join(zoo, "deep"))) // rsync, which compares below, stops there
			trackedTree(t, tree)
			f.createJob("docs", "web1", []string{src})
			logs := func(want string) {
				t.Helper()
				if log := f.sessionLog(f.last("docs", "Completed", "Completed w/ errors").Id); !strings.Contains(log, want) {
					t.Errorf("the log has no %q:\n%s", want, log)
				}
			}
			f.run("docs")
			logs("what changes on " + disk)

			command(t, "sh", "-c", trackedChange, "sh", tree)
			f.run("docs")
			logs(c.told)
			same(t, src, below(f.restore("web1", "latest"), src))

			f.do("setting", "set", "compare_every", "0")
			for seed := range uint64(3) {
				_, err := treegen.Mutate(tree, 0.2, seed)
				f.must(err)
				f.run("docs")
				logs(c.told)
				same(t, src, below(f.restore("web1", "latest"), src))
			}

			s := f.run("docs")
			logs(c.told)
			if n := s.GetProgress().GetCounters(); n.GetReadFiles() != 0 || n.GetDoneFiles() < 400 {
				t.Errorf("with nothing changed %v", n)
			}
			same(t, src, below(f.restore("web1", "latest"), src))

			f.do("setting", "set", "compare_every", "4")
			f.must(os.WriteFile(filepath.Join(src, "last"), []byte("x"), 0o600))
			f.run("docs")
			logs("every file was compared, as is done every 4 runs: all ")

			if c.kind == "ext4" {
				f.missesFlags(filepath.Join(src, "last"), logs)
			}

			f.agent["web1"].Kill()
			f.must(f.agent["web1"].Start())
			f.must(os.WriteFile(filepath.Join(src, "last"), []byte("y"), 0o600))
			f.run("docs")
			logs(c.after)
			same(t, src, below(f.restore("web1", "latest"), src))

			f.do("job", "edit", "docs", "--no-tracking")
			f.run("docs")
			if log := f.sessionLog(f.last("docs", "Completed").Id); strings.Contains(log, "what change") {
				t.Errorf("it goes by changes though it shall not:\n%s", log)
			}
			if left, err := filepath.Glob(filepath.Join(disk, snapshot.BtrfsDir, "*")); err != nil || len(left) != 0 {
				t.Errorf("left over: %v, %v", left, err)
			}
		})
	}
}

// missesFlags changes what no kernel tells of: the run that compares every file finds it and says so,
// and the one after it believes nobody.
func (f *fleet) missesFlags(file string, logs func(string)) {
	f.t.Helper()
	f.do("setting", "set", "compare_every", "1")
	command(f.t, "chattr", "+A", file)
	f.fails(3, nil, "job", "run", "docs", "--wait")
	f.last("docs", "Completed w/ errors")
	logs("this differs from the restore point before, and nothing told of it")
	logs("of 1 places that differ from the restore point before, 1 were not told")
	if r := f.do("status", "-o", "json"); !strings.Contains(r.Stdout, "changes.missed") {
		f.t.Errorf("the status does not say it: %s", r)
	}
	f.do("setting", "set", "compare_every", "4")
	f.run("docs")
	logs("every file is compared")
	f.run("docs")
	logs("is told by a journal")
}
