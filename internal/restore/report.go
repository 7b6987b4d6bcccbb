package restore

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"

	"keepward/internal/errs"
)

// maxListed bounds the events that list what is done, or would be: a person reads the first, and
// counters tell the rest.
const maxListed = 1000

// reporter passes events on, one at a time, and counts them.
type reporter struct {
	c *Counters

	mu      sync.Mutex
	event   func(Event)
	current func([]byte)
	once    map[string]*kindOfLoss
	listed  int
	quiet   bool // what would be done is only counted

	did atomic.Int64 // how much was done
}

// kindOfLoss is a kind of metadata that could not be set, with how often.
type kindOfLoss struct {
	what  string
	err   error
	count int64
}

func (r *reporter) send(e Event) {
	if r.event != nil {
		r.event(e)
	}
}

// fail reports that an entry was not restored.
func (r *reporter) fail(path []byte, err error) {
	r.c.Errors.Add(1)
	code := errs.CodeOf(err)
	if code == "" {
		code = "restore.failed"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.send(Event{Level: "error", Code: code, Text: err.Error(), Path: path})
}

func (r *reporter) warn(code string, path []byte, format string, args ...any) {
	r.c.Warnings.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.send(Event{Level: "warning", Code: code, Text: fmt.Sprintf(format, args...), Path: path})
}

// lose notes that some metadata of an entry could not be set: reported at the first entry
// of a kind, and with the count at the end.
func (r *reporter) lose(code, what string, path []byte, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.once[code]; l != nil {
		l.count++
		return
	}
	if r.once == nil {
		r.once = make(map[string]*kindOfLoss)
	}
	r.once[code] = &kindOfLoss{what: what, err: err, count: 1}
	r.c.Warnings.Add(1)
	r.send(Event{Level: "warning", Code: code, Text: fmt.Sprintf("%s cannot be restored: %v (reported once)", what, err), Path: path})
}

// losses reports how often each kind of metadata could not be set.
func (r *reporter) losses() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for code, l := range r.once {
		if l.count > 1 {
			r.send(Event{Level: "info", Code: code, Text: fmt.Sprintf("%s of %d entries could not be restored: %v", l.what, l.count, l.err)})
		}
	}
}

// would lists what a dry run would do.
func (r *reporter) would(what string, path []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.quiet {
		return
	}
	switch r.listed++; {
	case r.listed <= maxListed:
		r.send(Event{Level: "info", Code: "restore.would", Text: "would " + what, Path: path})
	case r.listed == maxListed+1:
		r.send(Event{Level: "info", Code: "restore.would", Text: "more would follow; the counters tell how many"})
	}
}

// does lists what was done. It costs the many behind the first no lock.
func (r *reporter) does(what string, path func() []byte) {
	n := r.did.Add(1)
	if n > maxListed+1 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if n <= maxListed {
		r.send(Event{Level: "info", Code: "restore.did", Text: what, Path: path()})
	} else {
		r.send(Event{Level: "info", Code: "restore.did", Text: "more follows; the counters tell how much"})
	}
}

func (r *reporter) at(path []byte) {
	if r.current == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current(path)
}

// fatalWrite tells whether an error of the target ends the whole restore: every file after
// it would fail the same way.
func fatalWrite(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EROFS)
}

// maxBadReads is how many reads in a row may fail before the repository's disk, and not a
// place on it, is to blame.
const maxBadReads = 50

// readers tells errors of the store that concern some files from those that concern all.
type readers struct{ bad atomic.Int64 }

// fatal tells whether an error of the store ends the whole restore. A chunk that is missing,
// damaged, or lies on a bad place of the disk concerns only the files that need it.
func (r *readers) fatal(err error) bool {
	if concernsAll(err) {
		return true
	}
	return errs.CodeOf(err) == "repository.io" && r.bad.Add(1) > maxBadReads
}

// concernsAll tells whether an error is about more than the chunk that was asked for.
func concernsAll(err error) bool {
	switch errs.KindOf(err) {
	case errs.NotFound, errs.Corrupt:
		return false
	}
	return errs.CodeOf(err) != "repository.io"
}

func (r *readers) good() { r.bad.Store(0) }
