package cli

import (
	"encoding/json"
	"errors"
	"fmt"

	"keepward/internal/errs"
	"keepward/internal/job"
)

// The exit statuses. Scripts rely on them.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitLeftOut     = 3
	exitNotFound    = 4
	exitDenied      = 5
	exitNoServer    = 6
	exitInterrupted = 130
)

// codeUnreachable is the code of an error that no server has answered.
const codeUnreachable = "server.unreachable"

// statusError ends the command with a status of its own; everything to say has been
// said when the error in it is nil.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}
func (e *statusError) Unwrap() error { return e.err }

// exitCode maps an error to the exit status.
func exitCode(err error) int {
	var s *statusError
	if errors.As(err, &s) {
		return s.status
	}
	switch errs.KindOf(err) {
	case errs.Invalid:
		return exitUsage
	case errs.NotFound:
		return exitNotFound
	case errs.Denied:
		return exitDenied
	case errs.Cancelled:
		return exitInterrupted
	case errs.Unavailable:
		if errs.CodeOf(err) == codeUnreachable {
			return exitNoServer
		}
	}
	return exitFailed
}

// sessionExit maps the final status of a session to the exit status.
func sessionExit(status string) int {
	switch job.Status(status).Result() {
	case job.ResultSuccess:
		return exitDone
	case job.ResultWarning:
		return exitLeftOut
	}
	return exitFailed
}

// printError writes one sentence and a hint, or the same as JSON.
func (a *app) printError(err error) {
	var s *statusError
	if errors.As(err, &s) && s.err == nil {
		return
	}
	if a.format == formatJSON {
		a.printErrorJSON(err)
		return
	}
	fmt.Fprintf(a.errOut, "keepward: %s\n", safe(err.Error()))
	if hint := errs.HintOf(err); hint != "" {
		fmt.Fprintf(a.errOut, "hint: %s\n", safe(hint))
	}
}

func (a *app) printErrorJSON(err error) {
	type failure struct {
		Kind    errs.Kind `json:"kind"`
		Code    string    `json:"code"`
		Message string    `json:"message"`
		Hint    string    `json:"hint"`
	}
	text, jerr := json.Marshal(struct {
		Error failure `json:"error"`
	}{failure{errs.KindOf(err), errs.CodeOf(err), err.Error(), errs.HintOf(err)}})
	if jerr == nil {
		fmt.Fprintf(a.errOut, "%s\n", text)
	}
}
