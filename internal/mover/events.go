package mover

import (
	"os"
	"path/filepath"
	"sync"

	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

// maxEvents bounds what a mover says: refused strangers could go on for ever.
const maxEvents = 2000

// events is the mover's log: in memory for the transport that listens, in a file for one
// that comes back later.
type events struct {
	mu      sync.Mutex
	file    *os.File
	list    []*keepwardv1.Event
	changed chan struct{} // closed and replaced at every event
}

func openEvents(directory string) (*events, error) {
	f, err := os.OpenFile(filepath.Join(directory, FileEvents), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, errs.New(errs.KindOf(err), "mover.events", "write mover's events: %w", err)
	}
	return &events{file: f, changed: make(chan struct{})}, nil
}

func (e *events) add(level, code, text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case len(e.list) > maxEvents:
		return
	case len(e.list) == maxEvents:
		level, code, text = "warning", "events.dropped", "further events of this mover are not kept"
	}
	ev := &keepwardv1.Event{Seq: int64(len(e.list)) + 1, Time: timestamppb.Now(), Level: level, Part: "mover", Code: code, Text: text}
	e.list = append(e.list, ev)
	// A full disk must not end the task; the transport hears it anyway while it listens.
	_, _ = protodelim.MarshalTo(e.file, ev)
	close(e.changed)
	e.changed = make(chan struct{})
}

// after answers the events behind seq and a channel that is closed at the next one.
func (e *events) after(seq int64) ([]*keepwardv1.Event, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	from := min(max(seq, 0), int64(len(e.list)))
	return e.list[from:len(e.list):len(e.list)], e.changed
}

func (e *events) close() {
	_ = e.file.Sync()
	_ = e.file.Close()
}

// ReadEvents reads the events that the mover in directory has left, as far as they are
// whole.
func ReadEvents(directory string) []*keepwardv1.Event {
	f, err := os.Open(filepath.Join(directory, FileEvents))
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	return decodeEvents(f)
}
