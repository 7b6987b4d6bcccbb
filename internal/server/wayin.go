package server

import (
	"context"
	"database/sql"

	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// This file is what the ways to log in beside the password have in common.

// consoleOrigin is where browsers reach the console; empty: it is not set.
func (s *server) consoleOrigin() string {
	origin, err := job.ConsoleURL(s.manager.ConsoleURL())
	if err != nil {
		return "" // it was looked at before it was kept
	}
	return origin
}

// whose is of which user something is asked for: those of others are for administrators.
func whose(ctx context.Context, q catalog.Queryer, doing, name string) (catalog.User, error) {
	c, _ := callerOf(ctx)
	if name == "" || name == c.user.Name {
		return c.user, nil
	}
	if !c.administers() {
		return catalog.User{}, errs.New(errs.Denied, "user.not-own", "%s of %s: user %s may only do that for the own ones", doing, name, c.user.Name)
	}
	return catalog.GetUser(ctx, q, name)
}

// newWayIn is who calls, who is about to make a way in beside password and code, or wants the login
// trusted with more. Both are asked for: who only has the browser of somebody must not be able to come
// back. then is done in the transaction that uses the code up; nil: nothing.
func (s *accessService) newWayIn(ctx context.Context, doing, peer, password, code string, then func(*sql.Tx, caller) error) (caller, error) {
	c, err := ownLogin(ctx, doing)
	if err != nil {
		return c, err
	}
	right, err := s.rightPassword(ctx, c.user, password, peer)
	if err != nil {
		return c, err
	}
	if !right {
		return c, errs.New(errs.Denied, "user.current-password", "%s of %s: the current password is wrong", doing, c.user.Name)
	}
	s.throttle.undo(c.user.Name, peer)
	return c, s.tryCode(ctx, c.user, peer, func(tx *sql.Tx) error {
		_, err := s.useCode(ctx, tx, doing+" of "+c.user.Name, c.user, code)
		if err != nil || then == nil {
			return err
		}
		return then(tx, c)
	})
}

// ownLogin is who calls, by a login: a token that was stolen from a program is no way to one that lasts.
func ownLogin(ctx context.Context, doing string) (caller, error) {
	c, _ := callerOf(ctx)
	if c.token.Kind != catalog.TokenLogin {
		return c, errs.New(errs.Denied, "user.by-token", "%s of %s: only a login may, and this is a token", doing, c.user.Name).WithHint("log in in a browser")
	}
	return c, nil
}

// noToken refuses API tokens a change of how their user logs in, but for administrators'.
func noToken(c caller, doing string) error {
	if c.token.Kind == catalog.TokenAPI && !c.administers() {
		return errs.New(errs.Denied, "user.by-token", "%s of %s: an API token may not", doing, c.user.Name).WithHint("log in first")
	}
	return nil
}
