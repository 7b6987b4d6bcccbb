package manager

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/job"
)

// maxLines bounds one session's log: a disk full of unreadable files must not fill the
// catalog. Behind it lines are counted, not kept.
const maxLines = 100_000

// maxText bounds one line. A path may be longer than the system takes at once, a code not.
const (
	maxText = 4 << 10
	maxPath = 64 << 10
	maxCode = 64
)

// onProgress keeps a node's newest progress for show.
func (t *task) onProgress(x *turn, e evProgress) {
	if !t.current(e.attempt) {
		return
	}
	if t.progress == nil {
		t.progress = map[part]*keepwardv1.Progress{}
	}
	t.progress[e.part] = e.progress
	t.keepPace(x)
	if _, known := t.typ.Phase(e.progress.GetPhase()); known && e.part == partAgent {
		t.row.Phase = e.progress.GetPhase()
	}
	if e.part == partAgent && t.row.Status == job.Running {
		t.retries(x, e.progress.GetReason())
	}
}

// retries shows that the agent tries a snapshot again, as long as it does.
func (t *task) retries(x *turn, r *keepwardv1.Reason) {
	switch shown := job.Code(t.row.Reason.GetCode()); {
	case job.Code(r.GetCode()) == job.SnapshotRetry && len(r.GetArgs()) == 2:
		t.delay(x, job.Because(job.SnapshotRetry, r.GetArgs()...))
	case shown == job.SnapshotRetry:
		t.delay(x, job.Reason{})
	}
}

// onLines takes a node's lines into the log, each once: a node that was started anew reports
// again what it cannot know to be kept.
func (s *session) onLines(ctx context.Context, x *turn, t *task, e evLines) error {
	if !t.current(e.attempt) {
		return nil
	}
	newest := t.newest[e.part]
	var fresh []*keepwardv1.Event
	for _, raw := range e.lines {
		line := clean(raw, t, e.part, x.now)
		at := line.GetTime().AsTime()
		if t.loaded || !at.After(newest) {
			known, err := catalog.HasEvent(ctx, s.m.deps.DB.Read(), line)
			if err != nil {
				return err // nothing is changed yet, and the node reports them again
			}
			if known {
				continue
			}
		}
		if at.After(newest) {
			newest = at
		}
		fresh = append(fresh, line)
	}
	if t.newest == nil {
		t.newest = map[part]time.Time{}
	}
	t.newest[e.part] = newest
	for _, line := range fresh {
		s.keepLine(x, t, line)
	}
	return nil
}

// clean is a line as it is kept. What the node says of session, task and part is not believed.
func clean(raw *keepwardv1.Event, t *task, p part, now time.Time) *keepwardv1.Event {
	line := proto.CloneOf(raw)
	line.Seq, line.Session, line.Task, line.Part = 0, t.row.Session, t.row.ID, string(p)
	line.From, line.To, line.Actor = "", "", ""
	if line.Level != levelError && line.Level != levelWarning {
		line.Level = levelInfo
	}
	line.PathText = ""
	line.Text, line.Code = shortened(line.Text, maxText), shortened(line.Code, maxCode)
	line.Path = line.Path[:min(len(line.Path), maxPath)]
	if !line.Time.IsValid() {
		line.Time = timestamppb.New(now)
	}
	if len(line.Path) == 0 {
		line.Path = nil
	}
	return line
}

func shortened(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}

func (s *session) keepLine(x *turn, t *task, line *keepwardv1.Event) {
	switch line.GetLevel() {
	case levelError:
		t.row.Errors++
	case levelWarning:
		t.row.Warnings++
	}
	x.dirty = true
	switch room := maxLines - int(s.row.LastSeq) - len(x.events); {
	case room > 0:
		x.events = append(x.events, line)
	case room == 0:
		x.line(t, levelWarning, partServer, "session.log-full", fmt.Sprintf("the log has %d lines: further ones are counted, not kept", maxLines))
	}
}
