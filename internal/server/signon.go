package server

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/audit"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/repo/seal"
	"keepward/internal/signon"
)

const (
	// signOnLife is how long a login through a provider lasts: it may have let its user go since.
	signOnLife = 12 * time.Hour
	// signOnKey is the setting that keeps the provider, sealed.
	signOnKey = "sign-on.provider"
	// signOnBack is where the console takes browsers back.
	signOnBack = "/login/sign-on/back"

	signOnNameMost = 60
	signOnNextMost = 2048
)

// signOnService has users log in through a provider of OpenID Connect.
type signOnService struct {
	*accessService
	desk *signon.Desk
}

// keptProvider is the provider as it is kept.
type keptProvider struct {
	signon.Provider
	Name string // what people call it
}

func (k *keyring) sealSignOn(p []byte) ([]byte, error) {
	return seal.SealBytes(k.key, p, []byte(signOnKey))
}

// signOnProvider is the provider that is set up; false: none is.
func (s *server) signOnProvider(ctx context.Context, q catalog.Queryer) (p keptProvider, ok bool, err error) {
	sealed, err := catalog.Setting(ctx, q, signOnKey)
	if err != nil || len(sealed) == 0 {
		return p, false, err
	}
	data, err := seal.OpenBytes(s.data.keys.key, sealed, []byte(signOnKey))
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err != nil {
		return p, false, errs.New(errs.Corrupt, "sign-on.sealed", "open the provider of single sign-on: %w", err).WithHint("set it up again: keepward sign-on set")
	}
	return p, true, nil
}

// readyProvider is the provider, and where it sends browsers back.
func (s *server) readyProvider(ctx context.Context) (p keptProvider, back string, err error) {
	p, ok, err := s.signOnProvider(ctx, s.db.Read())
	if err != nil {
		return p, "", err
	}
	if !ok {
		return p, "", errs.New(errs.NotFound, "sign-on.none", "log in by single sign-on: no provider is set up").WithHint("an administrator does: keepward sign-on set")
	}
	back, err = s.signOnReturn()
	return p, back, err
}

func (s *server) signOnReturn() (string, error) {
	origin := s.consoleOrigin()
	if origin == "" {
		return "", errs.New(errs.Invalid, "sign-on.no-origin", "use single sign-on: where browsers reach the console is not set").
			WithHint("set it: keepward setting set console_url https://HOST:PORT")
	}
	return origin + signOnBack, nil
}

func (s *signOnService) GetSignOnProvider(ctx context.Context, _ *connect.Request[keepwardv1.GetSignOnProviderRequest]) (*connect.Response[keepwardv1.GetSignOnProviderResponse], error) {
	p, ok, err := s.signOnProvider(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	res := &keepwardv1.GetSignOnProviderResponse{}
	if back, err := s.signOnReturn(); err == nil {
		res.RedirectUrl = back
	}
	if ok {
		res.Provider = &keepwardv1.SignOnProvider{Issuer: p.Issuer, ClientId: p.ClientID, Name: p.Name, Ca: p.CA}
	}
	return connect.NewResponse(res), nil
}

func (s *signOnService) SetSignOnProvider(ctx context.Context, req *connect.Request[keepwardv1.SetSignOnProviderRequest]) (*connect.Response[keepwardv1.SetSignOnProviderResponse], error) {
	back, err := s.signOnReturn()
	if err != nil {
		return nil, err
	}
	m := req.Msg.GetProvider()
	p := keptProvider{Name: strings.TrimSpace(m.GetName()), Provider: signon.Provider{Issuer: strings.TrimSpace(m.GetIssuer()), ClientID: strings.TrimSpace(m.GetClientId()), CA: m.GetCa(), Secret: req.Msg.GetSecret()}}
	if p.Name == "" || len(p.Name) > signOnNameMost || strings.ContainsFunc(p.Name, func(r rune) bool { return r < ' ' }) {
		return nil, errs.New(errs.Invalid, "sign-on.provider", "set up single sign-on: its name is a line of 1 to %d bytes", signOnNameMost).WithHint("it stands on the login page, such as: Example Ltd")
	}
	had, ok, err := s.signOnProvider(ctx, s.db.Read())
	if err != nil && errs.CodeOf(err) != "sign-on.sealed" {
		return nil, err
	}
	if p.Secret == "" {
		// A secret goes to nobody but whom it was given for.
		if !ok || had.Issuer != p.Issuer {
			return nil, errs.New(errs.Invalid, "sign-on.provider", "set up single sign-on: the client's secret is missing").WithHint("it is kept for the same issuer only")
		}
		p.Secret = had.Secret
	}
	if err := p.Check(); err != nil {
		return nil, err
	}
	if err := p.Test(ctx); err != nil {
		return nil, err
	}
	data, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	sealed, err := s.data.keys.sealSignOn(data)
	if err != nil {
		return nil, err
	}
	if err := s.db.Write(ctx, func(tx *sql.Tx) error { return catalog.SetSetting(ctx, tx, signOnKey, sealed) }); err != nil {
		return nil, err
	}
	s.audit(ctx, "single sign-on set up", "issuer", p.Issuer, "client", p.ClientID)
	return connect.NewResponse(&keepwardv1.SetSignOnProviderResponse{RedirectUrl: back}), nil
}

func (s *signOnService) RemoveSignOnProvider(ctx context.Context, _ *connect.Request[keepwardv1.RemoveSignOnProviderRequest]) (*connect.Response[keepwardv1.RemoveSignOnProviderResponse], error) {
	if err := s.db.Write(ctx, func(tx *sql.Tx) error { return catalog.DeleteSetting(ctx, tx, signOnKey) }); err != nil {
		return nil, err
	}
	s.audit(ctx, "single sign-on removed")
	return connect.NewResponse(&keepwardv1.RemoveSignOnProviderResponse{}), nil
}

func (s *signOnService) TestSignOnProvider(ctx context.Context, _ *connect.Request[keepwardv1.TestSignOnProviderRequest]) (*connect.Response[keepwardv1.TestSignOnProviderResponse], error) {
	p, _, err := s.readyProvider(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.Test(ctx); err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.TestSignOnProviderResponse{}), nil
}

// GetSignOn answers no name where there is no single sign-on: it is asked for each time somebody comes to
// log in.
func (s *signOnService) GetSignOn(ctx context.Context, _ *connect.Request[keepwardv1.GetSignOnRequest]) (*connect.Response[keepwardv1.GetSignOnResponse], error) {
	p, _, err := s.readyProvider(ctx)
	switch errs.CodeOf(err) {
	case "sign-on.none", "sign-on.no-origin":
		return connect.NewResponse(&keepwardv1.GetSignOnResponse{}), nil
	}
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.GetSignOnResponse{Name: p.Name}), nil
}

