package transport_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/mover"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/wire"
)

func names(entries []*keepwardv1.Entry) []string {
	var out []string
	for _, e := range entries {
		out = append(out, string(e.GetPath())+" "+e.GetType())
	}
	return out
}

func TestABrowseMoverListsFindsAndCompares(t *testing.T) {
	h := newHost(t)
	first := h.backup(text)
	second := h.backup(func(p string) []byte {
		if p == "srv/a.txt" {
			return []byte("changed")
		}
		return text(p)
	})
	a := newAttempt()
	req := h.request(a, mover.ModeBrowse)
	req.Agent, req.Owner = "", nil
	h.startMover(req)
	key := h.master.ComputersKey().Computer("web1")
	calls := h.calls()

	list := func(path, cursor string, limit int32, recursive bool) *keepwardv1.BrowseMoverResponse {
		t.Helper()
		res, err := calls.BrowseMover(t.Context(), connect.NewRequest(&keepwardv1.BrowseMoverRequest{
			Attempt: a.String(), Point: first.String(), Path: []byte(path), Cursor: []byte(cursor), Limit: limit, Recursive: recursive, ComputerKey: key[:],
		}))
		if err != nil {
			t.Fatal(err)
		}
		return res.Msg
	}
	// The test's points hold files only; what lies below srv/b is two of them.
	page := list("", "", 3, true)
	if diff := cmp.Diff([]string{"/etc/hosts file", "/etc/passwd file", "/srv/a.txt file"}, names(page.GetEntries())); diff != "" {
		t.Error(diff)
	}
	rest := list("", string(page.GetNextCursor()), 3, true)
	if diff := cmp.Diff([]string{"/srv/b/c.txt file", "/srv/b/d.txt file"}, names(rest.GetEntries())); diff != "" {
		t.Error(diff)
	}
	if len(rest.GetNextCursor()) != 0 {
		t.Errorf("there is a page behind the last: %q", rest.GetNextCursor())
	}
	self := list("/srv/b/d.txt", "", 0, false).GetSelf()
	if self.GetType() != "file" || self.GetSize() != int64(len(text("srv/b/d.txt"))) || string(self.GetPath()) != "/srv/b/d.txt" {
		t.Errorf("one of several names: %v", self)
	}

	stream, err := calls.FindMover(t.Context(), connect.NewRequest(&keepwardv1.FindMoverRequest{
		Attempt: a.String(), Glob: "srv/**/*.txt",
		Points: []*keepwardv1.PointKey{{Point: first.String(), ComputerKey: key[:]}, {Point: second.String(), ComputerKey: key[:]}},
	}))
	must(t, err)
	var found []string
	for stream.Receive() {
		m := stream.Msg()
		e := m.GetEntry()
		found = append(found, fmt.Sprintf("%s %s-%s %d", e.GetPath(), m.GetFirst()[:4], m.GetPoint()[:4], m.GetPoints()))
		if e.GetSize() == 0 || e.GetMode() == 0 {
			t.Errorf("%s is found without size or mode: %v", e.GetPath(), e)
		}
	}
	must(t, stream.Err())
	one, two := first.String()[:4], second.String()[:4]
	want := []string{
		fmt.Sprintf("/srv/a.txt %s-%s 1", two, two), fmt.Sprintf("/srv/a.txt %s-%s 1", one, one),
		fmt.Sprintf("/srv/b/c.txt %s-%s 2", one, two), fmt.Sprintf("/srv/b/d.txt %s-%s 2", one, two),
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error(diff)
	}

	records, err := calls.ReadRecordsMover(t.Context(), connect.NewRequest(&keepwardv1.ReadRecordsMoverRequest{Attempt: a.String(), Point: first.String()}))
	must(t, err)
	var object []byte
	for records.Receive() {
		object = bytes.Clone(records.Msg().GetRecord())
	}
	must(t, records.Err())
	p, err := point.Parse(object)
	must(t, err)
	owner := h.master.ComputersKey().Owner("web1")
	absent := make([]byte, 32)
	records, err = calls.ReadRecordsMover(t.Context(), connect.NewRequest(&keepwardv1.ReadRecordsMoverRequest{
		Attempt: a.String(), Owner: owner[:], Ids: [][]byte{absent, p.RootID[:]},
	}))
	must(t, err)
	answers := map[uint32]*keepwardv1.ReadRecordsResponse{}
	for records.Receive() {
		answers[records.Msg().GetAt()] = records.Msg()
	}
	must(t, records.Err())
	if rec, err := seal.ParseRecord(answers[1].GetRecord()); err != nil || rec.ID != p.RootID {
		t.Errorf("the root's record: %v", err)
	}
	if got := answers[0].GetFailure().GetCode(); len(answers) != 2 || got != "chunk.missing" {
		t.Errorf("of a record that is not there: %v", answers[0])
	}

	diffs, err := calls.DiffMover(t.Context(), connect.NewRequest(&keepwardv1.DiffMoverRequest{
		Attempt: a.String(), A: &keepwardv1.PointKey{Point: first.String(), ComputerKey: key[:]}, B: &keepwardv1.PointKey{Point: second.String(), ComputerKey: key[:]},
	}))
	must(t, err)
	var changes []string
	for diffs.Receive() {
		changes = append(changes, diffs.Msg().GetChange()+" "+string(diffs.Msg().GetB().GetPath()))
	}
	must(t, diffs.Err())
	if diff := cmp.Diff([]string{"M /srv/a.txt"}, changes); diff != "" {
		t.Error(diff)
	}

	_, err = calls.BrowseMover(t.Context(), connect.NewRequest(&keepwardv1.BrowseMoverRequest{Attempt: a.String(), Point: first.String(), ComputerKey: make([]byte, 32)}))
	if errs.KindOf(err) != errs.Denied {
		t.Errorf("with another computer's key: %v", err)
	}
	bad, err := calls.FindMover(t.Context(), connect.NewRequest(&keepwardv1.FindMoverRequest{Attempt: a.String(), Glob: "[a"}))
	must(t, err)
	for bad.Receive() {
	}
	if err := wire.FromConnect(bad.Err()); errs.CodeOf(err) != "find.glob" {
		t.Errorf("a glob that is none: %v", err)
	}
	_, err = calls.StopMover(t.Context(), connect.NewRequest(&keepwardv1.StopMoverRequest{Order: order(a), Reason: "done"}))
	must(t, err)
	if end := h.server.End(a.String()); end.GetOutcome() != mover.OutcomeDone {
		t.Errorf("end: %v", end)
	}
}

