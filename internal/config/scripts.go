package config

import (
	"path/filepath"
	"strings"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
)

// allScripts has a script at every place, for who reads them.
func allScripts() *keepwardv1.Scripts {
	s := &keepwardv1.Scripts{}
	for _, r := range job.Scripts {
		*ScriptAt(s, r.Place) = &keepwardv1.Script{}
	}
	return s
}

// ScriptAt is where the script of a place stands in s; nil where p is no place.
func ScriptAt(s *keepwardv1.Scripts, p job.Place) **keepwardv1.Script {
	switch p {
	case job.ServerBefore:
		return &s.ServerBefore
	case job.AgentBefore:
		return &s.AgentBefore
	case job.PreFreeze:
		return &s.PreFreeze
	case job.PostThaw:
		return &s.PostThaw
	case job.AgentAfter:
		return &s.AgentAfter
	case job.ServerAfter:
		return &s.ServerAfter
	}
	return nil
}

// scriptFields are the fields of a job's scripts, one group for each place.
func scriptFields(s *keepwardv1.Scripts) []field {
	if s == nil {
		s = &keepwardv1.Scripts{} // to write and compare; a reader brings its own
	}
	var out []field
	for _, r := range job.Scripts {
		one := *ScriptAt(s, r.Place)
		if one == nil {
			one = &keepwardv1.Script{}
		}
		out = append(out, field{name: r.Field, value: []field{
			{name: "path", value: &one.Path},
			{name: "arguments", value: &one.Arguments},
			{name: "time_limit", value: &one.TimeLimit},
			{name: "go_on", value: &one.GoOn},
		}})
	}
	return out
}

// completeScripts drops the places at which nothing is said.
func completeScripts(j *keepwardv1.Job) {
	if j.Scripts == nil {
		return
	}
	some := false
	for _, r := range job.Scripts {
		at := ScriptAt(j.Scripts, r.Place)
		if s := *at; s.GetPath() == "" && len(s.GetArguments()) == 0 && s.GetTimeLimit().AsDuration() == 0 && !s.GetGoOn() {
			*at = nil
		}
		some = some || *at != nil
	}
	if !some {
		j.Scripts = nil
	}
}

const (
	argumentsMost = 256
	argumentMost  = 4 << 10
)

func (f *faults) scripts(j *keepwardv1.Job) {
	if j.Scripts == nil {
		return
	}
	for _, r := range job.Scripts {
		if s := *ScriptAt(j.Scripts, r.Place); s != nil {
			f.script(j, r, s)
		}
	}
}

func (f *faults) script(j *keepwardv1.Job, r job.ScriptRow, s *keepwardv1.Script) {
	field := "scripts." + r.Field
	bad := func(sub, format string, args ...any) {
		f.invalid(field+"."+sub, "job.scripts", "check job %q: script %s: "+format, append([]any{j.Name, r.Place}, args...)...)
	}
	switch {
	case s.Path == "":
		bad("path", "it has no path")
	case strings.ContainsRune(s.Path, 0):
		bad("path", "the path has a zero byte")
	case r.OnServer && !localName(s.Path):
		bad("path", "%q is no name below the server's folder of scripts; others do not run there", s.Path)
	case !r.OnServer && !job.Absolute(s.Path):
		bad("path", "the path %q is not absolute", s.Path)
	}
	if len(s.Arguments) > argumentsMost {
		bad("arguments", "at most %d arguments, not %d", argumentsMost, len(s.Arguments))
	}
	for _, a := range s.Arguments {
		if len(a) > argumentMost || strings.ContainsRune(a, 0) {
			bad("arguments", "an argument is longer than %d bytes, or has a zero byte", argumentMost)
			break
		}
	}
	if d := s.TimeLimit.AsDuration(); d < 0 || d > job.MaxScriptLimit {
		bad("time_limit", "the time limit must be 0 (default) to %s, not %s", FormatDuration(job.MaxScriptLimit), d)
	}
	if s.GoOn && !r.Gates {
		bad("go_on", "its failure never ends the task, so there is nothing to go on with")
	}
}

// localName tells whether a path leads nowhere but below the folder it is taken from.
func localName(path string) bool {
	return filepath.IsLocal(filepath.FromSlash(path)) && !strings.ContainsAny(path, `\:`) && path != "."
}
