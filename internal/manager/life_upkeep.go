package manager

import (
	"fmt"
	"strconv"

	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/job"
)

// This file is a task of retention, whose work the server does itself, and one of a sweep, which
// may have to wait in the middle for attempts that write to its repository.

// onAged takes what a retention has done. A part of it stands even if the rest failed.
func (t *task) onAged(x *turn, e evAged) {
	if !t.current(e.attempt) {
		return
	}
	if e.report != nil {
		t.report().Retention = addRetention(t.row.Report.GetRetention(), e.report)
	}
	for _, line := range e.lines {
		if line.GetLevel() == levelWarning {
			t.row.Warnings++
		}
		x.add(t, line)
	}
	x.dirty = true
	t.att.mover.asked = false
	switch {
	case leaving(t.row.Status):
		t.leave(x)
	case e.failure != nil:
		t.fail(x, withPart(e.failure, partServer))
	default:
		t.complete(x)
	}
}

// addRetention sums two runs of one session: the second has seen what the first left.
func addRetention(first, second *keepwardv1.RetentionReport) *keepwardv1.RetentionReport {
	sum := proto.CloneOf(second)
	sum.Points = max(first.GetPoints(), second.GetPoints())
	sum.Deleted += first.GetDeleted()
	sum.FreedBytes += first.GetFreedBytes()
	return sum
}

func (t *task) report() *keepwardv1.TaskReport {
	if t.row.Report == nil {
		t.row.Report = &keepwardv1.TaskReport{}
	} else {
		t.row.Report = proto.CloneOf(t.row.Report) // who watches holds the old one
	}
	return t.row.Report
}

// swept takes the report of a sweep's mover, and tells whether the sweep is done. Where attempts
// are unsettled that were opened before the sweep's generation, nothing may be deleted yet: the
// task gives its set back, waits for those that work and has the others settled, and goes on.
func (t *task) swept(x *turn) bool {
	r := t.att.mover.end.GetSweep()
	t.takeSwept(x, r)
	if len(r.GetUnsettled()) == 0 {
		if t.row.Report.GetSweep() != nil {
			x.line(t, levelInfo, partServer, "sweep.report", sweepText(t.row.Report.GetSweep()))
		}
		return true
	}
	t.att.row.Settled = catalog.SettledEnded
	if t.row.Status == job.RunningUnverified {
		t.move(x, job.Running, job.Reason{}, "", bySelf)
	}
	t.unsettled = r.GetUnsettled()
	t.move(x, job.Waiting, job.Reason{}, "attempts that began before it have not ended: "+count(int64(len(t.unsettled)), "attempt"), bySelf)
	t.clear(x)
	return false
}

// takeSwept takes over what a sweep's mover says it did.
func (t *task) takeSwept(x *turn, r *keepwardv1.SweepReport) {
	if r == nil || t.typ != job.Sweep {
		return
	}
	t.report().Sweep = addSweep(t.row.Report.GetSweep(), r)
	x.purged = append(x.purged, r.GetPurged()...)
	x.dirty = true
}

// clear has the attempts settled that nobody works on.
func (t *task) clear(x *turn) {
	if t.clearing {
		return
	}
	t.clearing = true
	x.order(order{do: doClear, task: t, attempt: t.att, unsettled: t.unsettled})
}

func (t *task) onCleared(x *turn, e evCleared) {
	t.clearing = false
	for _, line := range e.lines {
		x.add(t, line)
	}
	if t.row.Status != job.Waiting || len(t.unsettled) == 0 {
		return
	}
	if e.failure != nil {
		x.line(t, levelWarning, partServer, "attempt.unsettled", e.failure.GetMessage())
		t.delay(x, job.Because(job.RepositoryOffline, t.row.Repository))
		t.retryAt = x.now.Add(x.set.Silence)
		return
	}
	t.goOnWhenSettled(x, e.open)
}

// goOnWhenSettled orders the sweep again, unless an attempt that it waits for still works.
func (t *task) goOnWhenSettled(x *turn, open int64) {
	switch {
	case t.clearing:
	case open != 0:
		t.delay(x, job.Because(job.Conflict, strconv.FormatInt(open, 10)))
	default:
		t.unsettled = nil
		t.want(x)
	}
}

// addSweep sums the reports of a sweep that was ordered several times: what it did adds up, how
// things stand is as last seen.
func addSweep(first, last *keepwardv1.SweepReport) *keepwardv1.SweepReport {
	if first == nil || last == nil {
		if last == nil {
			return first
		}
		return last
	}
	sum := proto.CloneOf(last)
	sum.Purged = append(append([]string(nil), first.GetPurged()...), last.GetPurged()...)
	sum.PurgedPoints += first.GetPurgedPoints()
	sum.DeletedPacks += first.GetDeletedPacks()
	sum.DeletedBytes += first.GetDeletedBytes()
	sum.RewrittenPacks += first.GetRewrittenPacks()
	sum.RewrittenBytes += first.GetRewrittenBytes()
	sum.WrittenBytes += first.GetWrittenBytes()
	sum.MergedSegments += first.GetMergedSegments()
	sum.RemovedObjects += first.GetRemovedObjects()
	sum.RecompressedBytes += first.GetRecompressedBytes()
	sum.PunchedBytes += first.GetPunchedBytes()
	return sum
}

// sweepText says a sweep's report in one line.
func sweepText(r *keepwardv1.SweepReport) string {
	text := fmt.Sprintf("purged %s, deleted %s (%d bytes), spared %s; %d bytes are in use, %d were not",
		count(r.GetPurgedPoints(), "restore point"), count(r.GetDeletedPacks(), "pack"), r.GetDeletedBytes(),
		count(r.GetSparedPacks(), "pack"), r.GetLiveBytes(), r.GetDeadBytes())
	if r.GetRewrittenPacks() > 0 {
		text += fmt.Sprintf("; rewrote %s from %d to %d bytes", count(r.GetRewrittenPacks(), "pack"), r.GetRewrittenBytes(), r.GetWrittenBytes())
	}
	if r.GetRecompressedBytes() > 0 {
		text += fmt.Sprintf("; what was compressed fast is %d bytes smaller", r.GetRecompressedBytes())
	}
	if r.GetMergedSegments() > 0 {
		text += fmt.Sprintf("; joined %s, %d are left", count(r.GetMergedSegments(), "index segment"), r.GetSegments())
	}
	return text
}
