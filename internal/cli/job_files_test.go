package cli_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	keepwardv1 "keepward/api/keepward/v1"
)

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
