package server

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/catalog"
	"keepward/internal/errs"
)

func (s *testServer) credentials() keepwardv1connect.CredentialServiceClient {
	return keepwardv1connect.NewCredentialServiceClient(s.client, s.url(), as(s.token))
}

func (s *testServer) saveCredential(name, secret string, replace bool) (*keepwardv1.Credential, error) {
	s.t.Helper()
	res, err := s.credentials().SaveCredential(s.t.Context(), connect.NewRequest(&keepwardv1.SaveCredentialRequest{
		Credential: &keepwardv1.Credential{Name: name, User: "backup", Description: "for tests"}, Secret: secret, Replace: replace,
	}))
	if err != nil {
		return nil, err
	}
	return res.Msg.GetCredential(), nil
}

func TestCredentialsAreKeptSealedAndShownToNobody(t *testing.T) {
	s, _ := withRepository(t)
	const secret = "a secret that is found nowhere"
	made, err := s.saveCredential("pg", secret, false)
	if err != nil {
		t.Fatal(err)
	}
	if made.GetUser() != "backup" || made.GetCreated() == nil || len(made.GetJobs()) != 0 {
		t.Errorf("made %v", made)
	}
	if _, err := s.saveCredential("pg", secret, false); errs.CodeOf(err) != "credential.exists" {
		t.Errorf("made twice: %v", err)
	}
	for _, bad := range []string{"", "two\nlines", string(make([]byte, 5000))} {
		if _, err := s.saveCredential("bad", bad, false); errs.CodeOf(err) != "credential.secret" {
			t.Errorf("a secret of %d bytes: %v", len(bad), err)
		}
	}
	j := docs()
	j.Computers, j.Disabled = nil, true
	j.Applications = []*keepwardv1.Application{{Kind: "postgresql", Credential: "other"}}
	if _, err := s.createJob(j); errs.CodeOf(err) != "credential.unknown" {
		t.Errorf("a job with a credential that there is none of: %v", err)
	}
	j.Applications[0].Credential = "pg"
	if _, err := s.createJob(j); err != nil {
		t.Fatal(err)
	}
	if _, err := s.credentials().DeleteCredential(t.Context(), connect.NewRequest(&keepwardv1.DeleteCredentialRequest{Name: "pg"})); errs.CodeOf(err) != "credential.used" {
		t.Errorf("deleted though a job names it: %v", err)
	}
	list := must(s.credentials().ListCredentials(t.Context(), connect.NewRequest(&keepwardv1.ListCredentialsRequest{})))(t)
	if len(list.Credentials) != 1 || len(list.Credentials[0].Jobs) != 1 {
		t.Errorf("listed %v", list)
	}
	if _, err := s.saveCredential("shop", secret, false); err != nil {
		t.Fatal(err)
	}
	dumps := docs()
	dumps.Name, dumps.Computers, dumps.Disabled = "dumps", nil, true
	dumps.Commands = []*keepwardv1.CommandSource{{Name: "shop.sql", Path: "/dump", Credential: "other"}}
	if _, err := s.createJob(dumps); errs.CodeOf(err) != "credential.unknown" {
		t.Errorf("a command with a credential that there is none of: %v", err)
	}
	dumps.Commands[0].Credential = "shop"
	if _, err := s.createJob(dumps); err != nil {
		t.Fatal(err)
	}
	if _, err := s.credentials().DeleteCredential(t.Context(), connect.NewRequest(&keepwardv1.DeleteCredentialRequest{Name: "shop"})); errs.CodeOf(err) != "credential.used" {
		t.Errorf("deleted though a command has it: %v", err)
	}
	if bytes.Contains([]byte(s.export()+s.log.String()+list.String()), []byte(secret)) {
		t.Error("the secret is in an export, the log, or a list")
	}
	for _, pattern := range []string{"*", "*/*"} {
		files, err := filepath.Glob(filepath.Join(s.dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte(secret)) {
				t.Errorf("the secret is in %s", f)
			}
		}
	}
}

func TestASecretOpensUnderItsOwnNameOnly(t *testing.T) {
	k, err := openKeyring(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := k.sealCredential("one", "secret")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.credential(catalog.Credential{Name: "one", Secret: sealed}); err != nil || got != "secret" {
		t.Errorf("opened %q, %v", got, err)
	}
	if _, err := k.credential(catalog.Credential{Name: "other", Secret: sealed}); err == nil {
		t.Error("it opens under another name")
	}
}
