package mover

import (
	"encoding/json"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/durable"
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
		err = durable.WriteFile(filepath.Join(t.order.GetDirectory(), FileState), append(b, '\n'), 0o600)
	}
	if err != nil {
		return errs.New(errs.KindOf(err), "mover.state", "write mover's state: %w", err)
	}
	return nil
}
