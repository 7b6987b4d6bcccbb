package cli_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

func (f *fake) SetSignOnProvider(_ context.Context, r *connect.Request[keepwardv1.SetSignOnProviderRequest]) (*connect.Response[keepwardv1.SetSignOnProviderResponse], error) {
	if p := r.Msg.GetProvider(); p.GetIssuer() != "https://id.example.com" || p.GetClientId() != "kw" || p.GetName() != "Example" || p.GetCa() != "PEM" {
		return nil, errs.New(errs.Invalid, "sign-on.provider", "set up single sign-on: %v", p)
	}
	return connect.NewResponse(&keepwardv1.SetSignOnProviderResponse{RedirectUrl: "https://back/" + r.Msg.GetSecret()}), nil
}

func (f *fake) GetSignOnProvider(context.Context, *connect.Request[keepwardv1.GetSignOnProviderRequest]) (*connect.Response[keepwardv1.GetSignOnProviderResponse], error) {
	return connect.NewResponse(&keepwardv1.GetSignOnProviderResponse{}), nil
}

func (f *fake) ListSignOns(_ context.Context, r *connect.Request[keepwardv1.ListSignOnsRequest]) (*connect.Response[keepwardv1.ListSignOnsResponse], error) {
	return connect.NewResponse(&keepwardv1.ListSignOnsResponse{SignOns: []*keepwardv1.SignOn{
		{Id: "5e80c1f2aa07", Issuer: "https://id.example.com", Label: "person" + r.Msg.GetUser(), Created: timestamppb.New(now)},
	}}), nil
}

func (f *fake) DisconnectSignOn(_ context.Context, r *connect.Request[keepwardv1.DisconnectSignOnRequest]) (*connect.Response[keepwardv1.DisconnectSignOnResponse], error) {
	return connect.NewResponse(&keepwardv1.DisconnectSignOnResponse{User: "<" + r.Msg.GetUser() + ">", Label: r.Msg.GetId()}), nil
}

func TestSingleSignOnIsSetUpWithASecretFromAFile(t *testing.T) {
	f := newFake(t)
	dir := t.TempDir()
	secret, ca := filepath.Join(dir, "secret"), filepath.Join(dir, "ca.pem")
	for path, text := range map[string]string{secret: "hidden\n", ca: "PEM"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set := []string{"sign-on", "set", "--issuer", "https://id.example.com", "--client-id", "kw", "--name", "Example", "--ca-file", ca}
	f.do(t, append(set, "--secret-file", secret)...).want(t, 0, "https://back/hidden")
	f.do(t, set...).want(t, 0, "https://back/")
	f.do(t, "sign-on", "set", "--issuer", "x").want(t, 2, "wants --client-id")
	f.do(t, append(set, "--secret-file", filepath.Join(dir, "none"))...).want(t, 4, "none")
	f.do(t, "sign-on", "show").want(t, 0, "no provider is set up")
	f.do(t, "sign-on", "list").want(t, 0, "5e80c1f2aa07", "person ", "2026-11-01 12:00:00")
	f.do(t, "sign-on", "list", "ann", "-o", "json").want(t, 0, `"label": "personann"`)
	f.do(t, "sign-on", "disconnect", "5e80c1f2aa07", "ann").want(t, 0, "the account of <ann> is disconnected from 5e80c1f2aa07")
}
