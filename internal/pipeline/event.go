package pipeline

import (
	"errors"
	"io/fs"
	"sync"
	"syscall"

	"keepward/internal/source"
)

// Event is something worth reporting about one file.
type Event struct {
	Level source.Level
	// Code is stable: file.unreadable, file.changed, file.vanished, file.shrank, file.resumed,
	// dir.unreadable, xattr.failed, include.missing, include.platform, include.resolved,
	// selection.left-out, selection.empty.
	Code string
	Text string
	// Path is as fileindex.Entry has it.
	Path []byte
}

// reports hands events on, one at a time.
type reports struct {
	mu    sync.Mutex
	to    func(Event)
	count *Counters
	quiet func(path []byte) bool // nil: nothing is
}

func (r *reports) event(e Event) {
	switch e.Code {
	case "file.changed", "file.shrank", "file.vanished":
		if r.quiet != nil && r.quiet(e.Path) {
			return
		}
	}
	switch e.Level {
	case source.Error:
		r.count.errors.Add(1)
	case source.Warning:
		r.count.warnings.Add(1)
	}
	if r.to == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to(e)
}

func (r *reports) problem(p source.Problem) {
	r.event(Event{Level: p.Level, Code: p.Code, Text: p.Err.Error(), Path: p.Path})
}

// lost reports a file that has no entry in the point.
func (r *reports) lost(path []byte, err error) {
	if isGone(err) {
		r.event(Event{Level: source.Warning, Code: "file.vanished", Text: "it was gone before it could be read", Path: path})
		return
	}
	r.event(Event{Level: source.Error, Code: "file.unreadable", Text: err.Error() + "; the file is not in this restore point", Path: path})
}

// isGone tells whether an error means that the file is no longer there under its name.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP) ||
		errors.Is(err, syscall.ESTALE) || errors.Is(err, errReplaced)
}

// errReplaced: another kind of file stands where a regular one was listed.
var errReplaced = errors.New("another kind of file has taken its place")
