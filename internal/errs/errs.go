// Package errs gives errors a kind that survives the wire, a stable code and a hint.
//
// It is for errors that cross a boundary: a package's API, a process, the screen.
// It is not for errors that only the next line looks at. An Error is immutable once
// made, so it may be shared between goroutines.
package errs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// Kind says what sort of failure it is, and with that what the caller may do about it.
type Kind string

// The kinds. They are the words on the wire: never rename one.
const (
	NotFound    Kind = "not found"
	Exists      Kind = "exists"
	Busy        Kind = "busy"        // in use now; the same call may work later
	Denied      Kind = "denied"      // not allowed, or not authenticated
	Unavailable Kind = "unavailable" // the other end cannot be reached or has gone
	Corrupt     Kind = "corrupt"     // bytes are not what they must be
	Invalid     Kind = "invalid"     // the caller's words are wrong
	Cancelled   Kind = "cancelled"
	NoSpace     Kind = "no space" // the target is full
	Internal    Kind = "internal" // a defect of Keepward
)

// Error is what was tried and on what, with its kind.
type Error struct {
	Kind Kind
	// Code is stable and documented in docs/errors.md, e.g. "repository.not-empty"; may be empty.
	Code string
	// Hint says what to do about it; may be empty.
	Hint string

	err error // the whole text; wraps the cause
}

func (e *Error) Error() string { return e.err.Error() }
func (e *Error) Unwrap() error { return e.err }

// New makes an error of a kind. format says what was tried and on what, lower case, no
// full stop; a %w verb keeps the cause.
func New(kind Kind, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, err: fmt.Errorf(format, args...)}
}

// WithHint returns a copy of e that also says what to do.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// KindOf is the kind of the outermost Error in err's chain; of the standard library's
// and the system's errors the kind that fits; else Internal. KindOf(nil) is "".
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	switch {
	case errors.Is(err, context.Canceled):
		return Cancelled
	case errors.Is(err, context.DeadlineExceeded):
		return Unavailable
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return NoSpace
	case errors.Is(err, fs.ErrNotExist):
		return NotFound
	case errors.Is(err, fs.ErrExist):
		return Exists
	case errors.Is(err, fs.ErrPermission):
		return Denied
	}
	return Internal
}

// CodeOf is the stable code of the outermost Error in err's chain, or "".
func CodeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// HintOf is the first hint in err's chain, or "".
func HintOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.err
	}
	return ""
}
