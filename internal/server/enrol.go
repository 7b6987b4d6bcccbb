package server

import (
	"context"
	"crypto"
	"database/sql"
	"encoding/hex"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/manager"
	"keepward/internal/pki"
	"keepward/internal/wire"
)

// enrolService lets nodes join: the token is their proof.
type enrolService struct{ *server }

func (s *enrolService) Join(ctx context.Context, req *connect.Request[keepwardv1.JoinRequest]) (*connect.Response[keepwardv1.JoinResponse], error) {
	m, addr := req.Msg, req.Peer().Addr
	res, err := s.join(ctx, m)
	if err != nil {
		s.log.Warn("join refused", "role", m.Role, "name", m.Name, "peer", addr, "reason", err)
		if errs.CodeOf(err) == codeNameTaken {
			s.nodes.twins.turnedAway(m.Name, addr, time.Now())
		}
		return nil, err
	}
	s.log.Info("node joined", "role", m.Role, "name", m.Name, "version", m.Version, "peer", addr)
	return connect.NewResponse(res), nil
}

func (s *enrolService) join(ctx context.Context, m *keepwardv1.JoinRequest) (*keepwardv1.JoinResponse, error) {
	role, err := nodeRole(m.Role)
	if err != nil {
		return nil, err
	}
	if err := pki.CheckName(m.Role, m.Name); err != nil {
		return nil, err
	}
	token, err := pki.ParseToken(m.Token)
	if err != nil {
		return nil, err
	}
	if token.Authority != s.data.authority.Fingerprint() {
		return nil, errs.New(errs.Denied, "join.refused", "join %s %q: the token was made by another server", m.Role, m.Name)
	}
	public, err := pki.ParseRequest(m.Csr)
	if err != nil {
		return nil, err
	}
	cert, err := s.admitNode(ctx, token.Secret, role, m.Name, public)
	if err != nil {
		return nil, err
	}
	s.nodes.cut(role, m.Name) // its certificate was replaced
	s.nodes.twins.forget(manager.Node{Role: role, Name: m.Name})
	return &keepwardv1.JoinResponse{
		Certificate: cert, Ca: s.data.authority.Certificate.Raw, ServerId: hex.EncodeToString(s.data.serverID[:]),
	}, nil
}

// admitNode spends the token, shuts out what was issued to the name before, and issues a
// certificate: all of it or nothing.
func (s *enrolService) admitNode(ctx context.Context, secret string, role wire.Role, name string, public crypto.PublicKey) (der []byte, err error) {
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		now := time.Now()
		if err := auditIn(ctx, tx, nil); err != nil {
			return err
		}
		group, err := catalog.UseJoinToken(ctx, tx, secret, string(role), name, now)
		if err != nil {
			return err
		}
		if group != "" {
			if err := newOrSame(ctx, tx, name, group, public); err != nil {
				return err
			}
		}
		if _, err := catalog.RevokeCertificates(ctx, tx, string(role), name, "the node joined again", now); err != nil {
			return err
		}
		cert, err := s.data.authority.Issue(role, name, public, pki.Names{}, now)
		if err != nil {
			return err
		}
		der = cert.Raw
		err = catalog.AddCertificate(ctx, tx, catalog.Certificate{
			Serial: cert.SerialNumber.String(), Role: string(role), Name: name, DER: der, Issued: now, Expires: cert.NotAfter,
		})
		if err != nil {
			return err
		}
		if role == wire.RoleTransport {
			return catalog.JoinTransport(ctx, tx, name, now)
		}
		if err := catalog.JoinComputer(ctx, tx, name, now); err != nil {
			return err
		}
		if group != "" {
			if err := catalog.AddGroupName(ctx, tx, group, catalog.NamesOfToken, name); err != nil {
				return err
			}
		}
		return noteMembers(ctx, tx, now)
	})
	return der, err
}

func nodeRole(role string) (wire.Role, error) {
	switch r := wire.Role(role); r {
	case wire.RoleAgent, wire.RoleTransport:
		return r, nil
	}
	return "", errs.New(errs.Invalid, "role.unknown", "check role: %q is neither agent nor transport", role)
}