// send makes what a browser needs to set out.
func (s *signOnService) send(ctx context.Context, t signon.Ticket) (*connect.Response[keepwardv1.GetSignOnURLResponse], error) {
	p, back, err := s.readyProvider(ctx)
	if err != nil {
		return nil, err
	}
	if len(t.Next) > signOnNextMost {
		t.Next = ""
	}
	to, ticket, err := s.desk.Send(ctx, p.Provider, back, t)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.GetSignOnURLResponse{Url: to, Ticket: ticket, Name: p.Name}), nil
}

func (s *signOnService) GetSignOnURL(ctx context.Context, req *connect.Request[keepwardv1.GetSignOnURLRequest]) (*connect.Response[keepwardv1.GetSignOnURLResponse], error) {
	return s.send(ctx, signon.Ticket{Next: req.Msg.GetNext()})
}

func (s *signOnService) ConnectSignOn(ctx context.Context, req *connect.Request[keepwardv1.ConnectSignOnRequest]) (*connect.Response[keepwardv1.GetSignOnURLResponse], error) {
	c, err := s.newWayIn(ctx, "connect the account", req.Peer().Addr, req.Msg.GetPassword(), req.Msg.GetCode(), nil)
	if err != nil {
		return nil, err
	}
	return s.send(ctx, signon.Ticket{User: c.user.ID, Login: c.token.ID, Next: req.Msg.GetNext()})
}

func (s *signOnService) FinishSignOn(ctx context.Context, req *connect.Request[keepwardv1.FinishSignOnRequest]) (*connect.Response[keepwardv1.FinishSignOnResponse], error) {
	peer := req.Peer().Addr
	res, of, err := s.finish(ctx, req.Msg, peer)
	if err != nil {
		s.log.Warn("single sign-on refused", "user", of, "peer", peer, "reason", err)
		return nil, err
	}
	s.log.Info("single sign-on", "user", of, "login", res.Login != nil, "peer", peer)
	return connect.NewResponse(res), nil
}

// finish takes a browser back. of is the user that it is about, as far as that is known, also where it is
// refused.
func (s *signOnService) finish(ctx context.Context, m *keepwardv1.FinishSignOnRequest, peer string) (res *keepwardv1.FinishSignOnResponse, of string, err error) {
	p, back, err := s.readyProvider(ctx)
	if err != nil {
		return nil, "", err
	}
	query, err := url.ParseQuery(m.GetQuery())
	if err != nil {
		return nil, "", errs.New(errs.Invalid, "access.sign-on", "log in by single sign-on: the answer cannot be read: %w", err)
	}
	if err := s.throttle.try("", peer); err != nil {
		return nil, "", err
	}
	ticket, who, err := s.desk.Return(ctx, p.Provider, back, m.GetTicket(), query)
	if err == nil {
		res = &keepwardv1.FinishSignOnResponse{Next: ticket.Next}
		if ticket.User != 0 {
			of, err = s.connect(ctx, ticket, who)
		} else {
			res.Login, of, err = s.loginBy(ctx, who, peer)
		}
	}
	if errs.KindOf(err) != errs.Denied {
		s.throttle.undo("", peer)
	}
	return res, of, err
}

