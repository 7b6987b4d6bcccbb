package server

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/pki"
)

// userService keeps the users. What it changes counts at once, for tokens and streams that are out.
type userService struct{ *accessService }

const (
	// passwordLeast: what is shorter is guessed, however slow guessing is made.
	passwordLeast = 10
	// passwordMost: what is longer is the wrong file.
	passwordMost = 1 << 10
)

// hash makes what is kept of a new password. It takes memory as a login does, so it lines up with them.
func (s *accessService) hash(ctx context.Context, name, password string) (string, error) {
	if n := len(password); n < passwordLeast || n > passwordMost {
		return "", errs.New(errs.Invalid, "user.password", "set the password of %s: it must have %d to %d bytes", name, passwordLeast, passwordMost)
	}
	if err := s.logins.Acquire(ctx, 1); err != nil {
		return "", err
	}
	defer s.logins.Release(1)
	return catalog.HashPassword(password), nil
}

func (s *userService) CreateUser(ctx context.Context, req *connect.Request[keepwardv1.CreateUserRequest]) (*connect.Response[keepwardv1.CreateUserResponse], error) {
	m := req.Msg
	if err := pki.CheckName("user", m.GetName()); err != nil {
		return nil, err
	}
	if err := checkRole(m.GetRole()); err != nil {
		return nil, err
	}
	hash, err := s.hash(ctx, m.GetName(), m.GetPassword())
	if err != nil {
		return nil, err
	}
	u := catalog.User{Name: m.GetName(), Role: m.GetRole(), Password: hash, Created: time.Now()}
	err = s.db.Write(ctx, func(tx *sql.Tx) (err error) {
		if u.Groups, err = groupsThere(ctx, tx, m.GetLimit().GetGroups()); err != nil {
			return err
		}
		_, err = catalog.AddUser(ctx, tx, u)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.audit(ctx, "user created", "name", u.Name, "role", u.Role)
	return connect.NewResponse(&keepwardv1.CreateUserResponse{User: userMessage(u, nil)}), nil
}

func userMessage(u catalog.User, tokens []catalog.APIToken) *keepwardv1.User {
	m := &keepwardv1.User{Name: u.Name, Role: u.Role, Created: timestamp(u.Created), OneTimeCodes: u.Codes, Groups: u.Groups}
	for _, t := range tokens {
		switch {
		case t.UserID != u.ID:
		case t.Kind == catalog.TokenLogin:
			m.Logins++
		default:
			m.Tokens++
		}
	}
	return m
}

func (s *userService) ListUsers(ctx context.Context, _ *connect.Request[keepwardv1.ListUsersRequest]) (*connect.Response[keepwardv1.ListUsersResponse], error) {
	list, err := catalog.ListUsers(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	tokens, err := catalog.APITokens(ctx, s.db.Read(), "", time.Now())
	if err != nil {
		return nil, err
	}
	res := &keepwardv1.ListUsersResponse{}
	for _, u := range list {
		res.Users = append(res.Users, userMessage(u, tokens))
	}
	return connect.NewResponse(res), nil
}

// notTheLast refuses what would leave nobody who may let others in again.
// two: there must be two of them.
func notTheLast(ctx context.Context, tx *sql.Tx, doing string, u catalog.User, two bool) error {
	if !ruling(u) {
		return nil
	}
	n, err := catalog.CountUsers(ctx, tx, roleAdmin)
	if err != nil {
		return err
	}
	if n == 2 && two {
		return errs.New(errs.Denied, "user.last-second", "%s user %s: one administrator would be left, and nobody could approve (setting %s)", doing, u.Name, settingSecondPerson).
			WithHint("make another one first: keepward user create NAME --role %s", roleAdmin)
	}
	if n <= 1 {
		return errs.New(errs.Denied, "user.last-admin", "%s user %s: it is the last administrator", doing, u.Name).
			WithHint("make another one first: keepward user create NAME --role %s", roleAdmin)
	}
	return nil
}

func (s *userService) EditUser(ctx context.Context, req *connect.Request[keepwardv1.EditUserRequest]) (*connect.Response[keepwardv1.EditUserResponse], error) {
	m := req.Msg
	if m.GetRole() != "" || m.GetLimit() == nil {
		if err := checkRole(m.GetRole()); err != nil {
			return nil, err
		}
	}
	two, err := s.manager.SecondPerson(ctx)
	if err != nil {
		return nil, err
	}
	var u catalog.User
	err = s.db.Write(ctx, func(tx *sql.Tx) (err error) {
		if u, err = catalog.GetUser(ctx, tx, m.GetName()); err != nil {
			return err
		}
		to := u
		to.Role = cmp.Or(m.GetRole(), u.Role)
		if m.GetLimit() != nil {
			if to.Groups, err = groupsThere(ctx, tx, m.GetLimit().GetGroups()); err != nil {
				return err
			}
		}
		if to.Role != roleAdmin || len(to.Groups) > 0 {
			if err := notTheLast(ctx, tx, "change the role of", u, two); err != nil {
				return err
			}
		}
		u = to
		return catalog.PutUser(ctx, tx, u)
	})
	if err != nil {
		return nil, err
	}
	s.changed(ctx)
	s.audit(ctx, "user changed", "name", u.Name, "role", u.Role)
	tokens, err := catalog.APITokens(ctx, s.db.Read(), u.Name, time.Now())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.EditUserResponse{User: userMessage(u, tokens)}), nil
}

// groupsThere are the groups that somebody is limited to, each once. One that is not there is refused:
// it may be a wrong word, and whoever is limited to it would see nothing.
func groupsThere(ctx context.Context, q catalog.Queryer, names []string) ([]string, error) {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	for _, n := range names {
		if _, err := catalog.GetGroup(ctx, q, n); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// changed ends the streams of who may no more, also if who changed it has gone.
func (s *server) changed(ctx context.Context) { s.guard.streams.recheck(context.WithoutCancel(ctx)) }

func (s *userService) RemoveUser(ctx context.Context, req *connect.Request[keepwardv1.RemoveUserRequest]) (*connect.Response[keepwardv1.RemoveUserResponse], error) {
	two, err := s.manager.SecondPerson(ctx)
	if err != nil {
		return nil, err
	}
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		u, err := catalog.GetUser(ctx, tx, req.Msg.GetName())
		if err != nil {
			return err
		}
		if err := notTheLast(ctx, tx, "remove", u, two); err != nil {
			return err
		}
		return catalog.DeleteUser(ctx, tx, u.ID)
	})
	if err != nil {
		return nil, err
	}
	s.changed(ctx)
	s.audit(ctx, "user removed", "name", req.Msg.GetName())
	return connect.NewResponse(&keepwardv1.RemoveUserResponse{}), nil
}

func (s *userService) SetPassword(ctx context.Context, req *connect.Request[keepwardv1.SetPasswordRequest]) (*connect.Response[keepwardv1.SetPasswordResponse], error) {
	m := req.Msg
	c, _ := callerOf(ctx)
	name := m.GetName()
	if name == "" {
		name = c.user.Name
	}
	// Of the own password the one that there is is asked for, whoever it is: a stolen login, or token, must not
	// become one that lasts. The client file is the key of whoever has the server's disk.
	if !c.administers() || name == c.user.Name && c.token.Kind != catalog.TokenFile {
		if err := s.mayChangeOwn(ctx, c, name, m.GetCurrentPassword(), req.Peer().Addr); err != nil {
			return nil, err
		}
	} else if err := s.guard.recently(ctx, "set the password of "+name); err != nil {
		return nil, err
	}
	hash, err := s.hash(ctx, name, m.GetPassword())
	if err != nil {
		return nil, err
	}
	ended := 0
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		u, err := catalog.GetUser(ctx, tx, name)
		if err != nil {
			return err
		}
		u.Password = hash
		if err := catalog.PutUser(ctx, tx, u); err != nil {
			return err
		}
		if ended, err = catalog.EndLogins(ctx, tx, u.ID, c.token.ID); err != nil { // who knew the old one may have logged in
			return err
		}
		if u.ID != c.user.ID || c.token.Kind == catalog.TokenFile {
			// An account that is taken back: who had it may have left a way in.
			return errors.Join(catalog.DeletePasskeys(ctx, tx, u.ID), catalog.DeleteSignOns(ctx, tx, u.ID))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.changed(ctx)
	s.audit(ctx, "password set", "name", name, "ended_logins", ended)
	return connect.NewResponse(&keepwardv1.SetPasswordResponse{Name: name, EndedLogins: int32(ended)}), nil
}

// mayChangeOwn lets a user change the own password, by a login and the password that it has: a token
// that was stolen from a program is no way to it.
func (s *userService) mayChangeOwn(ctx context.Context, c caller, name, current, peer string) error {
	switch {
	case name != c.user.Name:
		return errs.New(errs.Denied, "user.not-own", "set the password of %s: user %s may only set the own one", name, c.user.Name)
	case c.token.Kind == catalog.TokenAPI:
		return errs.New(errs.Denied, "user.by-token", "set the password of %s: an API token may not", name).WithHint("log in first: keepward login HOST:PORT --user %s", name)
	}
	right, err := s.rightPassword(ctx, c.user, current, peer)
	if err != nil {
		return err
	}
	if !right {
		return errs.New(errs.Denied, "user.current-password", "set the password of %s: the current password is wrong", name)
	}
	s.throttle.undo(name, peer) // no more than that: the wrong codes of a login that is tried meanwhile still count
	return nil
}

func (s *userService) GetCaller(ctx context.Context, _ *connect.Request[keepwardv1.GetCallerRequest]) (*connect.Response[keepwardv1.GetCallerResponse], error) {
	c, _ := callerOf(ctx)
	tokens, err := catalog.APITokens(ctx, s.db.Read(), c.user.Name, time.Now())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.GetCallerResponse{User: userMessage(c.user, tokens), Role: c.role(), Token: tokenMessage(c.token, c)}), nil
}
