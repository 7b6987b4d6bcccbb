package server

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base32"
	"strings"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/repo/seal"
	"keepward/internal/totp"
)

// codeService keeps by what users log in besides the password.
type codeService struct{ *accessService }

const (
	// enrolWithin bounds how long a secret waits for its first code.
	enrolWithin = 15 * time.Minute
	// recoveryCodes is how many a user gets; each has recoveryBytes of chance, so that its hash needs
	// neither salt nor stretching.
	recoveryCodes = 10
	recoveryBytes = 10
	// codeMost bounds what is taken for a code: a recovery code, and how people space it.
	codeMost = 64
)

func (k *keyring) sealCodes(user, secret string) ([]byte, error) {
	return seal.SealBytes(k.key, []byte(secret), []byte("one-time-codes:"+user))
}

func (k *keyring) codes(user string, sealed []byte) ([]byte, error) {
	b, err := seal.OpenBytes(k.key, sealed, []byte("one-time-codes:"+user))
	if err != nil {
		return nil, errs.New(errs.Corrupt, "code.sealed", "open the one-time codes of %s: %w", user, err).
			WithHint("reset them by the server's client file: keepward --config DIR/client.yaml user code remove %s", user)
	}
	return b, nil
}

// newRecoveryCodes makes some, such as 7kq2-…, of which each lets in once.
func newRecoveryCodes() (shown, kept []string) {
	for range recoveryCodes {
		b := make([]byte, recoveryBytes)
		_, _ = rand.Read(b) // documented never to fail
		code := strings.ToLower(base32.StdEncoding.EncodeToString(b))
		kept = append(kept, code)
		shown = append(shown, code[:4]+"-"+code[4:8]+"-"+code[8:12]+"-"+code[12:])
	}
	return shown, kept
}

// plainCode takes out how people space codes.
func plainCode(code string) string {
	if len(code) > codeMost {
		return ""
	}
	return strings.ToLower(strings.NewReplacer("-", "", " ", "").Replace(strings.TrimSpace(code)))
}

// useCode uses up a one-time code of u, or a recovery code, and says which it was; empty: u needs
// none. It decides and writes in one transaction, so that of two who show the same code one is let in.
func (s *accessService) useCode(ctx context.Context, tx *sql.Tx, doing string, u catalog.User, code string) (by string, err error) {
	c, ok, err := catalog.OneTimeCodesOf(ctx, tx, u.ID)
	if err != nil || !ok || c.Confirmed.IsZero() {
		return "", err
	}
	code = plainCode(code)
	wrong := errs.New(errs.Denied, "access.code", "%s: the one-time code is wrong, or was used already", doing).
		WithHint("wait for the next code, and see that the clocks of server and telephone are right; a recovery code is taken too")
	switch {
	case code == "":
		// Clients know this code, and ask for one.
		return "", errs.New(errs.Denied, "access.code-needed", "%s: a one-time code is needed", doing).
			WithHint("take it from the app on the telephone, or use a recovery code; an administrator can reset it: keepward user code remove %s", u.Name)
	case len(code) != totp.Digits:
		used, err := catalog.UseRecoveryCode(ctx, tx, u.ID, code)
		if err == nil && !used {
			err = wrong
		}
		return "recovery-code", err
	}
	secret, err := s.data.keys.codes(u.Name, c.Secret)
	if err != nil {
		return "", err
	}
	step, right := totp.Check(secret, code, s.throttle.now(), c.Step)
	if !right {
		return "", wrong
	}
	c.Step = step
	return "one-time-code", catalog.PutOneTimeCodes(ctx, tx, c)
}

// tryCode has write look at a code in its transaction; the try counts as one of a password, unless
// the code was not what was wrong.
func (s *accessService) tryCode(ctx context.Context, u catalog.User, peer string, write func(tx *sql.Tx) error) error {
	if err := s.throttle.try(u.Name, peer); err != nil {
		return err
	}
	err := s.db.Write(ctx, write)
	if errs.CodeOf(err) != "access.code" {
		s.throttle.undo(u.Name, peer)
	}
	return err
}