// loginBy logs in whose account somebody at the provider is connected with. Whether a second factor is
// asked for is the provider's matter.
func (s *signOnService) loginBy(ctx context.Context, who signon.Person, peer string) (res *keepwardv1.LoginResponse, of string, err error) {
	res, err = s.finishLogin(ctx, peer, signOnLife, func(tx *sql.Tx) (catalog.User, string, error) {
		kept, u, known, err := catalog.SignOnOf(ctx, tx, who.Issuer, who.Subject)
		if err != nil {
			return u, "", err
		}
		if !known {
			return u, "", errs.New(errs.Denied, "access.sign-on-unknown", "log in by single sign-on: %q is connected with no account here", who.Label).
				WithHint("log in with the password and connect your account on the page Account; if you have none, ask an administrator")
		}
		of, kept.Used = u.Name, time.Now()
		return u, "sign-on", catalog.UseSignOn(ctx, tx, kept)
	})
	return res, of, err
}

// connect connects the account of who has proved to be its user before setting out, unless the login by
// which that was has ended since, as when the account was taken back.
func (s *signOnService) connect(ctx context.Context, t signon.Ticket, who signon.Person) (of string, err error) {
	sum := sha256.Sum256([]byte(who.Issuer + "\n" + who.Subject))
	kept := catalog.SignOn{ID: hex.EncodeToString(sum[:6]), Issuer: who.Issuer, Subject: who.Subject, UserID: t.User, Label: who.Label, Created: time.Now()}
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		u, err := catalog.UserByID(ctx, tx, t.User)
		if err != nil {
			return err
		}
		of = u.Name
		tokens, err := catalog.APITokens(ctx, tx, u.Name, time.Now())
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(tokens, func(k catalog.APIToken) bool { return k.ID == t.Login }) {
			return errs.New(errs.Denied, "access.sign-on", "connect the account of %s: the login by which it was asked for has ended", u.Name).WithHint("log in and begin anew")
		}
		err = auditIn(ctx, tx, func(r *audit.Row) {
			r.User, r.Role = u.Name, u.Role
			r.Named = append(r.Named, audit.Named{Field: "connects", Value: kept.ID})
		})
		if err != nil {
			return err
		}
		return catalog.AddSignOn(ctx, tx, kept)
	})
	return of, err
}

func (s *signOnService) ListSignOns(ctx context.Context, req *connect.Request[keepwardv1.ListSignOnsRequest]) (*connect.Response[keepwardv1.ListSignOnsResponse], error) {
	u, err := whose(ctx, s.db.Read(), "list what the account is connected with", req.Msg.GetUser())
	if err != nil {
		return nil, err
	}
	list, err := catalog.SignOns(ctx, s.db.Read(), u.ID)
	if err != nil {
		return nil, err
	}
	res := &keepwardv1.ListSignOnsResponse{}
	if p, _, err := s.readyProvider(ctx); err == nil {
		res.Provider = p.Name
	}
	for _, o := range list {
		res.SignOns = append(res.SignOns, &keepwardv1.SignOn{Id: o.ID, Issuer: o.Issuer, Label: o.Label, Created: timestamp(o.Created), Used: timestamp(o.Used)})
	}
	return connect.NewResponse(res), nil
}

func (s *signOnService) DisconnectSignOn(ctx context.Context, req *connect.Request[keepwardv1.DisconnectSignOnRequest]) (*connect.Response[keepwardv1.DisconnectSignOnResponse], error) {
	const doing = "disconnect the account"
	c, _ := callerOf(ctx)
	if err := noToken(c, doing); err != nil {
		return nil, err
	}
	var gone catalog.SignOn
	var of catalog.User
	err := s.db.Write(ctx, func(tx *sql.Tx) (err error) {
		if of, err = whose(ctx, tx, doing, req.Msg.GetUser()); err != nil {
			return err
		}
		list, err := catalog.SignOns(ctx, tx, of.ID)
		if err != nil {
			return err
		}
		for _, o := range list {
			if o.ID == req.Msg.GetId() {
				gone = o
				return catalog.DeleteSignOn(ctx, tx, o.ID)
			}
		}
		return errs.New(errs.NotFound, "sign-on.not-found", "%s of %s: there is nobody with the id %q", doing, of.Name, req.Msg.GetId()).
			WithHint("see keepward sign-on list %s", of.Name)
	})
	if err != nil {
		return nil, err
	}
	s.audit(ctx, "account disconnected", "name", of.Name, "sign_on", gone.ID)
	return connect.NewResponse(&keepwardv1.DisconnectSignOnResponse{User: of.Name, Label: gone.Label}), nil
}
