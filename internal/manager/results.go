package manager

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

// mergeCounters is the higher of both in every field: agent and mover count what they see,
// and all counters only grow.
func mergeCounters(a, b *keepwardv1.Counters) *keepwardv1.Counters {
	if a == nil && b == nil {
		return nil
	}
	out := &keepwardv1.Counters{}
	proto.Merge(out, a)
	to := out.ProtoReflect()
	b.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if v.Int() > to.Get(f).Int() {
			to.Set(f, v)
		}
		return true
	})
	return out
}

// addCounters adds b to a, for a session of several tasks.
func addCounters(a, b *keepwardv1.Counters) *keepwardv1.Counters {
	if a == nil {
		a = &keepwardv1.Counters{}
	}
	to := a.ProtoReflect()
	b.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		to.Set(f, protoreflect.ValueOfInt64(to.Get(f).Int()+v.Int()))
		return true
	})
	return a
}

// mergeProgress is one picture of what both sides report; the agent's words go first.
func mergeProgress(p map[part]*keepwardv1.Progress) *keepwardv1.Progress {
	agent, mover := p[partAgent], p[partMover]
	if agent == nil {
		return mover
	}
	return &keepwardv1.Progress{
		Phase: agent.GetPhase(), Current: agent.GetCurrent(),
		Counters: mergeCounters(agent.GetCounters(), mover.GetCounters()),
	}
}

// damageOf says what a check has found and could not repair, in one sentence; nil: nothing.
func damageOf(r *keepwardv1.CheckReport) *keepwardv1.Failure {
	damaged, files := r.GetMoreFindings(), int64(0)
	for _, f := range r.GetFindings() {
		if f.GetRepaired() == "" {
			damaged++
			files += f.GetAffectedTotal()
		}
	}
	switch {
	case damaged == 0:
		return nil
	case files == 0:
		return damage("the repository has " + count(damaged, "damaged object") + "; no file of a restore point is known to be lost")
	}
	return damage("the repository has " + count(damaged, "damaged object") + ", and " + count(files, "file") + " in restore points cannot be restored")
}

func count(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func damage(text string) *keepwardv1.Failure {
	f := failure(errs.Corrupt, codeDamaged, partMover, text)
	f.Hint = "the session's log names them; the next backup of the same files stores them anew"
	return f
}

// fullPaths puts back the leading slash that paths in an index do not have. Windows names
// begin with a drive; systems tells the system of a computer.
func fullPaths(r *keepwardv1.CheckReport, systems map[string]string) {
	for _, f := range r.GetFindings() {
		for _, a := range f.GetAffected() {
			if len(a.GetPath()) > 0 && systems[a.GetComputer()] != "windows" {
				a.Path = append([]byte{'/'}, a.GetPath()...)
			}
		}
	}
}

// affectedLines names the files that need what a check has found damaged. The finding itself
// has its line from the mover.
func affectedLines(r *keepwardv1.CheckReport) []*keepwardv1.Event {
	var out []*keepwardv1.Event
	for _, f := range r.GetFindings() {
		what := f.GetName()
		if f.GetChunk() != "" {
			what = "chunk " + f.GetChunk() + " in " + f.GetName()
		}
		line := func(path []byte, text string) {
			out = append(out, &keepwardv1.Event{Level: levelInfo, Part: string(partMover), Code: "file.damaged", Path: path, Text: text})
		}
		for _, a := range f.GetAffected() {
			where := "restore point " + a.GetPoint()
			if a.GetComputer() != "" {
				where += " of computer " + a.GetComputer()
			}
			if len(a.GetPath()) == 0 {
				line(nil, where+" as a whole needs "+what)
				continue
			}
			line(a.GetPath(), "in "+where+": needs "+what)
		}
		if more := f.GetAffectedTotal() - int64(len(f.GetAffected())); more > 0 && len(f.GetAffected()) > 0 {
			line(nil, fmt.Sprintf("%d more files need %s", more, what))
		}
	}
	return out
}

// repaired counts the findings of a check that it has put right.
func repaired(r *keepwardv1.CheckReport) (n int64) {
	for _, f := range r.GetFindings() {
		if f.GetRepaired() != "" {
			n++
		}
	}
	return n
}
