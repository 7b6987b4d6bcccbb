package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// heldByOne is how many files one process holds: the kernel lets a process have 65 530 mappings.
var heldByOne = 60_000

// holdMark in the environment makes of this program a holder.
const holdMark = "KEEPWARD_BENCH_HOLD"

// hold reads all files below dir into the page cache and keeps them there until it is let go: there
// are machines whose kernel gives what was read to others within seconds, and then the one who comes
// first pays for all. Mappings belong to a process, and there are too many for one, so each
// heldByOne files have a process of their own, which ends with this one.
func hold(dir string) (release func() error, err error) {
	var all holders
	defer func() {
		if err != nil {
			err = errors.Join(err, all.release())
		}
	}()
	var paths *bufio.Writer
	in := 0
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		if in%heldByOne == 0 {
			if err := all.filled(paths); err != nil {
				return err
			}
			if paths, err = all.start(); err != nil {
				return err
			}
		}
		in++
		if _, err := paths.WriteString(path); err != nil {
			return err
		}
		return paths.WriteByte(0)
	})
	if err := errors.Join(err, all.filled(paths)); err != nil {
		return nil, fmt.Errorf("hold %s in memory: %w", dir, err)
	}
	return all.release, nil
}

type holders []holder

type holder struct {
	cmd *exec.Cmd
	in  io.Closer
	out *bufio.Reader
}

func (all *holders) start() (*bufio.Writer, error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), holdMark+"=1"), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	*all = append(*all, holder{cmd, in, bufio.NewReader(out)})
	return bufio.NewWriter(in), nil
}

// filled waits until the last holder has all that it was told.
func (all holders) filled(paths *bufio.Writer) error {
	if paths == nil {
		return nil
	}
	if err := errors.Join(paths.WriteByte(0), paths.Flush()); err != nil { // an empty name is the end
		return err
	}
	_, err := all[len(all)-1].out.ReadString('\n')
	return err
}

func (all holders) release() error {
	var err error
	for _, h := range all {
		err = errors.Join(err, h.in.Close(), h.cmd.Wait())
	}
	return err
}

// holdIfTold makes a holder of this process, and ends it, if it was started as one.
func holdIfTold() {
	if os.Getenv(holdMark) == "" {
		return
	}
	if err := beHolder(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench: hold files in memory:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// beHolder maps and locks what it is told, says so, and waits to be let go.
func beHolder(in io.Reader, out io.Writer) error {
	paths := bufio.NewReader(in)
	for {
		path, err := paths.ReadString(0)
		if err != nil {
			return err
		}
		if path == "\x00" {
			break
		}
		if err := lock(path[:len(path)-1]); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintln(out, "held"); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, paths)
	return err
}

func lock(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	if _, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_LOCKED|unix.MAP_POPULATE); err != nil {
		return fmt.Errorf("map %s: %w", path, err)
	}
	return nil
}
