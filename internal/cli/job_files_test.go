package cli_test

import (
	"context"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

// DryRun answers for each computer that is named: away is away, all others have a file.
func (f *fake) DryRun(_ context.Context, r *connect.Request[keepwardv1.DryRunRequest], s *connect.ServerStream[keepwardv1.DryRunResponse]) error {
	f.tried = r.Msg
	computers := r.Msg.GetComputers()
	if len(computers) == 0 {
		computers = r.Msg.GetJob().GetComputers()
	}
	for _, c := range computers {
		progress := &keepwardv1.Progress{Phase: "dry run", Counters: &keepwardv1.Counters{DoneFiles: 1}}
		if err := s.Send(&keepwardv1.DryRunResponse{Computer: c, Progress: progress}); err != nil {
			return err
		}
		end := &keepwardv1.DryRunResponse{Computer: c}
		switch c {
		case "away":
			end.Failure = wire.ToFailure(errs.New(errs.Unavailable, "agent.offline", "call the agent of away: it is offline"), "agent")
		default:
			end.Result = &keepwardv1.DryRun{
				Taken: &keepwardv1.Amount{Files: 1, Dirs: 2, Bytes: 3 << 20}, Includes: []*keepwardv1.DryRunPath{{Path: []byte("/srv"), State: "taken", Amount: &keepwardv1.Amount{Files: 1}}},
				LeftOut:      []*keepwardv1.DryRunRule{{Kind: "exclude", Rule: "*.tmp", Names: 2, Amount: &keepwardv1.Amount{Files: 2}, Unseen: 1}},
				LargestFiles: []*keepwardv1.DryRunSize{{Path: []byte("/srv/a\x1bb"), Bytes: 9}},
			}
		}
		if c == "poor" {
			end.Result.Errors = 1
			end.Result.Problems = []*keepwardv1.DryRunProblem{{Level: "error", Code: "file.unreadable", Path: []byte("/srv/x"), Text: "permission denied"}}
		}
		if err := s.Send(end); err != nil {
			return err
		}
	}
	return nil
}

func TestADryRunEndsAsItWent(t *testing.T) {
	f := newFake(t)
	r := f.do(t, "job", "dry-run", "--computer", "web1", "--include", "/srv", "--only", "*.docx", "--exclude", "*.tmp")
	r.want(t, 0, "web1: 1 file, 2 directories, 3.00 MiB would be taken", "exclude *.tmp", "1 directory was not looked into", `/srv/a\x1bb`)
	want := &keepwardv1.DryRunRequest{Job: &keepwardv1.Job{Computers: []string{"web1"}, Files: &keepwardv1.FileSelection{Include: []string{"/srv"}, Only: []string{"*.docx"}, Exclude: []string{"*.tmp"}}}}
	if d := cmp.Diff(want, f.tried, protocmp.Transform()); d != "" {
		t.Errorf("asked (-want +got):\n%s", d)
	}
	f.do(t, "job", "dry-run", "docs", "--computer", "web1", "--computer", "poor").want(t, 3, "web1: 1 file", "poor: 1 file", "error    /srv/x: permission denied")
	f.do(t, "job", "dry-run", "docs", "--computer", "web1,away").want(t, 1, "web1: 1 file", "away: call the agent of away: it is offline")
	if r := f.do(t, "job", "dry-run", "docs", "--computer", "away,web1", "-o", "json"); !strings.Contains(r.out, `"code": "agent.offline"`) || !strings.Contains(r.out, `"pathText": "/srv/a\\x1bb"`) || strings.Contains(r.out, `"phase": "dry run"`) {
		t.Errorf("as JSON: %s", r.out)
	}
	f.do(t, "job", "dry-run", "--computer", "web1").want(t, 2, "wants --include")

	// Flags are tried in place of what a job has, of single computers too.
	f.jobs["docs"] = &keepwardv1.Job{
		Name: "docs", Computers: []string{"web1", "web2"}, Files: &keepwardv1.FileSelection{Include: []string{"/srv"}, Exclude: []string{"*.tmp"}},
		Overrides: []*keepwardv1.FileOverride{{Computer: "web2", Include: &keepwardv1.TextList{Items: []string{"/other"}}}},
	}
	f.do(t, "job", "dry-run", "docs", "--exclude", "*.log").want(t, 0)
	j := f.tried.GetJob()
	if j.GetFiles().GetExclude()[0] != "*.log" || j.GetOverrides()[0].GetExclude().GetItems()[0] != "*.log" || j.GetOverrides()[0].GetInclude().GetItems()[0] != "/other" {
		t.Errorf("tried %v", j)
	}
}

func TestFilesOfOneComputerAreEdited(t *testing.T) {
	f := newFake(t)
	f.do(t, "job", "create", "docs", "--computer", "web1,web2", "--include", "/srv", "--exclude", "*.tmp", "--only", "*.docx", "--repository", "main").want(t, 0, "only", "*.docx")
	f.do(t, "job", "edit", "docs", "--for", "web2", "--include", "/other", "--exclude", "", "--live").want(t, 0, "only of web2", "include /other; exclude nothing; live file system yes")
	j := f.jobs["docs"]
	want := []*keepwardv1.FileOverride{{Computer: "web2", Include: &keepwardv1.TextList{Items: []string{"/other"}}, Exclude: &keepwardv1.TextList{}, Live: new(bool)}}
	*want[0].Live = true
	if d := cmp.Diff(want, j.GetOverrides(), protocmp.Transform()); d != "" {
		t.Errorf("overrides (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"/srv"}, j.GetFiles().GetInclude()); d != "" {
		t.Errorf("of the others: %s", d)
	}
	f.do(t, "job", "edit", "docs", "--for", "web2", "--only", "*.pdf").want(t, 0, "include /other; exclude nothing; only *.pdf")
	for say, args := range map[string][]string{
		"--schedule holds for the whole job":             {"--for", "web2", "--include", "/a", "--schedule", "daily 22:00"},
		"wants either --as-others, or what is taken":     {"--for", "web2"},
		"--as-others wants --for COMPUTER":               {"--as-others"},
		"--for web2 wants either --as-others, or what i": {"--for", "web2", "--as-others", "--include", "/a"},
	} {
		f.do(t, append([]string{"job", "edit", "docs"}, args...)...).want(t, 2, say)
	}
	f.do(t, "job", "edit", "docs", "--for", "web2", "--as-others").want(t, 0)
	if len(f.jobs["docs"].GetOverrides()) > 0 {
		t.Errorf("left: %v", f.jobs["docs"].GetOverrides())
	}
	f.do(t, "job", "edit", "docs", "--for", "web2", "--live=false").want(t, 0, "live file system no")
	f.do(t, "job", "edit", "docs", "--computer", "web1").want(t, 0)
	if len(f.jobs["docs"].GetOverrides()) > 0 {
		t.Errorf("of a computer that has left: %v", f.jobs["docs"].GetOverrides())
	}
}

// What a job has for single computers is looked at when computers and groups both stand, in whatever order
// they are set.
func TestFilesOfAComputerThatChangesIntoAGroupStay(t *testing.T) {
	f := newFake(t)
	for range 20 { // flags are set in a random order
		f.jobs["docs"] = &keepwardv1.Job{
			Name: "docs", Computers: []string{"web1", "web2"}, Files: &keepwardv1.FileSelection{Include: []string{"/srv"}},
			Overrides: []*keepwardv1.FileOverride{{Computer: "web2", Include: &keepwardv1.TextList{Items: []string{"/other"}}}},
		}
		f.do(t, "job", "edit", "docs", "--computer", "web1", "--group", "web").want(t, 0)
		if len(f.jobs["docs"].GetOverrides()) != 1 {
			t.Fatal("who may be in the group has lost its own files")
		}
	}
}
