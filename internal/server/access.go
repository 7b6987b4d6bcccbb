package server

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/semaphore"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/audit"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/pki"
)

const (
	loginLife = 30 * 24 * time.Hour
	// loginsAtOnce bounds what guessers can make the server spend: each check takes 64 MiB
	// and a core for some 50 ms.
	loginsAtOnce = 2

	joinTokenLife     = time.Hour
	joinTokenLifeMost = 30 * 24 * time.Hour
)

type accessService struct {
	*server
	logins   *semaphore.Weighted
	throttle *throttle
	// nobody is checked where there is no such user, so that both answers take as long.
	nobody func() string
}

func newAccessService(s *server) *accessService {
	return &accessService{
		server: s, logins: semaphore.NewWeighted(loginsAtOnce), throttle: newThrottle(time.Now),
		nobody: sync.OnceValue(func() string { return catalog.HashPassword(pki.NewSecret()) }),
	}
}

func (s *accessService) Login(ctx context.Context, req *connect.Request[keepwardv1.LoginRequest]) (*connect.Response[keepwardv1.LoginResponse], error) {
	user, addr := req.Msg.User, req.Peer().Addr
	res, err := s.login(ctx, req.Msg, addr)
	if err != nil {
		s.log.Warn("login refused", "user", user, "peer", addr, "reason", err)
		return nil, err
	}
	s.log.Info("login", "user", user, "peer", addr)
	return connect.NewResponse(res), nil
}

func (s *accessService) login(ctx context.Context, m *keepwardv1.LoginRequest, peer string) (*keepwardv1.LoginResponse, error) {
	name := m.GetUser()
	u, known, err := catalog.UserByName(ctx, s.db.Read(), name)
	if err != nil {
		return nil, err
	}
	if !known {
		u.Name, u.Password = name, s.nobody()
	}
	right, err := s.rightPassword(ctx, u, m.GetPassword(), peer)
	if err != nil {
		return nil, err
	}
	if !right || !known {
		return nil, errs.New(errs.Denied, "access.login", "log in as %q: user or password is wrong", name)
	}
	res, err := s.finishLogin(ctx, peer, loginLife, func(tx *sql.Tx) (catalog.User, string, error) {
		by, err := s.useCode(ctx, tx, fmt.Sprintf("log in as %q", name), u, m.GetCode())
		return u, by, err
	})
	switch {
	case err == nil:
		s.throttle.right(name, peer)
	case errs.CodeOf(err) == "access.code": // a wrong one is a wrong try
	default:
		s.throttle.undo(name, peer)
	}
	return res, err
}

// finishLogin makes the token of a login, for so long. proved says whose it is. It is asked last, in the
// transaction that makes the token, so that what it uses up is used once; by is what the audit log has
// as the proof if that is not the password alone.
func (s *accessService) finishLogin(ctx context.Context, peer string, life time.Duration, proved func(tx *sql.Tx) (u catalog.User, by string, err error)) (*keepwardv1.LoginResponse, error) {
	now := time.Now()
	token, expires := newAPIToken(), now.Add(life)
	var u catalog.User
	err := s.db.Write(ctx, func(tx *sql.Tx) (err error) {
		var by string
		if u, by, err = proved(tx); err != nil {
			return err
		}
		err = auditIn(ctx, tx, func(r *audit.Row) {
			r.User = u.Name
			if r.Token, r.Role = catalog.TokenID(token), u.Role; by != "" {
				r.Named = append(r.Named, audit.Named{Field: "by", Value: by})
			}
		})
		if err != nil {
			return err
		}
		return catalog.AddAPIToken(ctx, tx, token, catalog.APIToken{
			UserID: u.ID, Kind: catalog.TokenLogin, Label: "login", Address: hostOf(peer), Created: now, Expires: expires, Confirmed: now,
		})
	})
	if err != nil {
		return nil, err
	}
	return &keepwardv1.LoginResponse{Token: token, User: u.Name, Expires: timestamppb.New(expires)}, nil
}

