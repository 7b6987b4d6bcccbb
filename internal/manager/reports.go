package manager

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
)

// maxLines bounds one session's log: a disk full of unreadable files must not fill the
// catalog. Behind it lines are counted, not kept.
const maxLines = 100_000

// maxText bounds one line.
const maxText = 4 << 10

// onProgress keeps a node's newest progress for show.
func (t *task) onProgress(x *turn, e evProgress) {
	if !t.current(e.attempt) {
		return
	}
	if t.progress == nil {
		t.progress = map[part]*keepwardv1.Progress{}
	}
	t.progress[e.part] = e.progress
	if _, known := t.typ.Phase(e.progress.GetPhase()); known && e.part == partAgent {
		t.row.Phase = e.progress.GetPhase()
	}
}

// onLines takes a node's lines into the log. What the node says of session, task and part is
// not believed.
func (s *session) onLines(x *turn, t *task, e evLines) {
	if !t.current(e.attempt) {
		return
	}
	for _, line := range e.lines {
		switch line.GetLevel() {
		case levelError:
			t.row.Errors++
		case levelWarning:
			t.row.Warnings++
		}
		room := maxLines - int(s.row.LastSeq) - len(x.events)
		if room < 0 {
			continue
		}
		if room == 0 {
			x.line(t, levelWarning, partServer, "log.full", fmt.Sprintf("the log has %d lines: further ones are counted, not kept", maxLines))
			continue
		}
		keep := proto.CloneOf(line)
		at := keep.Time
		keep.Part, keep.From, keep.To, keep.Actor = string(e.part), "", "", ""
		if keep.Level != levelError && keep.Level != levelWarning {
			keep.Level = levelInfo
		}
		keep.Text = keep.Text[:min(len(keep.Text), maxText)]
		x.add(t, keep)
		if at.IsValid() {
			keep.Time = at
		}
	}
	x.dirty = true
}
