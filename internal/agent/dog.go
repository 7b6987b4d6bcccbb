package agent

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"
)

// dog is the process of a watchdog, or what stands for one within this process.
type dog struct {
	in, out *os.File
	// end is called when out has ended: nothing is held any more. kill ends the watchdog at once.
	// leave has it go on alone, and ends out here.
	end, kill, leave func()
}

// startDog starts a watchdog.
func (a *agent) startDog() (dog, error) {
	itsIn, in, err := os.Pipe()
	if err != nil {
		return dog{}, err
	}
	out, itsOut, err := os.Pipe()
	if err != nil {
		_, _ = itsIn.Close(), in.Close()
		return dog{}, err
	}
	d := dog{in: in, out: out}
	if len(a.cfg.Watchdog) == 0 {
		a.inside(&d, itsIn, itsOut)
		return d, nil
	}
	cmd, err := a.dogCommand()
	if err == nil {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = itsIn, itsOut, os.Stderr
		err = cmd.Start()
	}
	_, _ = itsIn.Close(), itsOut.Close() // they are the process's now
	if err != nil {
		_, _ = in.Close(), out.Close()
		return dog{}, err
	}
	var mu sync.Mutex
	left := false
	d.kill = func() { _ = cmd.Process.Kill() } // who is gone is gone
	d.leave = func() {
		mu.Lock()
		left = true
		mu.Unlock()
		_, _ = in.Close(), out.Close()
	}
	d.end = func() {
		_, _ = in.Close(), out.Close()
		mu.Lock()
		defer mu.Unlock()
		if left {
			_ = cmd.Process.Release() // whoever comes after this process reaps it
			return
		}
		d.kill() // it has nothing more to do, and may be stopped
		_ = cmd.Wait()
	}
	return d, nil
}

// dogCommand is this very program as a watchdog, even where another one has taken its place on
// disk since.
func (a *agent) dogCommand() (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, a.cfg.Watchdog...)
	if runtime.GOOS == "linux" {
		cmd.Path = "/proc/self/exe"
	}
	ownSession(cmd)
	return cmd, nil
}

// inside runs a watchdog within this process: it thaws nothing once that is killed.
func (a *agent) inside(d *dog, in, out *os.File) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(a.ctx))
	late := context.AfterFunc(a.ctx, func() { time.AfterFunc(thawRest, cancel) })
	d.kill = cancel
	d.leave = func() { cancel(); _, _ = d.in.Close(), d.out.Close() }
	d.end = func() { _, _ = d.in.Close(), d.out.Close() }
	a.work.Go(func() {
		defer cancel()
		defer late()
		defer in.Close()
		if err := ServeHold(ctx, in, out); err != nil {
			a.log.Error("a hold ended", "error", err)
		}
	})
}