// rightPassword looks at one try, wherever it is made: all of them count for the wait.
func (s *accessService) rightPassword(ctx context.Context, u catalog.User, password, peer string) (bool, error) {
	if err := s.throttle.try(u.Name, peer); err != nil {
		return false, err
	}
	if err := s.logins.Acquire(ctx, 1); err != nil {
		return false, err
	}
	defer s.logins.Release(1)
	return catalog.CheckPassword(u.Password, password)
}

func (s *accessService) CreateToken(ctx context.Context, req *connect.Request[keepwardv1.CreateTokenRequest]) (*connect.Response[keepwardv1.CreateTokenResponse], error) {
	role, err := nodeRole(req.Msg.Role)
	if err != nil {
		return nil, err
	}
	if req.Msg.Group != "" {
		if err := s.groupToken(ctx, role, req.Msg); err != nil {
			return nil, err
		}
	} else if err := pki.CheckName(string(role), req.Msg.Name); err != nil {
		return nil, err
	}
	life := joinTokenLife
	if req.Msg.Ttl != nil {
		life = req.Msg.Ttl.AsDuration()
	}
	if life <= 0 || life > joinTokenLifeMost {
		return nil, errs.New(errs.Invalid, "join-token.life", "create join token: it may live up to 30 days, not %s", life)
	}
	now, token := time.Now(), s.data.authority.NewToken()
	info := catalog.JoinToken{ID: pki.NewSecret()[:8], Role: string(role), Name: req.Msg.Name, Group: req.Msg.Group, Created: now, Expires: now.Add(life)}
	err = s.db.Write(ctx, func(tx *sql.Tx) error { return catalog.AddJoinToken(ctx, tx, token.Secret, info) })
	if err != nil {
		return nil, err
	}
	s.audit(ctx, "join token created", "id", info.ID, "role", info.Role, "name", info.Name, "group", info.Group, "expires", info.Expires)
	return connect.NewResponse(&keepwardv1.CreateTokenResponse{Token: token.Text(), Info: joinTokenMessage(info)}), nil
}

func (s *accessService) ListTokens(ctx context.Context, _ *connect.Request[keepwardv1.ListTokensRequest]) (*connect.Response[keepwardv1.ListTokensResponse], error) {
	tokens, err := catalog.JoinTokens(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	res := &keepwardv1.ListTokensResponse{}
	for _, t := range tokens {
		res.Tokens = append(res.Tokens, joinTokenMessage(t))
	}
	return connect.NewResponse(res), nil
}

func (s *accessService) RevokeToken(ctx context.Context, req *connect.Request[keepwardv1.RevokeTokenRequest]) (*connect.Response[keepwardv1.RevokeTokenResponse], error) {
	err := s.db.Write(ctx, func(tx *sql.Tx) error { return catalog.RevokeJoinToken(ctx, tx, req.Msg.Id) })
	if err != nil {
		return nil, err
	}
	s.audit(ctx, "join token revoked", "id", req.Msg.Id)
	return connect.NewResponse(&keepwardv1.RevokeTokenResponse{}), nil
}

func joinTokenMessage(t catalog.JoinToken) *keepwardv1.JoinToken {
	return &keepwardv1.JoinToken{
		Id: t.ID, Role: t.Role, Name: t.Name, Revoked: t.Revoked, Group: t.Group, Uses: t.Uses,
		Created: timestamp(t.Created), Expires: timestamp(t.Expires), Used: timestamp(t.Used),
	}
}

// timestamp is t as it travels; the zero time is none.
func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// audit logs a change with who made it, for who reads the server's log. The audit log is another
// thing: see audit.go.
func (s *server) audit(ctx context.Context, what string, args ...any) {
	s.log.Info(what, append([]any{"user", userOf(ctx)}, args...)...)
}
