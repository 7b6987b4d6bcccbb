// Command demo shows a whole backup site on this machine, from enrolment to a
// restored tree that is compared bit for bit, and says how fast it was. It is
// started by `make demo`, takes a few minutes and cleans up after itself.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"keepward/internal/treegen"
	"keepward/test/site"
)

func main() {
	bin := flag.String("keepward", "bin/keepward", "the binary to show")
	files := flag.Int("files", 50_000, "at least this many files")
	flag.Parse()
	if err := run(*bin, *files); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(bin string, files int) (err error) {
	dir, err := os.MkdirTemp("", "kwdemo")
	if err != nil {
		return err
	}
	d := &demo{dir: dir, src: filepath.Join(dir, "source"), zoo: filepath.Join(dir, "zoo")}
	defer func() { err = errors.Join(err, d.cleanUp()) }()

	// An interrupt must clean up too: it ends the command that runs, and with it the demo.
	interrupted := make(chan os.Signal, 1) // one is enough
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(interrupted)

	for _, chapter := range []func() error{
		func() error { return d.data(files) },
		func() error { return d.enrol(bin) },
		d.full, d.change, d.incremental, d.look, d.restore, d.extract,
	} {
		if err := chapter(); err != nil {
			return err
		}
		select {
		case s := <-interrupted:
			return fmt.Errorf("%s: cleaned up", s)
		default:
		}
	}
	d.table()
	return nil
}

func (d *demo) cleanUp() error {
	var err error
	if d.site != nil {
		err = d.site.Close()
	}
	return errors.Join(err, treegen.Remove(d.dir))
}

// data makes the tree: Go's own tree and parts of /usr, again and again.
func (d *demo) data(files int) error {
	d.title("A tree of at least %d files, from Go's own and /usr", files)
	for n := 0; d.count < files; n++ {
		to := filepath.Join(d.src, fmt.Sprintf("copy%d", n))
		for _, from := range realDirs() {
			if err := site.CopyReal(to, mostOfOne, from); err != nil {
				return err
			}
		}
		list, err := site.Files(d.src)
		if err != nil {
			return err
		}
		if len(list) == d.count {
			return fmt.Errorf("no files to copy below %v", realDirs())
		}
		d.count = len(list)
	}
	size, err := site.Size(d.src)
	if err != nil {
		return err
	}
	d.bytes = size
	d.say("%d files, %d MiB", d.count, size>>20)
	if err := os.Mkdir(d.zoo, 0o755); err != nil {
		return err
	}
	missing, err := treegen.Zoo(d.zoo)
	d.say("and one of every kind: devices, sockets, sparse files, ACLs, capabilities, odd names, endless paths")
	if len(missing) > 0 {
		d.say("left out, since this user or file system cannot have it: %s", strings.Join(missing, ", "))
	}
	return err
}
