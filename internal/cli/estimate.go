package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
)

// asks tells whether there is a person who can be asked.
func (a *app) asks() bool {
	_, in := terminal(a.in)
	_, out := terminal(a.errOut)
	return in && out && !a.quiet && !a.format.machine()
}

// estimate runs a session that only counts, and puts what it found together with the speed of
// restores so far.
func (a *app) estimate(ctx context.Context, c *client, req *keepwardv1.RestoreFilesRequest) (*keepwardv1.RestoreEstimate, error) {
	dry := proto.CloneOf(req)
	dry.Estimate, dry.DryRun, dry.Verify = true, true, false
	m, err := call(ctx, c.restores.RestoreFiles, dry)
	if err != nil {
		return nil, err
	}
	p := a.newProgress(a.newWaiting(c, "Ctrl-C gives up"))
	last, err := a.watch(ctx, c, m.GetSession(), func(s *keepwardv1.Session) error { p.show(ctx, s); return nil })
	p.clear()
	if err != nil {
		if isInterrupt(ctx, err) {
			a.dropEstimate(ctx, c, m.GetSession())
		}
		return nil, err
	}
	if sessionExit(last.GetStatus()) == exitFailed {
		return nil, a.sessionEnd(last)
	}
	n := last.GetProgress().GetCounters()
	e := &keepwardv1.RestoreEstimate{
		Computer: req.GetComputer(), TargetComputer: cmp.Or(req.GetTargetComputer(), req.GetComputer()), Session: last.GetId(),
		Files: n.GetDoneFiles(), Bytes: n.GetDoneBytes(), RightFiles: n.GetSkippedFiles(), RightBytes: n.GetSkippedBytes(),
		Dirs: n.GetDoneDirs(), RightDirs: n.GetSkippedDirs(),
		FetchChunks: n.GetFetchChunks(), FetchBytes: n.GetFetchBytes(), FetchPacks: n.GetFetchPacks(),
	}
	if len(last.GetTasks()) > 0 {
		e.Point = last.GetTasks()[0].GetPoint()
	}
	if g, err := call(ctx, c.points.GetPoint, &keepwardv1.GetPointRequest{Name: cmp.Or(e.GetPoint(), req.GetPoint()), Computer: req.GetComputer()}); err == nil {
		e.Point, e.Time = g.GetPoint().GetId(), g.GetPoint().GetTime()
	}
	list, err := call(ctx, c.sessions.ListSessions, &keepwardv1.ListSessionsRequest{Limit: ratedSessions})
	if err != nil {
		return nil, err
	}
	e.Rate, e.RateSession = restoreRate(list.GetSessions(), e.GetTargetComputer())
	if e.GetRate() > 0 {
		took := startUp + time.Duration(float64(e.GetBytes()-e.GetRightBytes())/float64(e.GetRate())*float64(time.Second))
		e.Expected = durationpb.New(took.Round(time.Second))
	}
	return e, nil
}

// dropEstimate ends a session that nobody waits for any more.
func (a *app) dropEstimate(ctx context.Context, c *client, id int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, err := call(ctx, c.sessions.KillSession, &keepwardv1.KillSessionRequest{Id: id}); err != nil {
		a.remark("session %d, which only counts, goes on", id)
	}
}

const (
	// ratedSessions is how far back an estimate looks for a restore to go by.
	ratedSessions = 500
	// ratedBytes is what a restore must have written to say something about speed.
	ratedBytes = 16 << 20
	// startUp is what a session takes beside its bytes.
	startUp = time.Second
)

// restoreRate is the bytes a second of the newest restore to a computer that wrote enough to
// tell, else of the newest to any; 0: there is none.
func restoreRate(newestFirst []*keepwardv1.Session, target string) (perSecond, session int64) {
	for _, s := range newestFirst {
		n := s.GetProgress().GetCounters()
		written := n.GetDoneBytes() - n.GetSkippedBytes()
		took := s.GetEnded().AsTime().Sub(s.GetStarted().AsTime())
		switch {
		case s.GetType() != string(job.Restore) || s.GetStarted() == nil || s.GetEnded() == nil || sessionExit(s.GetStatus()) == exitFailed:
			continue
		// What only counted has sent little but the list of files.
		case written < ratedBytes || n.GetSentBytes() < written/100 || took <= 0:
			continue
		}
		rate := int64(float64(written) / took.Seconds())
		if slices.Contains(computersOf(s), target) {
			return rate, s.GetId()
		}
		if perSecond == 0 {
			perSecond, session = rate, s.GetId()
		}
	}
	return perSecond, session
}

func (a *app) showEstimate(w io.Writer, e *keepwardv1.RestoreEstimate) {
	amount := func(all, dirs, bytes int64) string { return entries(all, dirs) + ", " + size(bytes) }
	expected := "not known: there was no restore to go by"
	if e.GetRate() > 0 {
		expected = fmt.Sprintf("about %s, at the %s/s of session %d", span(e.GetExpected().AsDuration()), size(e.GetRate()), e.GetRateSession())
	}
	for _, f := range [][2]string{
		{"restore point", fmt.Sprintf("%s of %s, %s", e.GetPoint()[:min(shortID, len(e.GetPoint()))], e.GetComputer(), a.stamp(e.GetTime()))},
		{"to", e.GetTargetComputer()},
		{"chosen", amount(e.GetFiles(), e.GetDirs(), e.GetBytes())},
		{"left as is", amount(e.GetRightFiles(), e.GetRightDirs(), e.GetRightBytes())},
		{"to write", amount(e.GetFiles()-e.GetRightFiles(), e.GetDirs()-e.GetRightDirs(), e.GetBytes()-e.GetRightBytes())},
		{"to fetch", fmt.Sprintf("%s, %s of %s", size(e.GetFetchBytes()), plural(e.GetFetchChunks(), "chunk"), plural(e.GetFetchPacks(), "pack"))},
		{"expected time", expected},
	} {
		fmt.Fprintf(w, "%-14s %s\n", f[0], safe(f[1]))
	}
}
