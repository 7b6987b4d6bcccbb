package server

import (
	"context"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/repo/repoconf"
)

func (f *fakeTransport) ChangeKeys(_ context.Context, req *connect.Request[keepwardv1.ChangeKeysRequest]) (*connect.Response[keepwardv1.ChangeKeysResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	made := f.made[req.Msg.RepositoryPath]
	if req.Msg.Put != nil {
		made.Keys = append(made.Keys, req.Msg.Put)
	}
	made.Keys = slices.DeleteFunc(slices.Clone(made.Keys), func(k *keepwardv1.KeyObject) bool { return slices.Contains(req.Msg.Remove, k.Name) })
	if req.Msg.Epoch > 0 {
		f.epoch = req.Msg.Epoch
	}
	return connect.NewResponse(&keepwardv1.ChangeKeysResponse{}), nil
}

// keys are the numbers and forms of a repository's keys, the current one with a star.
func (s *testServer) keys() string {
	s.t.Helper()
	var out []string
	for _, k := range must(s.repositories().ListRepositoryKeys(s.t.Context(), connect.NewRequest(&keepwardv1.ListRepositoryKeysRequest{Name: "main"})))(s.t).Keys {
		text := k.Number + " " + k.Form
		if k.Current {
			text += "*"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func TestKeysAreAddedExchangedAndRemoved(t *testing.T) {
	s, f := withTransport(t)
	made, err := s.createRepository("main", "t1", "/srv/main")
	if err != nil {
		t.Fatal(err)
	}
	add := func(m *keepwardv1.AddRepositoryKeyRequest) (*keepwardv1.AddRepositoryKeyResponse, error) {
		m.Name = "main"
		res, err := s.repositories().AddRepositoryKey(t.Context(), connect.NewRequest(m))
		if err != nil {
			return nil, err
		}
		return res.Msg, nil
	}
	remove := func(number string) error {
		_, err := s.repositories().RemoveRepositoryKey(t.Context(), connect.NewRequest(&keepwardv1.RemoveRepositoryKeyRequest{Name: "main", Number: number}))
		return err
	}
	opens := func(u repoconf.Unlock) error {
		cfg, _, err := repoconf.ParseConfig(f.made["/srv/main"].Configuration)
		if err == nil {
			_, _, err = u.Open(cfg, keyObjects(f.made["/srv/main"].Keys))
		}
		return err
	}
	const passphrase = "correct horse battery"
	if _, err := add(&keepwardv1.AddRepositoryKeyRequest{Passphrase: passphrase}); err != nil {
		t.Fatal(err)
	}
	if got := s.keys(); got != "1 recovery key*, 2 passphrase" {
		t.Error(got)
	}
	fresh, err := add(&keepwardv1.AddRepositoryKeyRequest{Label: "new", Replace: true})
	if err != nil || !slices.Equal(fresh.Removed, []string{"1"}) {
		t.Fatal(fresh, err)
	}
	if got := s.keys(); got != "2 passphrase, 3 recovery key*" {
		t.Error(got)
	}
	for _, tt := range []struct {
		name string
		u    repoconf.Unlock
		code string
	}{
		{"the former key", repoconf.Unlock{RecoveryKey: made.RecoveryKey}, "recovery.key-wrong"},
		{"the new key", repoconf.Unlock{RecoveryKey: fresh.RecoveryKey}, ""},
		{"the passphrase", repoconf.Unlock{Passphrase: passphrase}, ""},
	} {
		if err := opens(tt.u); errs.CodeOf(err) != tt.code {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	exported := must(s.repositories().ExportRecoveryKey(t.Context(), connect.NewRequest(&keepwardv1.ExportRecoveryKeyRequest{Name: "main"})))(t).RecoveryKey
	if exported != fresh.RecoveryKey {
		t.Error("the server hands out another key than the newest")
	}
	for number, code := range map[string]string{"3": "key.current", "1": "key.not-found", "2": ""} {
		if err := remove(number); errs.CodeOf(err) != code {
			t.Errorf("remove %s: %v, want %q", number, err, code)
		}
	}
	if _, err := add(&keepwardv1.AddRepositoryKeyRequest{Passphrase: "short"}); errs.CodeOf(err) != "key.passphrase" {
		t.Error(err)
	}
	if log := s.log.String(); strings.Contains(log, passphrase) || strings.Contains(log, fresh.RecoveryKey[:8]) {
		t.Error("a secret is in the log")
	}
}

func TestAnEpochIsBegunAndSurvivesTheServer(t *testing.T) {
	s, f := withTransport(t)
	made, err := s.createRepository("main", "t1", "/srv/main")
	if err != nil {
		t.Fatal(err)
	}
	for want := uint32(1); want <= 2; want++ {
		got := must(s.repositories().BeginEpoch(t.Context(), connect.NewRequest(&keepwardv1.BeginEpochRequest{Name: "main"})))(t).Epoch
		if got != want || f.epoch != want {
			t.Errorf("epoch %d, in the repository %d, want %d", got, f.epoch, want)
		}
	}
	s.stop()
	next := start(t, t.TempDir())
	next.joinTransport(f)
	if _, err := next.attach(attachMain(made.RecoveryKey, true)); err != nil {
		t.Fatal(err)
	}
	if got := must(next.repositories().ListRepositoryKeys(t.Context(), connect.NewRequest(&keepwardv1.ListRepositoryKeysRequest{Name: "main"})))(t).Epoch; got != 2 {
		t.Errorf("a new server seals under epoch %d", got)
	}
}

// A server that came in by a passphrase knows no recovery key, says so, and can make one.
func TestAttachedByPassphrase(t *testing.T) {
	s, f := withTransport(t)
	if _, err := s.createRepository("main", "t1", "/srv/main"); err != nil {
		t.Fatal(err)
	}
	const passphrase = "correct horse battery"
	must(s.repositories().AddRepositoryKey(t.Context(), connect.NewRequest(&keepwardv1.AddRepositoryKeyRequest{Name: "main", Passphrase: passphrase})))(t)
	s.stop()
	next := start(t, t.TempDir())
	next.joinTransport(f)
	m := attachMain("", true)
	m.Passphrase = passphrase
	if _, err := next.attach(m); err != nil {
		t.Fatal(err)
	}
	export := func() error {
		_, err := next.repositories().ExportRecoveryKey(t.Context(), connect.NewRequest(&keepwardv1.ExportRecoveryKeyRequest{Name: "main"}))
		return err
	}
	if err := export(); errs.CodeOf(err) != "repository.recovery-unknown" {
		t.Error(err)
	}
	must(next.repositories().AddRepositoryKey(t.Context(), connect.NewRequest(&keepwardv1.AddRepositoryKeyRequest{Name: "main"})))(t)
	if err := export(); err != nil {
		t.Error(err)
	}
}