// own is who calls, by a login: a token that was stolen from a program is no way to how its user
// logs in.
func (s *codeService) own(ctx context.Context, doing, name string) (caller, error) {
	c, _ := callerOf(ctx)
	switch {
	case name != "" && name != c.user.Name:
		return c, errs.New(errs.Denied, "code.not-own", "%s of %s: user %s may only do that for the own login", doing, name, c.user.Name)
	case c.token.Kind == catalog.TokenAPI:
		return c, errs.New(errs.Denied, "code.by-token", "%s of %s: an API token may not", doing, c.user.Name).WithHint("log in first: keepward login HOST:PORT --user %s", c.user.Name)
	}
	return c, nil
}

func (s *codeService) GetOneTimeCodes(ctx context.Context, _ *connect.Request[keepwardv1.GetOneTimeCodesRequest]) (*connect.Response[keepwardv1.GetOneTimeCodesResponse], error) {
	c, _ := callerOf(ctx)
	res := &keepwardv1.GetOneTimeCodesResponse{}
	codes, ok, err := catalog.OneTimeCodesOf(ctx, s.db.Read(), c.user.ID)
	if err != nil {
		return nil, err
	}
	if ok && !codes.Confirmed.IsZero() {
		n, err := catalog.CountRecoveryCodes(ctx, s.db.Read(), c.user.ID)
		if err != nil {
			return nil, err
		}
		res.Since, res.RecoveryCodes = timestamp(codes.Confirmed), int32(n)
	}
	return connect.NewResponse(res), nil
}

func (s *codeService) EnrolOneTimeCodes(ctx context.Context, req *connect.Request[keepwardv1.EnrolOneTimeCodesRequest]) (*connect.Response[keepwardv1.EnrolOneTimeCodesResponse], error) {
	const doing = "set up one-time codes"
	c, err := s.own(ctx, doing, req.Msg.GetUser())
	if err != nil {
		return nil, err
	}
	if err := s.notEnrolled(ctx, s.db.Read(), c.user); err != nil {
		return nil, err
	}
	// Who only has the browser of somebody must not be able to lock him out.
	right, err := s.rightPassword(ctx, c.user, req.Msg.GetPassword(), req.Peer().Addr)
	if err != nil {
		return nil, err
	}
	if !right {
		return nil, errs.New(errs.Denied, "user.current-password", "%s of %s: the current password is wrong", doing, c.user.Name)
	}
	s.throttle.undo(c.user.Name, req.Peer().Addr)
	secret, now := totp.NewSecret(), s.throttle.now()
	sealed, err := s.data.keys.sealCodes(c.user.Name, string(secret))
	if err != nil {
		return nil, err
	}
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		if err := s.notEnrolled(ctx, tx, c.user); err != nil { // meanwhile
			return err
		}
		return catalog.PutOneTimeCodes(ctx, tx, catalog.OneTimeCodes{UserID: c.user.ID, Secret: sealed, Created: now})
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.EnrolOneTimeCodesResponse{
		Secret: totp.Text(secret), Url: totp.URI("Keepward", c.user.Name, secret), Until: timestamp(now.Add(enrolWithin)),
	}), nil
}

func (s *codeService) notEnrolled(ctx context.Context, q catalog.Queryer, u catalog.User) error {
	had, ok, err := catalog.OneTimeCodesOf(ctx, q, u.ID)
	if err == nil && ok && !had.Confirmed.IsZero() {
		return errs.New(errs.Exists, "code.enrolled", "set up one-time codes of %s: they are set up already", u.Name).
			WithHint("for another telephone remove them first, with a code: keepward user code remove")
	}
	return err
}

