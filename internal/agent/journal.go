package agent

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/durable"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/snapshot"
)

// journal keeps which scripts were started here, one file each, so that none is started twice:
// the file is durable before the script begins, and takes its end.
type journal struct{ dir string }

// journalKeep is how long a script is remembered: far longer than any task asks for it.
const journalKeep = 60 * 24 * time.Hour

// scriptKey names a script of a task.
type scriptKey struct {
	task  string
	place job.Place
}

var taskName = regexp.MustCompile(`^[0-9a-zA-Z-]{1,64}$`)

// Each hold of a task has entries of its own, under the task's name and a number.
var holdName = regexp.MustCompile(`^([0-9a-zA-Z-]{1,64})-hold-[0-9a-f]{16}$`)

// holdOf is the name of a new hold of a task.
func holdOf(task string) string { return task + "-hold-" + snapshot.NewID() }

// taskOf is the task of an entry.
func taskOf(entry string) string {
	if m := holdName.FindStringSubmatch(entry); m != nil {
		return m[1]
	}
	return entry
}

// lockSuffix is that of the file by which the holds of a task keep out of each other's way.
const lockSuffix = ".lock"

// check refuses a key that would lead out of the journal's directory.
func (k scriptKey) check() error {
	if !taskName.MatchString(taskOf(k.task)) || !k.place.Known() || k.place.Row().OnServer {
		return errs.New(errs.Invalid, "script.place", "run script: %q is no script of a task %q", k.place, k.task)
	}
	return nil
}

func (j journal) path(k scriptKey) string {
	return filepath.Join(j.dir, k.task+"-"+string(k.place)+".json")
}

// read is the entry of a script; nil: it was never started here.
func (j journal) read(k scriptKey) (*keepwardv1.ScriptEntry, error) {
	b, err := os.ReadFile(j.path(k))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, errs.New(errs.KindOf(err), "script.journal", "read journal of script %s: %w", k.place, err)
	}
	e := &keepwardv1.ScriptEntry{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, e); err != nil {
		// The file was made, so the script may have been started.
		return &keepwardv1.ScriptEntry{Task: k.task, Place: string(k.place)}, nil
	}
	return e, nil
}

// ensure makes the directory.
func (j journal) ensure() error { return os.MkdirAll(j.dir, 0o700) }

// write makes an entry durable.
func (j journal) write(k scriptKey, e *keepwardv1.ScriptEntry) error {
	b, err := protojson.Marshal(e)
	if err == nil {
		err = j.ensure()
	}
	if err == nil {
		err = durable.WriteFile(j.path(k), b, 0o600)
	}
	if err != nil {
		return errs.New(errs.KindOf(err), "script.journal", "write journal of script %s: %w", k.place, err)
	}
	return nil
}

// entries are all scripts that are remembered. What cannot be read is left out.
func (j journal) entries() []*keepwardv1.ScriptEntry {
	files, err := filepath.Glob(filepath.Join(j.dir, "*.json"))
	if err != nil {
		return nil
	}
	var out []*keepwardv1.ScriptEntry
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		e := &keepwardv1.ScriptEntry{}
		if (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, e) == nil {
			out = append(out, e)
		}
	}
	return out
}

// holds are the pre-freezes of a task.
func (j journal) holds(task string) []*keepwardv1.ScriptEntry {
	return slices.DeleteFunc(j.entries(), func(e *keepwardv1.ScriptEntry) bool {
		return job.Place(e.GetPlace()) != job.PreFreeze || taskOf(e.GetTask()) != task
	})
}

// frozen are the pre-freezes of a task, or of the task of a hold, whose post-thaw was not seen to
// end.
func (j journal) frozen(task string) []*keepwardv1.ScriptEntry {
	return slices.DeleteFunc(j.holds(taskOf(task)), j.thawed)
}

// thawed tells whether nothing is left to be thawed of a pre-freeze.
func (j journal) thawed(e *keepwardv1.ScriptEntry) bool {
	if e.GetThaw() == nil {
		return true
	}
	thaw, err := j.read(scriptKey{e.GetTask(), job.PostThaw})
	return err == nil && thaw.GetEnd() != nil
}

// forget removes a hold. If only a part of it goes, that is not what has to be thawed.
func (j journal) forget(hold string) {
	for _, p := range []job.Place{job.PreFreeze, job.PostThaw} {
		if os.Remove(j.path(scriptKey{hold, p})) != nil {
			return // another time
		}
	}
}

// forgetOld removes what nobody asks for any more. It does what it can.
func (j journal) forgetOld(now time.Time) {
	locks, _ := filepath.Glob(filepath.Join(j.dir, "*"+lockSuffix)) // a pattern that is one
	for _, l := range locks {
		if info, err := os.Stat(l); err == nil && now.Sub(info.ModTime()) > journalKeep {
			_ = os.Remove(l)
		}
	}
	for _, e := range j.entries() {
		if now.Sub(e.GetStarted().AsTime()) > journalKeep {
			_ = os.Remove(j.path(scriptKey{e.GetTask(), job.Place(e.GetPlace())}))
		}
	}
}

func newEntry(k scriptKey, s *keepwardv1.Script, variables map[string]string) *keepwardv1.ScriptEntry {
	return &keepwardv1.ScriptEntry{Task: k.task, Place: string(k.place), Script: s, Variables: variables, Started: timestamppb.Now()}
}