func TestACheckMoverNamesWhatIsDamaged(t *testing.T) {
	h := newHost(t)
	h.backup(text)
	issue, computers := h.master.IssueKey(), h.master.ComputersKey()
	check := func() *keepwardv1.AttemptEnd {
		t.Helper()
		a := newAttempt()
		req := h.request(a, mover.ModeCheck)
		req.ReadData, req.Agent = true, ""
		req.Keys.IssueKey, req.Keys.ComputersKey = issue[:], computers[:]
		h.startMover(req)
		end := h.server.End(a.String())
		if said := h.events(a)["check.done"]; !strings.Contains(said, fmt.Sprintf("%d bytes of content", end.GetCheck().GetProvedBytes())) {
			t.Errorf("the log does not say what was proved: %q", said)
		}
		return end
	}
	if end := check(); end.GetOutcome() != mover.OutcomeDone || len(end.GetCheck().GetFindings()) != 0 || end.GetCheck().GetBytesRead() == 0 || end.GetCheck().GetProvedBytes() == 0 {
		t.Fatalf("check of a sound repository: %v", end)
	}
	var pack []byte
	var name string
	must(t, filepath.WalkDir(filepath.Join(h.path, "packs"), func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		if len(b) > len(pack) {
			pack, name = b, p
		}
		return err
	}))
	if name == "" {
		t.Fatal("no pack to damage")
	}
	pack[len(pack)/2] ^= 1
	must(t, os.Chmod(name, 0o600))
	must(t, os.WriteFile(name, pack, 0o600))
	end := check()
	if end.GetOutcome() != mover.OutcomeDone || len(end.GetCheck().GetFindings()) == 0 {
		t.Fatalf("check of a damaged repository: %v", end)
	}
	named := false
	for _, f := range end.GetCheck().GetFindings() {
		named = named || f.GetChunk() != "" && f.GetAffectedTotal() > 0
	}
	if !named {
		t.Errorf("no finding names chunk and files: %v", end.GetCheck())
	}
}
