package server

import (
	"context"
	"database/sql"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/words"
)

// A login lasts for a month, and lies in a browser or in a file all the time. Who has stolen one may look
// and run what is set up, but not do what cannot be undone: for that the user must have shown the password
// within the last hour, at the login or since. See docs/decisions/confirmed-logins.md.

// recently refuses a login that was not confirmed within the time that the setting confirm_logins gives.
// API tokens are for programs, which nobody could ask, and the client file for who has the server's disk.
func (g *guard) recently(ctx context.Context, doing string) error {
	c, _ := callerOf(ctx)
	if c.token.Kind != catalog.TokenLogin {
		return nil
	}
	within, err := g.confirmed(ctx)
	if err != nil {
		return err
	}
	if since := time.Since(c.token.Confirmed); since >= 0 && since < within {
		return nil
	}
	return errs.New(errs.Denied, "access.unconfirmed", "%s: user %s has not shown the password within the last %s", doing, c.user.Name, words.FormatDuration(within)).
		WithHint("confirm that it is you, and do it again: keepward login confirm")
}

// ConfirmLogin notes that whoever has the login knows the password too.
func (s *accessService) ConfirmLogin(ctx context.Context, req *connect.Request[keepwardv1.ConfirmLoginRequest]) (*connect.Response[keepwardv1.ConfirmLoginResponse], error) {
	within, err := s.manager.ConfirmLogins(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	c, err := s.newWayIn(ctx, "confirm the login", req.Peer().Addr, req.Msg.GetPassword(), req.Msg.GetCode(), func(tx *sql.Tx, c caller) error {
		return catalog.ConfirmToken(ctx, tx, c.token.ID, now)
	})
	if err != nil {
		return nil, err
	}
	s.audit(ctx, "login confirmed", "login", c.token.ID)
	return connect.NewResponse(&keepwardv1.ConfirmLoginResponse{Until: timestamppb.New(now.Add(within))}), nil
}