func (s *codeService) ConfirmOneTimeCodes(ctx context.Context, req *connect.Request[keepwardv1.ConfirmOneTimeCodesRequest]) (*connect.Response[keepwardv1.ConfirmOneTimeCodesResponse], error) {
	const doing = "confirm one-time codes"
	c, err := s.own(ctx, doing, req.Msg.GetUser())
	if err != nil {
		return nil, err
	}
	shown, kept := newRecoveryCodes()
	ended := 0
	err = s.tryCode(ctx, c.user, req.Peer().Addr, func(tx *sql.Tx) error {
		if err := s.notEnrolled(ctx, tx, c.user); err != nil {
			return err
		}
		now := s.throttle.now()
		codes, ok, err := catalog.OneTimeCodesOf(ctx, tx, c.user.ID)
		if err != nil {
			return err
		}
		if !ok || now.Sub(codes.Created) > enrolWithin {
			return errs.New(errs.NotFound, "code.none", "%s of %s: none were set up within %d minutes", doing, c.user.Name, int(enrolWithin.Minutes())).
				WithHint("begin with: keepward user code enrol")
		}
		// From here it is as a login: the code that confirms counts no more afterwards.
		codes.Confirmed = now
		if err := catalog.PutOneTimeCodes(ctx, tx, codes); err != nil {
			return err
		}
		if _, err := s.useCode(ctx, tx, doing+" of "+c.user.Name, c.user, req.Msg.GetCode()); err != nil {
			return err
		}
		if err := catalog.PutRecoveryCodes(ctx, tx, c.user.ID, kept); err != nil {
			return err
		}
		ended, err = catalog.EndLogins(ctx, tx, c.user.ID, c.token.ID) // they came in by the password alone
		return err
	})
	if err != nil {
		return nil, err
	}
	s.changed(ctx)
	s.audit(ctx, "one-time codes set up", "name", c.user.Name, "ended_logins", ended)
	return connect.NewResponse(&keepwardv1.ConfirmOneTimeCodesResponse{Codes: shown, EndedLogins: int32(ended)}), nil
}

func (s *codeService) RenewRecoveryCodes(ctx context.Context, req *connect.Request[keepwardv1.RenewRecoveryCodesRequest]) (*connect.Response[keepwardv1.RenewRecoveryCodesResponse], error) {
	const doing = "make recovery codes"
	c, err := s.own(ctx, doing, req.Msg.GetUser())
	if err != nil {
		return nil, err
	}
	shown, kept := newRecoveryCodes()
	err = s.tryCode(ctx, c.user, req.Peer().Addr, func(tx *sql.Tx) error {
		by, err := s.useCode(ctx, tx, doing+" of "+c.user.Name, c.user, req.Msg.GetCode())
		if err != nil {
			return err
		}
		if by == "" {
			return noCodes(doing, c.user.Name)
		}
		return catalog.PutRecoveryCodes(ctx, tx, c.user.ID, kept)
	})
	if err != nil {
		return nil, err
	}
	s.audit(ctx, "recovery codes made", "name", c.user.Name)
	return connect.NewResponse(&keepwardv1.RenewRecoveryCodesResponse{Codes: shown}), nil
}

func noCodes(doing, name string) error {
	return errs.New(errs.NotFound, "code.none", "%s of %s: no one-time codes are set up", doing, name).WithHint("begin with: keepward user code enrol")
}

func (s *codeService) RemoveOneTimeCodes(ctx context.Context, req *connect.Request[keepwardv1.RemoveOneTimeCodesRequest]) (*connect.Response[keepwardv1.RemoveOneTimeCodesResponse], error) {
	const doing = "remove one-time codes"
	c, _ := callerOf(ctx)
	name := req.Msg.GetUser()
	if name == "" {
		name = c.user.Name
	}
	of := name
	if c.administers() {
		of = "" // an administrator resets those of others
	}
	if _, err := s.own(ctx, doing, of); err != nil {
		return nil, err
	}
	if name != c.user.Name {
		if err := s.guard.recently(ctx, doing+" of "+name); err != nil {
			return nil, err
		}
	}
	remove := func(tx *sql.Tx) error {
		u, err := catalog.GetUser(ctx, tx, name)
		if err != nil {
			return err
		}
		had, ok, err := catalog.OneTimeCodesOf(ctx, tx, u.ID)
		if err != nil {
			return err
		}
		if !ok || had.Confirmed.IsZero() {
			return noCodes(doing, name)
		}
		// The own ones need a code: a stolen login must not be enough. The client file is the key of
		// whoever has the server's disk, and the way back for the only administrator.
		if u.ID == c.user.ID && c.token.Kind != catalog.TokenFile {
			if _, err := s.useCode(ctx, tx, doing+" of "+name, u, req.Msg.GetCode()); err != nil {
				return err
			}
		}
		return catalog.DeleteOneTimeCodes(ctx, tx, u.ID)
	}
	if err := s.tryCode(ctx, c.user, req.Peer().Addr, remove); err != nil {
		return nil, err
	}
	s.audit(ctx, "one-time codes removed", "name", name)
	return connect.NewResponse(&keepwardv1.RemoveOneTimeCodesResponse{User: name}), nil
}
