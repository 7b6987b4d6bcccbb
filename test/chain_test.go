package test

import (
	"bufio"
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/test/site"
)

// One job follows another, in a circle never; a computer that comes online is backed up; and what
// ran is found, counted and summed up.
func TestJobsFollowEachOtherAndComputersThatComeOnline(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1", "web2")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 10, 1<<20, 1))
	f.createJob("docs", "web1", []string{src})
	f.createJob("mail", "web2", []string{src}, "--schedule", "after docs")
	f.fails(2, []string{"docs → mail → docs"}, "job", "edit", "docs", "--schedule", "after mail")
	if r := f.do("job", "next", "mail"); !strings.Contains(r.Stderr, "it follows job docs, which is disabled or has no schedule") {
		t.Errorf("a chain that nothing begins: %v", r)
	}

	f.run("docs")
	if mail := f.final(f.sessionOf("mail", 1).GetId(), "Completed"); mail.GetUser() != "schedule" {
		t.Errorf("mail was started by %q", mail.GetUser())
	}
	f.Server.Kill()
	f.must(f.Server.Start())
	f.must(f.WaitOnline(f.agent["web2"]))

	f.must(f.agent["web2"].Stop())
	f.createJob("laptops", "web2", []string{src}, "--schedule", "when online at most every 4h")
	f.must(f.agent["web2"].Start())
	if s := f.final(f.sessionOf("laptops", 1).GetId(), "Completed"); s.GetUser() != "schedule" {
		t.Errorf("laptops was started by %q", s.GetUser())
	}
	if all, err := f.Sessions("--job", "mail"); err != nil || len(all) != 1 {
		t.Errorf("mail ran %d times after one session of docs and a restart (%v)", len(all), err)
	}

	for _, tt := range []struct {
		args []string
		want []string
	}{
		{[]string{"--status", "success", "--computer", "web2"}, []string{"laptops", "mail"}},
		{[]string{"--text", "SCHEDULE"}, []string{"laptops", "mail"}},
		{[]string{"--since", "-1h", "--type", "backup"}, []string{"docs", "laptops", "mail"}},
		{[]string{"--status", "failed"}, nil},
		{[]string{"--until", "-1h"}, nil},
	} {
		all, err := f.Sessions(tt.args...)
		var got []string
		for _, s := range all {
			got = append(got, s.GetJob())
		}
		slices.Sort(got)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("session list %v: %v (%v), want %v", tt.args, got, err, tt.want)
		}
	}
	var sums keepwardv1.JobFigures
	f.must(f.Message(&sums, "job", "stats", "docs"))
	if len(sums.GetRuns()) != 1 || sums.GetReadBytes().GetLast() < 1_000_000 || sums.GetStatuses()[0].GetStatus() != "Completed" {
		t.Errorf("figures of docs: %v", &sums)
	}
}

// A list that goes on shows a session from its beginning to its end, also one of a restarted server.
func TestAListOfSessionsIsLive(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 10, 1<<20, 1))
	f.createJob("docs", "web1", []string{src})
	f.run("docs")
	ctx, cancel := context.WithTimeout(t.Context(), sessionWithin)
	defer cancel()
	cmd := f.Command(ctx, "session", "list", "--watch", "--job", "docs", "-o", "json")
	out, err := cmd.StdoutPipe()
	f.must(err)
	var said strings.Builder
	cmd.Stderr = &said
	f.must(cmd.Start())
	defer func() { cancel(); _ = cmd.Wait() }() // killed: nothing else ends it
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	upTo := func(session int64, status string) {
		t.Helper()
		for lines.Scan() {
			var s keepwardv1.Session
			f.must(protojson.Unmarshal(lines.Bytes(), &s))
			if s.GetId() == session && s.GetStatus() == status {
				return
			}
		}
		cancel()
		t.Fatalf("session %d was not seen as %s: %v, %v: %s", session, status, lines.Err(), cmd.Wait(), said.String())
	}
	upTo(1, "Completed")
	f.start("docs")
	upTo(2, "Completed")
	f.Server.Kill()
	f.must(f.Server.Start())
	f.must(f.WaitOnline(f.agent["web1"]))
	f.start("docs")
	upTo(3, "Completed")
}

// sessionOf waits for the newest of so many sessions of a job.
func (f *fleet) sessionOf(job string, n int) (s *keepwardv1.Session) {
	f.t.Helper()
	f.must(site.Until(sessionWithin, "session of "+job, func() (bool, error) {
		all, err := f.Sessions("--job", job)
		if err != nil || len(all) < n {
			return false, err
		}
		s = all[0]
		return true, nil
	}))
	return s
}
