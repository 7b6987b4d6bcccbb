package point

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

var (
	master  = seal.Master{Secret: seal.Secret{5}}
	repoID  = [16]byte{1}
	attempt = Attempt{2}
)

func made(t testing.TB) []byte {
	t.Helper()
	issue, err := SealIssue(master.IssueKey(), repoID, attempt, Issue{Computer: "web1", Job: "docs", Session: 7, Time: time.Unix(1_790_000_000, 5), Parent: Attempt{3}})
	if err != nil {
		t.Fatal(err)
	}
	body, err := SealBody(master.ComputersKey().Computer("web1"), repoID, attempt, Body{Root: seal.H{8}, Completeness: WithErrors, Files: 10, Bytes: 20, Errors: 1, Last: []byte("a\x00b")})
	if err != nil {
		t.Fatal(err)
	}
	return Encode(repoID, attempt, Draft{Type: Complete, RootID: seal.ID{4}, Refs: []seal.ID{{5}, {6}}, Body: body}, issue)
}

func TestAPointComesBackFromIssueAndBody(t *testing.T) {
	p, err := Parse(made(t))
	if err != nil {
		t.Fatal(err)
	}
	if p.Type != Complete || p.Attempt != attempt || p.RepositoryID != repoID || p.RootID != (seal.ID{4}) || len(p.Refs) != 2 {
		t.Errorf("parsed as %+v", p)
	}
	i, err := OpenIssue(master.IssueKey(), &p)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Issue{Computer: "web1", Job: "docs", Session: 7, Time: time.Unix(1_790_000_000, 5), Parent: Attempt{3}}); !cmp.Equal(want, i) {
		t.Errorf("issue: %s", cmp.Diff(want, i))
	}
	b, err := OpenBody(master.ComputersKey().Computer("web1"), &p)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Body{Root: seal.H{8}, Completeness: WithErrors, Files: 10, Bytes: 20, Errors: 1, Last: []byte("a\x00b")}); !cmp.Equal(want, b) {
		t.Errorf("body: %s", cmp.Diff(want, b))
	}
}

func TestAnotherComputersKeyOpensNoBodyAndNoIssue(t *testing.T) {
	p, err := Parse(made(t))
	if err != nil {
		t.Fatal(err)
	}
	other := master.ComputersKey().Computer("web2")
	if _, err := OpenBody(other, &p); errs.KindOf(err) != errs.Denied {
		t.Errorf("body: %v", err)
	}
	if _, err := OpenIssue(other, &p); errs.KindOf(err) != errs.Denied {
		t.Errorf("issue: %v", err)
	}
}

func TestAPointMovedToAnotherNameDoesNotOpen(t *testing.T) {
	p, err := Parse(made(t))
	if err != nil {
		t.Fatal(err)
	}
	p.Attempt[0]++
	if _, err := OpenBody(master.ComputersKey().Computer("web1"), &p); err == nil {
		t.Error("the body opened under another attempt")
	}
	if _, err := OpenIssue(master.IssueKey(), &p); err == nil {
		t.Error("the issue opened under another attempt")
	}
}

func TestATombstoneSaysWhy(t *testing.T) {
	p, err := Parse(EncodeTombstone(repoID, attempt, "agent lost", 3))
	if err != nil || p.Type != Tombstone || p.Reason != "agent lost" {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestEveryFlippedByteIsFound(t *testing.T) {
	good := made(t)
	for i := range good {
		b := bytes.Clone(good)
		b[i] ^= 4
		if _, err := Parse(b); err == nil {
			t.Errorf("byte %d flipped was not found", i)
		}
	}
}

func TestAttemptNamesAreCheckedAtTheDoor(t *testing.T) {
	for _, s := range []string{"", "00", "zz000000000000000000000000000000", "../../../../../../../../../../etc"} {
		if _, err := ParseAttempt(s); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %v", s, err)
		}
	}
	if a, err := ParseAttempt(attempt.String()); err != nil || a != attempt {
		t.Errorf("%v, %v", a, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(made(f))
	f.Add(EncodeTombstone(repoID, attempt, "why", 0))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = Parse(b) })
}
