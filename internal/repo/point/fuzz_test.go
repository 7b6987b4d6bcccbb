package point

import (
	"encoding/binary"
	"testing"

	"github.com/cespare/xxhash/v2"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// behind makes a point whose checksum is right of what a fuzzer found: it finds no checksum.
func behind(fields []byte, kind byte) []byte {
	b := append([]byte(magic), version, kind)
	b = append(b, fields...)
	return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b))
}

func bad(t *testing.T, err error) {
	t.Helper()
	if k := errs.KindOf(err); k != "" && k != errs.Corrupt && k != errs.Invalid {
		t.Fatalf("kind %q: %v", k, err)
	}
}

func FuzzBehindSum(f *testing.F) {
	f.Add(made(f)[6:], byte(Complete))
	f.Add(EncodeTombstone(repoID, attempt, "why", 3)[6:], byte(Tombstone))
	f.Fuzz(func(t *testing.T, fields []byte, kind byte) {
		p, err := Parse(behind(fields, kind))
		bad(t, err)
		if err == nil {
			_ = p.CheckpointCounts(7)
		}
	})
}

// An agent makes the body of its points, so a server opens what a stranger may have written.
func FuzzBodyAndIssue(f *testing.F) {
	computer := master.ComputersKey().Computer("web1")
	p := Point{RepositoryID: repoID, Attempt: attempt}
	whole, err := Parse(made(f))
	if err != nil {
		f.Fatal(err)
	}
	body, err := seal.OpenBytes(seal.BodyKey(computer), whole.Body, bound(repoID, attempt, "body"))
	if err != nil {
		f.Fatal(err)
	}
	issue, err := seal.OpenBytes(master.IssueKey(), whole.Issue, bound(repoID, attempt, "issue"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add(issue)
	f.Fuzz(func(t *testing.T, b []byte) {
		var err error
		if p.Body, err = seal.SealBytes(seal.BodyKey(computer), b, bound(repoID, attempt, "body")); err != nil {
			t.Fatal(err)
		}
		if p.Issue, err = seal.SealBytes(master.IssueKey(), b, bound(repoID, attempt, "issue")); err != nil {
			t.Fatal(err)
		}
		_, err = OpenBody(computer, &p)
		bad(t, err)
		_, err = OpenIssue(master.IssueKey(), &p)
		bad(t, err)
	})
}
