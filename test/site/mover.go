package site

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Mover is a data mover process of a transport, found as an administrator would: by
// the state files in the transport's data directory.
type Mover struct {
	Pid     int
	Attempt string
	Mode    string // what it is for: backup, sweep, ...
	Address string
}

// Movers are the movers of a transport that live.
func Movers(transport *Proc) []Mover {
	files, _ := filepath.Glob(filepath.Join(transport.DataDir, "movers", "*", "state.json")) // the pattern is well-formed
	var live []Mover
	for _, f := range files {
		var state struct {
			Pid     int    `json:"pid"`
			Mode    string `json:"mode"`
			Address string `json:"address"`
		}
		b, err := os.ReadFile(f)
		if err != nil || json.Unmarshal(b, &state) != nil || state.Pid == 0 {
			continue // it is just being written or removed
		}
		m := Mover{Pid: state.Pid, Attempt: filepath.Base(filepath.Dir(f)), Mode: state.Mode, Address: state.Address}
		if m.Alive() {
			live = append(live, m)
		}
	}
	return live
}

// Alive says whether the process is still the mover that it was, and no zombie.
func (m Mover) Alive() bool {
	proc := filepath.Join("/proc", strconv.Itoa(m.Pid))
	args, err := os.ReadFile(filepath.Join(proc, "cmdline"))
	return err == nil && strings.Contains(string(args), "\x00mover\x00")
}

// Kill is kill -9, and waits until it is gone.
func (m Mover) Kill() {
	if !m.Alive() {
		return
	}
	_ = syscall.Kill(m.Pid, syscall.SIGKILL) // gone already is as good
	_ = Until(readyWithin, "end of the mover", func() (bool, error) { return !m.Alive(), nil })
}

// WaitMover waits for a live mover of the transport.
func WaitMover(transport *Proc, within time.Duration) (m Mover, err error) {
	err = Until(within, "mover", func() (bool, error) {
		live := Movers(transport)
		if len(live) > 0 {
			m = live[0]
		}
		return len(live) > 0, nil
	})
	return m, err
}
