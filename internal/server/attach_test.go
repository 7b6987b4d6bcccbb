package server

import (
	"context"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/repo/repoconf"
	"keepward/internal/repo/seal"
	"keepward/internal/wire"
)

func (f *fakeTransport) ReadRepository(_ context.Context, req *connect.Request[keepwardv1.ReadRepositoryRequest]) (*connect.Response[keepwardv1.ReadRepositoryResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := canonical(req.Msg.Path)
	made := f.made[p]
	if made == nil {
		return nil, errs.New(errs.NotFound, "repository.not-found", "open repository %s: there is none", p)
	}
	return connect.NewResponse(&keepwardv1.ReadRepositoryResponse{
		CanonicalPath: p, Configuration: made.Configuration, Keys: made.Keys, OwnerTerm: f.owners[p].Term, Owner: f.owners[p].Owner, Epoch: f.epoch,
	}), nil
}

func (f *fakeTransport) ClaimRepository(_ context.Context, req *connect.Request[keepwardv1.ClaimRepositoryRequest]) (*connect.Response[keepwardv1.ClaimRepositoryResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := req.Msg.RepositoryPath
	if now := f.owners[p]; now == nil || now.Term < req.Msg.Term {
		f.owners[p] = &keepwardv1.ClaimRepositoryResponse{Term: req.Msg.Term, Owner: req.Msg.Owner}
	}
	return connect.NewResponse(proto.CloneOf(f.owners[p])), nil
}

// ListPoints answers one point at a time, so that asking for the rest is tried.
func (f *fakeTransport) ListPoints(_ context.Context, req *connect.Request[keepwardv1.TransportListPointsRequest]) (*connect.Response[keepwardv1.TransportListPointsResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.points[req.Msg.RepositoryPath]
	at := 1 + slices.IndexFunc(all, func(o *keepwardv1.PointObject) bool { return o.Id == req.Msg.After })
	res := &keepwardv1.TransportListPointsResponse{More: at+1 < len(all)}
	if at < len(all) {
		res.Points = all[at : at+1]
	}
	return connect.NewResponse(res), nil
}

func (s *testServer) attach(m *keepwardv1.AttachRepositoryRequest) (*keepwardv1.CatalogProgress, error) {
	s.t.Helper()
	req := connect.NewRequest(m)
	req.Header().Set("Authorization", "Bearer "+s.token)
	stream, err := s.repositories().AttachRepository(s.t.Context(), req)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	var last *keepwardv1.CatalogProgress
	for stream.Receive() {
		last = stream.Msg()
	}
	return last, wire.FromConnect(stream.Err())
}

// lost is a server that made a repository with points and is gone.
type lost struct {
	dir string
	f   *fakeTransport
	key string
}

func loseServer(t *testing.T) lost {
	t.Helper()
	s, f := withTransport(t)
	res, err := s.createRepository("main", "t1", "/srv/main")
	if err != nil {
		t.Fatal(err)
	}
	s.stop()
	key, err := repoconf.ParseRecovery(res.RecoveryKey)
	if err != nil {
		t.Fatal(err)
	}
	master, err := repoconf.OpenKeyObject(f.made["/srv/main"].Keys[0].Content, key)
	if err != nil {
		t.Fatal(err)
	}
	id := [16]byte{}
	if _, err := hex.Decode(id[:], []byte(res.Repository.Id)); err != nil {
		t.Fatal(err)
	}
	job := &keepwardv1.Job{
		Name: "docs", Type: "backup", Computers: []string{"web7"}, Repository: "main", Schedule: "daily 22:00",
		Files: &keepwardv1.FileSelection{Include: []string{"/srv"}},
	}
	f.points["/srv/main"] = []*keepwardv1.PointObject{
		storedPoint(t, id, master, 1, job),
		storedPoint(t, id, master, 2, job),
		{Id: point.Attempt{3}.String(), Content: point.EncodeTombstone(id, point.Attempt{3}, "test", 0)},
		{Id: point.Attempt{4}.String(), Content: []byte("damaged")},
	}
	return lost{dir: s.dir, f: f, key: res.RecoveryKey}
}

func storedPoint(t *testing.T, id [16]byte, m seal.Master, n byte, job *keepwardv1.Job) *keepwardv1.PointObject {
	t.Helper()
	a := point.Attempt{n}
	definition, err := proto.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	issue, err := point.SealIssue(m.IssueKey(), id, a, point.Issue{
		Computer: "web7", Job: job.Name, Session: 40 + int64(n), Time: time.Unix(1_700_000_000+int64(n), 0), Definition: definition,
	})
	if err != nil {
		t.Fatal(err)
	}
	body, err := point.SealBody(m.ComputersKey().Computer("web7"), id, a, point.Body{Files: 10, Bytes: 100, Completeness: point.WithErrors})
	if err != nil {
		t.Fatal(err)
	}
	return &keepwardv1.PointObject{Id: a.String(), Content: point.Encode(id, a, point.Draft{Type: point.Complete, Body: body}, issue)}
}

func attachMain(key string, takeOver bool) *keepwardv1.AttachRepositoryRequest {
	return &keepwardv1.AttachRepositoryRequest{
		Repository: &keepwardv1.Repository{Name: "main", Transport: "t1", Path: "/srv/main"}, RecoveryKey: key, TakeOver: takeOver,
	}
}

func TestANewServerFindsPointsComputersAndJobsInTheRepository(t *testing.T) {
	old := loseServer(t)
	s := start(t, t.TempDir())
	s.joinTransport(old.f)
	got, err := s.attach(attachMain(old.key, true))
	if err != nil {
		t.Fatal(err)
	}
	if got.Points != 2 || got.AddedPoints != 2 || !slices.Equal(got.AddedComputers, []string{"web7"}) || !slices.Equal(got.AddedJobs, []string{"docs"}) ||
		!slices.Equal(got.Unreadable, []string{"points/" + point.Attempt{4}.String()}) || got.Attached.GetStatus() != "online" {
		t.Errorf("got %v", got)
	}
	c := must(s.computers().GetComputer(t.Context(), connect.NewRequest(&keepwardv1.GetComputerRequest{Name: "web7"})))(t)
	var points []string
	for _, p := range c.Points {
		points = append(points, strings.Join([]string{p.Id[:2], p.Job, p.Completeness, p.Files.GetInclude()[0]}, " "))
		if p.Counters.GetTotalBytes() != 100 {
			t.Errorf("point %v", p)
		}
	}
	if diff := cmp.Diff([]string{"02 docs with errors /srv", "01 docs with errors /srv"}, points); diff != "" {
		t.Error(diff)
	}
	if len(c.Jobs) != 1 || !c.Jobs[0].Disabled || c.Jobs[0].Schedule != "daily 22:00" {
		t.Errorf("jobs %v", c.Jobs)
	}
	// Again it adds nothing, and the key can be had again.
	if got, err = s.attach(attachMain(old.key, false)); err != nil || got.AddedPoints != 0 || len(got.AddedJobs) != 0 || got.Points != 2 {
		t.Errorf("again: %v, %v", got, err)
	}
	exported := must(s.repositories().ExportRecoveryKey(t.Context(), connect.NewRequest(&keepwardv1.ExportRecoveryKeyRequest{Name: "main"})))(t).RecoveryKey
	if diff := cmp.Diff(old.key, exported); diff != "" {
		t.Error(diff)
	}
	// New sessions do not take the numbers that points name.
	id := must(s.repositories().CheckRepository(t.Context(), connect.NewRequest(&keepwardv1.CheckRepositoryRequest{Name: "main"})))(t).Session
	if id <= 42 {
		t.Errorf("a new session has number %d, points name 42", id)
	}
}

// The secrets of applications are in no repository: a job that needs one comes back without it, and
// does not stay away.
func TestAJobComesBackWithoutACredentialThatIsLost(t *testing.T) {
	old := loseServer(t)
	key, err := repoconf.ParseRecovery(old.key)
	if err != nil {
		t.Fatal(err)
	}
	master, err := repoconf.OpenKeyObject(old.f.made["/srv/main"].Keys[0].Content, key)
	if err != nil {
		t.Fatal(err)
	}
	old.f.points["/srv/main"] = append(old.f.points["/srv/main"], storedPoint(t, [16]byte([]byte(must16(t, old))), master, 9, &keepwardv1.Job{
		Name: "db", Type: "backup", Computers: []string{"web7"}, Repository: "main",
		Applications: []*keepwardv1.Application{
			{Kind: "postgresql", Credential: "pg"}, {Kind: "postgresql", Name: "other", Credential: "kept"},
		},
	}))
	s := start(t, t.TempDir())
	s.joinTransport(old.f)
	if _, err := s.saveCredential("kept", "secret", false); err != nil {
		t.Fatal(err)
	}
	got, err := s.attach(attachMain(old.key, true))
	if err != nil || !slices.Equal(got.AddedJobs, []string{"db", "docs"}) {
		t.Fatalf("got %v, %v", got, err)
	}
	j := must(s.jobs().GetJob(t.Context(), connect.NewRequest(&keepwardv1.GetJobRequest{Name: "db"})))(t).Job
	if a := j.GetApplications(); !j.Disabled || len(a) != 2 || a[0].Credential != "" || a[1].Credential != "kept" {
		t.Errorf("it comes back as %v", j)
	}
	if !strings.Contains(s.log.String(), "credentials=[pg]") {
		t.Error("nobody is told of the credential that is lost")
	}
}

func TestAttachRefusesWhatIsNotItsOwn(t *testing.T) {
	old := loseServer(t)
	s := start(t, t.TempDir())
	s.joinTransport(old.f)
	other := repoconf.NewRecovery([16]byte([]byte(must16(t, old)))).Text()
	for _, tt := range []struct {
		name string
		m    *keepwardv1.AttachRepositoryRequest
		code string
	}{
		{"no key", attachMain("", true), "recovery.text"},
		{"another key of it", attachMain(other, true), "recovery.key-wrong"},
		{"owned by another server", attachMain(old.key, false), "repository.owner"},
		{"no repository there", &keepwardv1.AttachRepositoryRequest{Repository: &keepwardv1.Repository{Name: "main", Transport: "t1", Path: "/srv/none"}, RecoveryKey: old.key}, "repository.not-found"},
		{"nothing sent", &keepwardv1.AttachRepositoryRequest{}, "repository.missing"},
	} {
		_, err := s.attach(tt.m)
		if got := errs.CodeOf(err); got != tt.code {
			t.Errorf("%s: %v, want code %s", tt.name, err, tt.code)
		}
		if names := s.repositoryNames(); len(names) > 0 {
			t.Errorf("%s: it is attached: %v", tt.name, names)
		}
	}
}

func must16(t *testing.T, l lost) []byte {
	t.Helper()
	cfg, _, err := repoconf.ParseConfig(l.f.made["/srv/main"].Configuration)
	if err != nil {
		t.Fatal(err)
	}
	return cfg.ID[:]
}

// A server put back from an old copy is not the owner any more, and says so until it takes over.
func TestAServerThatAnotherReplacedDoesNotGoOn(t *testing.T) {
	old := loseServer(t)
	s := start(t, t.TempDir())
	s.joinTransport(old.f)
	if _, err := s.attach(attachMain(old.key, true)); err != nil {
		t.Fatal(err)
	}
	s.stop()

	back := start(t, old.dir)
	// The former server's second start has the term that the other took over with.
	back.joinTransport(old.f)
	get := func() *keepwardv1.Repository {
		return must(back.repositories().GetRepository(t.Context(), connect.NewRequest(&keepwardv1.GetRepositoryRequest{Name: "main"})))(t).Repository
	}
	r := get()
	if r.Status != "lost" || !strings.Contains(r.Conditions[0].GetText(), "another server owns it") {
		t.Errorf("it is used: %v", r)
	}
	must(back.repositories().TakeOverRepository(t.Context(), connect.NewRequest(&keepwardv1.TakeOverRepositoryRequest{Name: "main"})))(t)
	if r := get(); r.Status != "online" {
		t.Errorf("after the take-over: %v", r)
	}
}

func TestADetachedRepositoryIsForgottenAndCanBeAttachedAgain(t *testing.T) {
	old := loseServer(t)
	s := start(t, t.TempDir())
	s.joinTransport(old.f)
	if _, err := s.attach(attachMain(old.key, true)); err != nil {
		t.Fatal(err)
	}
	detach := func() error {
		_, err := s.repositories().DetachRepository(t.Context(), connect.NewRequest(&keepwardv1.DetachRepositoryRequest{Name: "main"}))
		return err
	}
	if got := errs.CodeOf(detach()); got != "repository.in-use" {
		t.Errorf("a repository with a job: %s", got)
	}
	enable := func(on bool) {
		j := must(s.jobs().GetJob(t.Context(), connect.NewRequest(&keepwardv1.GetJobRequest{Name: "docs"})))(t).GetJob()
		j.Disabled = !on
		must(s.jobs().UpdateJob(t.Context(), connect.NewRequest(&keepwardv1.UpdateJobRequest{Job: j})))(t)
	}
	all := connect.NewRequest(&keepwardv1.DetachRepositoryRequest{Name: "main", DeleteDisabledJobs: true})
	enable(true)
	if _, err := s.repositories().DetachRepository(t.Context(), all); errs.CodeOf(err) != "repository.in-use" || !strings.Contains(err.Error(), "docs") {
		t.Errorf("a repository with a job that runs: %v", err)
	}
	enable(false)
	if gone := must(s.repositories().DetachRepository(t.Context(), all))(t).GetDeletedJobs(); !slices.Equal(gone, []string{"docs"}) {
		t.Errorf("jobs deleted with it: %v", gone)
	}
	if names := s.repositoryNames(); len(names) > 0 {
		t.Errorf("still there: %v", names)
	}
	if got, err := s.attach(attachMain(old.key, false)); err != nil || got.AddedPoints != 2 {
		t.Errorf("again: %v, %v", got, err)
	}
}
