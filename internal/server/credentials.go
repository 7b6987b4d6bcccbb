package server

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/pki"
	"keepward/internal/repo/seal"
)

// credentialService keeps users and secrets of applications.
type credentialService struct{ *server }

// secretMost bounds a secret: what is longer is the wrong file.
const secretMost = 4 << 10

func (s *credentialService) SaveCredential(ctx context.Context, req *connect.Request[keepwardv1.SaveCredentialRequest]) (*connect.Response[keepwardv1.SaveCredentialResponse], error) {
	c := req.Msg.GetCredential()
	if err := pki.CheckName("credential", c.GetName()); err != nil {
		return nil, errs.New(errs.Invalid, errs.CodeOf(err), "%w", err)
	}
	if n := len(req.Msg.GetSecret()); n == 0 || n > secretMost || strings.ContainsAny(req.Msg.GetSecret(), "\x00\r\n") {
		return nil, errs.New(errs.Invalid, "credential.secret", "save credential %s: its secret must be one line of 1 to %d bytes", c.GetName(), secretMost)
	}
	if len(c.GetUser()) > 256 || len(c.GetDescription()) > 1024 {
		return nil, errs.New(errs.Invalid, "credential.field", "save credential %s: its user or description is too long", c.GetName())
	}
	sealed, err := s.data.keys.sealCredential(c.GetName(), req.Msg.GetSecret())
	if err != nil {
		return nil, err
	}
	row := catalog.Credential{Name: c.GetName(), User: c.GetUser(), Description: c.GetDescription(), Secret: sealed}
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		_, err := catalog.GetCredential(ctx, tx, row.Name)
		switch {
		case err == nil && !req.Msg.GetReplace():
			return errs.New(errs.Exists, "credential.exists", "make credential %q: there is one already", row.Name).WithHint("replace it with: keepward credential create %s --replace …", row.Name)
		case err != nil && errs.KindOf(err) != errs.NotFound:
			return err
		}
		return catalog.PutCredential(ctx, tx, row, time.Now())
	})
	if err != nil {
		return nil, err
	}
	s.audit(ctx, "credential saved", "credential", row.Name)
	list, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list, func(c *keepwardv1.Credential) bool { return c.GetName() == row.Name })
	if i < 0 {
		return nil, catalog.NotFound("credential", row.Name, nil) // it was deleted at once
	}
	return connect.NewResponse(&keepwardv1.SaveCredentialResponse{Credential: list[i]}), nil
}

func (s *credentialService) list(ctx context.Context) ([]*keepwardv1.Credential, error) {
	rows, err := catalog.Credentials(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	jobs, err := catalog.Jobs(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	out := make([]*keepwardv1.Credential, len(rows))
	for i, r := range rows {
		out[i] = &keepwardv1.Credential{
			Name: r.Name, User: r.User, Description: r.Description, Created: timestamppb.New(r.Created), Changed: timestamppb.New(r.Changed),
			Jobs: jobsWith(jobs, r.Name),
		}
	}
	return out, nil
}

// jobsWith are the jobs that name a credential.
func jobsWith(jobs []*keepwardv1.Job, credential string) (names []string) {
	for _, j := range jobs {
		if slices.ContainsFunc(j.GetApplications(), func(a *keepwardv1.Application) bool { return a.GetCredential() == credential }) ||
			slices.ContainsFunc(j.GetCommands(), func(c *keepwardv1.CommandSource) bool { return c.GetCredential() == credential }) {
			names = append(names, j.GetName())
		}
	}
	return names
}

func (s *credentialService) ListCredentials(ctx context.Context, _ *connect.Request[keepwardv1.ListCredentialsRequest]) (*connect.Response[keepwardv1.ListCredentialsResponse], error) {
	list, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.ListCredentialsResponse{Credentials: list}), nil
}

func (s *credentialService) DeleteCredential(ctx context.Context, req *connect.Request[keepwardv1.DeleteCredentialRequest]) (*connect.Response[keepwardv1.DeleteCredentialResponse], error) {
	name := req.Msg.GetName()
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		if _, err := catalog.GetCredential(ctx, tx, name); err != nil {
			return err
		}
		jobs, err := catalog.Jobs(ctx, tx)
		if err != nil {
			return err
		}
		if used := jobsWith(jobs, name); len(used) > 0 {
			return errs.New(errs.Busy, "credential.used", "delete credential %q: job %s names it", name, strings.Join(used, ", "))
		}
		return catalog.DeleteCredential(ctx, tx, name)
	})
	if err != nil {
		return nil, err
	}
	s.audit(ctx, "credential deleted", "credential", name)
	return connect.NewResponse(&keepwardv1.DeleteCredentialResponse{}), nil
}

func (k *keyring) sealCredential(name, secret string) ([]byte, error) {
	return seal.SealBytes(k.key, []byte(secret), []byte("credential:"+name))
}

// credential opens a secret, for an order that carries it.
func (k *keyring) credential(c catalog.Credential) (string, error) {
	b, err := seal.OpenBytes(k.key, c.Secret, []byte("credential:"+c.Name))
	if err != nil {
		return "", fmt.Errorf("open credential %s: %w", c.Name, err)
	}
	return string(b), nil
}
