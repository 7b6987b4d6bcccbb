package script

import (
	"fmt"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
)

// Line is a line for a session's log.
type Line struct{ Level, Code, Text string }

// Lines say what a script did: what it printed, then how it ended. goesOn: its failure does not end
// the task.
func Lines(p job.Place, s *keepwardv1.Script, end *keepwardv1.ScriptEnd, goesOn bool) []Line {
	out := make([]Line, 0, len(end.GetOutput())+1)
	for _, text := range end.GetOutput() {
		out = append(out, Line{"info", "script.output", string(p) + ": " + text})
	}
	f := end.GetFailure()
	if f == nil {
		took := end.GetEnded().AsTime().Sub(end.GetStarted().AsTime()).Round(time.Millisecond)
		return append(out, Line{"info", "script.done", fmt.Sprintf("%s: %s is done after %s", p, s.GetPath(), took)})
	}
	level := "error"
	if goesOn || !p.Row().Gates {
		level = "warning"
	}
	return append(out, Line{level, f.GetCode(), string(p) + ": " + f.GetMessage()})
}
