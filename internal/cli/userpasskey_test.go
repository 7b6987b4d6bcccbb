package cli_test

import (
	"context"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

func (f *fake) ListPasskeys(_ context.Context, r *connect.Request[keepwardv1.ListPasskeysRequest]) (*connect.Response[keepwardv1.ListPasskeysResponse], error) {
	if r.Msg.GetUser() == "ben" {
		return connect.NewResponse(&keepwardv1.ListPasskeysResponse{Unavailable: "where browsers reach the console is not set"}), nil
	}
	return connect.NewResponse(&keepwardv1.ListPasskeysResponse{Passkeys: []*keepwardv1.Passkey{
		{Id: "9c41d2a07be3", Name: "telephone" + r.Msg.GetUser(), Created: timestamppb.New(now), Synced: true},
	}}), nil
}

func (f *fake) RemovePasskey(_ context.Context, r *connect.Request[keepwardv1.RemovePasskeyRequest]) (*connect.Response[keepwardv1.RemovePasskeyResponse], error) {
	if r.Msg.GetId() != "9c41d2a07be3" {
		return nil, errs.New(errs.NotFound, "passkey.not-found", "remove a passkey: there is none with the id %q", r.Msg.GetId())
	}
	return connect.NewResponse(&keepwardv1.RemovePasskeyResponse{Name: "telephone", User: "of " + r.Msg.GetUser()}), nil
}

func TestPasskeysAreListedAndRemoved(t *testing.T) {
	f := newFake(t)
	f.do(t, "user", "passkey", "list").want(t, 0, "9c41d2a07be3", "telephone ", "2026-11-01 12:00:00", "yes")
	f.do(t, "user", "passkey", "list", "ann").want(t, 0, "telephoneann")
	f.do(t, "user", "passkey", "list", "ben").want(t, 0, "none can be made or used now: where browsers reach the console is not set")
	f.do(t, "user", "passkey", "list", "-o", "json").want(t, 0, `"id": "9c41d2a07be3"`)
	f.do(t, "user", "passkey", "remove", "9c41d2a07be3", "ann").want(t, 0, "passkey telephone of of ann is removed")
	f.do(t, "user", "passkey", "remove", "0").want(t, 4, "there is none with the id")
	f.do(t, "user", "passkey", "remove").want(t, 2, "wants ID")
}
