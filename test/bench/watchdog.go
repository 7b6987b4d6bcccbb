package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// mark is an environment variable that all processes of a run inherit, movers too, which outlive
// their transport service.
const mark = "BENCH_RUN"

// cleanup waits until its input ends. What then still carries the mark is killed, and what is
// mounted below the run's directory is taken away, as is the directory.
const cleanup = `cat >/dev/null
for p in /proc/[0-9]*; do
  [ "${p#/proc/}" = $$ ] && continue
  if grep -qzxF "$0" "$p/environ" 2>/dev/null; then kill -9 "${p#/proc/}" 2>/dev/null; fi
done
awk -v d="$1/" 'index($2, d) == 1 {print $2}' /proc/mounts | while read -r m; do umount -l "$m"; done
rm -rf "$1"`

// watchdog is a shell that cleans up behind this process, however it ends.
type watchdog struct {
	cmd *exec.Cmd
	in  io.Closer
}

// watch starts one for a run with a directory.
func watch(root string) (*watchdog, error) {
	value := strconv.Itoa(os.Getpid()) + "-" + root
	cmd := exec.Command("sh", "-c", cleanup, mark+"="+value, root)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // an interrupt from the keyboard is not for it
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	// It is not marked itself, nor is this process: only what is started from now on.
	return &watchdog{cmd, in}, os.Setenv(mark, value)
}

// close lets it clean up, and waits for that.
func (w *watchdog) close() error { return errors.Join(w.in.Close(), w.cmd.Wait()) }
