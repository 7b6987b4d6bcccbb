package server

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/pki"
)

// tokenService keeps API tokens, those of logins among them.
type tokenService struct{ *server }

const (
	apiTokenLife     = 90 * 24 * time.Hour
	apiTokenLifeMost = 730 * 24 * time.Hour
	// apiTokensMost bounds what one user may make.
	apiTokensMost = 100
)

func (s *tokenService) CreateAPIToken(ctx context.Context, req *connect.Request[keepwardv1.CreateAPITokenRequest]) (*connect.Response[keepwardv1.CreateAPITokenResponse], error) {
	m := req.Msg
	c, _ := callerOf(ctx)
	if err := pki.CheckName("API token", m.GetName()); err != nil {
		return nil, err
	}
	now := time.Now()
	t := catalog.APIToken{
		UserID: c.user.ID, User: c.user.Name, Kind: catalog.TokenAPI, Label: m.GetName(), Role: cmp.Or(m.GetRole(), c.role()),
		Address: hostOf(req.Peer().Addr), Created: now,
	}
	if err := checkRole(t.Role); err != nil {
		return nil, err
	}
	if !within(t.Role, c.role()) {
		return nil, errs.New(errs.Denied, "api-token.role", "make API token %s: who calls has the role %s, and may not give %s", t.Label, c.role(), t.Role)
	}
	life := apiTokenLife
	if m.GetTtl() != nil {
		life = m.GetTtl().AsDuration()
	}
	if life <= 0 || life > apiTokenLifeMost {
		return nil, errs.New(errs.Invalid, "api-token.life", "make API token %s: it may live up to %d days, not %s", t.Label, int(apiTokenLifeMost.Hours()/24), life)
	}
	t.Expires = now.Add(life)
	if c.token.Kind == catalog.TokenAPI && t.Expires.After(c.token.Expires) {
		// Else a token that was stolen would have no end.
		return nil, errs.New(errs.Denied, "api-token.outlives", "make API token %s: it would outlive the token that makes it, which expires on %s", t.Label, c.token.Expires.UTC().Format(time.RFC3339)).
			WithHint("make it by a login: keepward login HOST:PORT --user %s", c.user.Name)
	}
	token := newAPIToken()
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		var err error
		if t.Groups, err = c.tokenGroups(ctx, tx, t.Label, m.GetGroups()); err != nil {
			return err
		}
		had, err := catalog.APITokens(ctx, tx, c.user.Name, now)
		if err != nil {
			return err
		}
		had = slices.DeleteFunc(had, func(o catalog.APIToken) bool { return o.Kind != catalog.TokenAPI })
		if slices.ContainsFunc(had, func(o catalog.APIToken) bool { return o.Label == t.Label }) {
			return errs.New(errs.Exists, "api-token.exists", "make API token %s: user %s has one of that name", t.Label, c.user.Name)
		}
		if len(had) >= apiTokensMost {
			return errs.New(errs.Denied, "api-token.many", "make API token %s: user %s has %d already", t.Label, c.user.Name, len(had))
		}
		return catalog.AddAPIToken(ctx, tx, token, t)
	})
	if err != nil {
		return nil, err
	}
	t.ID = catalog.TokenID(token)
	s.audit(ctx, "API token made", "id", t.ID, "name", t.Label, "role", t.Role, "expires", t.Expires)
	return connect.NewResponse(&keepwardv1.CreateAPITokenResponse{Token: token, Info: tokenMessage(t, c)}), nil
}

// tokenGroups are those that a new token is limited to. What makes it gives it no more than it has
// itself; the limits of the user hold beside them, whatever they are then.
func (c caller) tokenGroups(ctx context.Context, q catalog.Queryer, label string, asked []string) ([]string, error) {
	if len(c.token.Groups) == 0 {
		if len(c.user.Groups) == 0 {
			return groupsThere(ctx, q, asked)
		}
		// Which other groups there are is not for who is limited.
	}
	if len(asked) == 0 {
		return c.token.Groups, nil
	}
	for _, own := range [][]string{c.user.Groups, c.token.Groups} {
		for _, n := range asked {
			if len(own) > 0 && !slices.Contains(own, n) {
				return nil, errs.New(errs.Denied, "api-token.groups", "make API token %s: who calls is not for group %q", label, n)
			}
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(asked))), nil
}

func tokenMessage(t catalog.APIToken, c caller) *keepwardv1.APIToken {
	return &keepwardv1.APIToken{
		Id: t.ID, User: t.User, Kind: t.Kind, Name: t.Label, Role: t.Role, Address: t.Address, Groups: t.Groups,
		Created: timestamp(t.Created), Expires: timestamp(t.Expires), Used: timestamp(t.Used), Current: t.ID == c.token.ID,
	}
}

func (s *tokenService) ListAPITokens(ctx context.Context, req *connect.Request[keepwardv1.ListAPITokensRequest]) (*connect.Response[keepwardv1.ListAPITokensResponse], error) {
	c, _ := callerOf(ctx)
	of := c.user.Name
	if req.Msg.GetAll() {
		if !c.administers() {
			return nil, errs.New(errs.Denied, "api-token.all", "list tokens of all users: user %s sees only the own ones", c.user.Name)
		}
		of = ""
	}
	list, err := catalog.APITokens(ctx, s.db.Read(), of, time.Now())
	if err != nil {
		return nil, err
	}
	res := &keepwardv1.ListAPITokensResponse{}
	for _, t := range list {
		if kind := req.Msg.GetKind(); kind == "" || kind == t.Kind {
			res.Tokens = append(res.Tokens, tokenMessage(t, c))
		}
	}
	return connect.NewResponse(res), nil
}

func (s *tokenService) RevokeAPIToken(ctx context.Context, req *connect.Request[keepwardv1.RevokeAPITokenRequest]) (*connect.Response[keepwardv1.RevokeAPITokenResponse], error) {
	c, _ := callerOf(ctx)
	of := c.user.Name
	if c.administers() {
		of = ""
	}
	var gone catalog.APIToken
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		list, err := catalog.APITokens(ctx, tx, of, time.Now())
		if err != nil {
			return err
		}
		i := slices.IndexFunc(list, func(t catalog.APIToken) bool { return t.ID == req.Msg.GetId() })
		if i < 0 { // of another user is as if there were none
			return errs.New(errs.NotFound, "api-token.unknown", "end token %q: there is none of that number", req.Msg.GetId()).
				WithHint("keepward api-token list and keepward login list show them")
		}
		gone = list[i]
		return catalog.DeleteAPIToken(ctx, tx, gone.ID)
	})
	if err != nil {
		return nil, err
	}
	s.changed(ctx)
	s.audit(ctx, "API token ended", "id", gone.ID, "of", gone.User, "kind", gone.Kind)
	return connect.NewResponse(&keepwardv1.RevokeAPITokenResponse{Token: tokenMessage(gone, c)}), nil
}
