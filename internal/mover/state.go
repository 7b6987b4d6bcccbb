package mover

import (
	"encoding/json"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

// The files of a mover in its directory, D/movers/<attempt>.
const (
	FileState   = "state.json"   // State; there once the process runs
	FileEnd     = "end.pb"       // AttemptEnd; there once it has ended
	FileEvents  = "events.pb"    // delimited Events, seq from 1
	FileLog     = "mover.log"    // its standard error
	SocketName  = "control.sock" // MoverService
	SocketAgent = "data.sock"    // data connection of an agent on this host
)

// State is how a transport that was restarted finds its movers again.
type State struct {
	Attempt string `json:"attempt"`
	Task    string `json:"task"`
	Session int64  `json:"session"`
	Mode    string `json:"mode"`
	// PID is only this process's together with Boot and Started.
	PID     int    `json:"pid"`
	Boot    string `json:"boot"`
	Started uint64 `json:"started"`
	Address string `json:"address,omitempty"`
	Socket  string `json:"socket,omitempty"`
}

// ReadState reads the state of the mover in directory.
func ReadState(directory string) (State, error) {
	var s State
	b, err := os.ReadFile(filepath.Join(directory, FileState))
	if err != nil {
		return s, errs.New(errs.KindOf(err), "mover.state", "read mover's state: %w", err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, errs.New(errs.Corrupt, "mover.state", "read mover's state in %s: %w", directory, err)
	}
	return s, nil
}

// ReadEnd reads the end of the mover in directory; an error of kind NotFound if it has left
// none.
func ReadEnd(directory string) (*keepwardv1.AttemptEnd, error) {
	b, err := os.ReadFile(filepath.Join(directory, FileEnd))
	if err != nil {
		return nil, errs.New(errs.KindOf(err), "mover.end", "read mover's end: %w", err)
	}
	end := &keepwardv1.AttemptEnd{}
	if err := proto.Unmarshal(b, end); err != nil {
		return nil, errs.New(errs.Corrupt, "mover.end", "read mover's end in %s: %w", directory, err)
	}
	return end, nil
}

func (t *task) writeState() error {
	b, err := json.MarshalIndent(t.state, "", "  ")
	if err == nil {
		err = t.writeFile(FileState, append(b, '\n'))
	}
	if err != nil {
		return errs.New(errs.KindOf(err), "mover.state", "write mover's state: %w", err)
	}
	return nil
}

// writeFile is atomic and durable.
func (t *task) writeFile(name string, content []byte) error {
	path := filepath.Join(t.order.GetDirectory(), name)
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		err = syncDir(t.order.GetDirectory())
	}
	return err
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}
