package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/term"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
	"keepward/internal/words"
)

// progress shows how a session goes on: on a terminal one moving line, else a line now
// and then. It goes to standard error: the answer of the command is not it.
type progress struct {
	a     *app
	width int // of the terminal; 0: there is none
	next  time.Time
	drawn bool
	rate  words.Rate
	waits *waiting
}

// Lines that do not move come at this distance.
const lineEvery = 10 * time.Second

func (a *app) newProgress(waits *waiting) *progress {
	p := &progress{a: a, next: a.now().Add(lineEvery), waits: waits}
	if f, ok := terminal(a.errOut); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			p.width = w
		}
	}
	return p
}

func (p *progress) show(ctx context.Context, s *keepwardv1.Session) {
	if p.a.quiet || job.Status(s.GetStatus()).Final() {
		return
	}
	if !p.a.format.machine() {
		for _, line := range p.waits.news(ctx, s) {
			p.clear()
			p.a.remark("%s", line)
		}
	}
	now := p.a.now()
	n := s.GetProgress().GetCounters()
	p.rate.Add(now, through(n))
	p.draw(now, p.a.progressLine(s, p.rate.PerSecond()))
}

// draw shows a line: at once on a terminal, else now and then.
func (p *progress) draw(now time.Time, line string) {
	line = safe(line)
	if p.width > 0 {
		if r := []rune(line); len(r) >= p.width {
			line = string(r[:p.width-1])
		}
		fmt.Fprintf(p.a.errOut, "\r%s\x1b[K", line)
		p.drawn = true
		return
	}
	if now.Before(p.next) {
		return
	}
	p.next = now.Add(lineEvery)
	fmt.Fprintln(p.a.errOut, line)
}

// clear takes the moving line away.
func (p *progress) clear() {
	if p.drawn {
		fmt.Fprint(p.a.errOut, "\r\x1b[K")
		p.drawn = false
	}
}

// progressLine is phase, percent, files and bytes done of total, rate, time left and
// files with errors; what is not known is left out.
func (a *app) progressLine(s *keepwardv1.Session, perSecond int64) string {
	n := s.GetProgress().GetCounters()
	what := s.GetStatus()
	if s.GetPhase() != "" && what == "Running" {
		what = s.GetPhase()
	}
	parts := []string{fmt.Sprintf("session %d", s.GetId()), what}
	if reason := a.why(s.GetReason(), nil); reason != "" && what != s.GetPhase() {
		parts = append(parts, reason)
	}
	files, bytes := n.GetTotalFiles(), n.GetTotalBytes()
	if n.GetDoneBytes() > bytes || n.GetDoneFiles() > files {
		files, bytes = 0, 0 // the totals are those of the point before, and there is more now
	}
	done := through(n)
	if bytes > 0 {
		parts = append(parts, fmt.Sprintf("%d %%", done*100/bytes))
	}
	parts = append(parts, doneOf(count(n.GetDoneFiles()), files, count)+" "+counted(s.GetType()), doneOf(size(done), bytes, size))
	if perSecond > 0 {
		parts = append(parts, size(perSecond)+"/s")
		if left := bytes - done; left > 0 {
			parts = append(parts, span(time.Duration(left/perSecond)*time.Second)+" left")
		}
	}
	if n.GetErrors() > 0 {
		parts = append(parts, count(n.GetErrors())+" with errors")
	}
	return strings.Join(parts, " · ")
}

// counted is what a type of session counts as it goes.
func counted(typ string) string {
	switch job.Type(typ) {
	case job.Backup, job.ServerBackup, job.Restore, "":
		return "files and directories"
	}
	return "objects"
}

func doneOf(done string, total int64, show func(int64) string) string {
	if total == 0 {
		return done
	}
	return done + " of " + show(total)
}
