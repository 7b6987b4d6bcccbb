package server

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/passkey"
)

const (
	// passkeysMost is how many a user may have, and passkeyNameMost how long their names are, in bytes.
	passkeysMost    = 20
	passkeyNameMost = 100
)

// passkeyService keeps the passkeys by which users log in, in a browser, in place of password and code.
type passkeyService struct {
	*accessService
	ceremonies *passkey.Ceremonies
}

// passkeyHandle names a user to authenticators: it is the same for all passkeys of the user, and says
// nothing to anybody else.
func (k *keyring) passkeyHandle(user int64) []byte {
	h := hmac.New(sha256.New, k.key[:])
	_, _ = h.Write([]byte("passkeys:" + strconv.FormatInt(user, 10))) // never fails
	return h.Sum(nil)
}

func passkeyMessage(p catalog.Passkey) *keepwardv1.Passkey {
	return &keepwardv1.Passkey{Id: p.ID, Name: p.Name, Created: timestamp(p.Created), Used: timestamp(p.Used), Synced: passkey.Synced(p.Record)}
}

func (s *passkeyService) userWith(u catalog.User, list []catalog.Passkey) passkey.User {
	out := passkey.User{Handle: s.data.keys.passkeyHandle(u.ID), Name: u.Name}
	for _, p := range list {
		out.Keys = append(out.Keys, passkey.Key{Credential: p.Credential, Record: p.Record})
	}
	return out
}

func (s *passkeyService) ListPasskeys(ctx context.Context, req *connect.Request[keepwardv1.ListPasskeysRequest]) (*connect.Response[keepwardv1.ListPasskeysResponse], error) {
	u, err := whose(ctx, s.db.Read(), "list the passkeys", req.Msg.GetUser())
	if err != nil {
		return nil, err
	}
	list, err := catalog.Passkeys(ctx, s.db.Read(), u.ID)
	if err != nil {
		return nil, err
	}
	res := &keepwardv1.ListPasskeysResponse{Origin: s.consoleOrigin()}
	if err := passkey.Usable(res.Origin); err != nil {
		res.Unavailable = err.Error() + "; " + errs.HintOf(err)
	}
	for _, p := range list {
		res.Passkeys = append(res.Passkeys, passkeyMessage(p))
	}
	return connect.NewResponse(res), nil
}

func (s *passkeyService) BeginPasskey(ctx context.Context, req *connect.Request[keepwardv1.BeginPasskeyRequest]) (*connect.Response[keepwardv1.BeginPasskeyResponse], error) {
	const doing = "add a passkey"
	c, err := s.newWayIn(ctx, doing, req.Peer().Addr, req.Msg.GetPassword(), req.Msg.GetCode(), nil)
	if err != nil {
		return nil, err
	}
	list, err := catalog.Passkeys(ctx, s.db.Read(), c.user.ID)
	if err != nil {
		return nil, err
	}
	options, until, err := s.ceremonies.Creation(s.consoleOrigin(), s.userWith(c.user, list))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.BeginPasskeyResponse{Options: options, Until: timestamp(until)}), nil
}

func (s *passkeyService) AddPasskey(ctx context.Context, req *connect.Request[keepwardv1.AddPasskeyRequest]) (*connect.Response[keepwardv1.AddPasskeyResponse], error) {
	const doing = "add a passkey"
	c, err := ownLogin(ctx, doing)
	if err != nil {
		return nil, err
	}
	name := strings.TrimSpace(req.Msg.GetName())
	if name == "" || len(name) > passkeyNameMost || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		return nil, errs.New(errs.Invalid, "passkey.name", "%s of %s: a name is a line of 1 to %d bytes", doing, c.user.Name, passkeyNameMost).WithHint("such as: telephone")
	}
	had, err := catalog.Passkeys(ctx, s.db.Read(), c.user.ID)
	if err != nil {
		return nil, err
	}
	made, err := s.ceremonies.Created(s.consoleOrigin(), s.userWith(c.user, had), req.Msg.GetResponse())
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(made.Credential)
	p := catalog.Passkey{ID: hex.EncodeToString(sum[:6]), UserID: c.user.ID, Credential: made.Credential, Name: name, Record: made.Record, Created: time.Now()}
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		had, err := catalog.Passkeys(ctx, tx, c.user.ID)
		if err != nil {
			return err
		}
		if len(had) >= passkeysMost {
			return errs.New(errs.Invalid, "passkey.many", "%s of %s: there are %d, and that is enough", doing, c.user.Name, len(had)).WithHint("remove one that is not used any more")
		}
		return catalog.AddPasskey(ctx, tx, p)
	})
	if err != nil {
		return nil, err
	}
	s.audit(ctx, "passkey added", "name", c.user.Name, "passkey", p.ID)
	return connect.NewResponse(&keepwardv1.AddPasskeyResponse{Passkey: passkeyMessage(p)}), nil
}

func (s *passkeyService) RemovePasskey(ctx context.Context, req *connect.Request[keepwardv1.RemovePasskeyRequest]) (*connect.Response[keepwardv1.RemovePasskeyResponse], error) {
	const doing = "remove a passkey"
	c, _ := callerOf(ctx)
	if err := noToken(c, doing); err != nil {
		return nil, err
	}
	var gone catalog.Passkey
	var of catalog.User
	err := s.db.Write(ctx, func(tx *sql.Tx) (err error) {
		if of, err = whose(ctx, tx, doing, req.Msg.GetUser()); err != nil {
			return err
		}
		list, err := catalog.Passkeys(ctx, tx, of.ID)
		if err != nil {
			return err
		}
		for _, p := range list {
			if p.ID == req.Msg.GetId() {
				gone = p
				return catalog.DeletePasskey(ctx, tx, p.ID)
			}
		}
		return errs.New(errs.NotFound, "passkey.not-found", "%s of %s: there is none with the id %q", doing, of.Name, req.Msg.GetId()).
			WithHint("see keepward user passkey list %s", of.Name)
	})
	if err != nil {
		return nil, err
	}
	s.audit(ctx, "passkey removed", "name", of.Name, "passkey", gone.ID)
	return connect.NewResponse(&keepwardv1.RemovePasskeyResponse{User: of.Name, Name: gone.Name}), nil
}

// GetPasskeyChallenge says by an answer without options that there are no passkeys here: it is asked for
// each time somebody comes to log in.
func (s *passkeyService) GetPasskeyChallenge(context.Context, *connect.Request[keepwardv1.GetPasskeyChallengeRequest]) (*connect.Response[keepwardv1.GetPasskeyChallengeResponse], error) {
	origin := s.consoleOrigin()
	if passkey.Usable(origin) != nil {
		return connect.NewResponse(&keepwardv1.GetPasskeyChallengeResponse{}), nil
	}
	options, err := s.ceremonies.Request(origin)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.GetPasskeyChallengeResponse{Options: options, Origin: origin}), nil
}

func (s *passkeyService) LoginByPasskey(ctx context.Context, req *connect.Request[keepwardv1.LoginByPasskeyRequest]) (*connect.Response[keepwardv1.LoginResponse], error) {
	peer := req.Peer().Addr
	res, of, err := s.loginByPasskey(ctx, req.Msg.GetResponse(), peer)
	if err != nil {
		s.log.Warn("login by a passkey refused", "user", of, "peer", peer, "reason", err)
		return nil, err
	}
	s.log.Info("login by a passkey", "user", res.GetUser(), "peer", peer)
	return connect.NewResponse(res), nil
}

// loginByPasskey looks at the answer in the transaction that makes the login: what was removed meanwhile
// lets nobody in, and of two with the same count one. of is the user who has that passkey, if it is
// known, also where it is refused.
func (s *passkeyService) loginByPasskey(ctx context.Context, response []byte, peer string) (res *keepwardv1.LoginResponse, of string, err error) {
	if err := s.throttle.try("", peer); err != nil {
		return nil, "", err
	}
	defer func() {
		if errs.KindOf(err) != errs.Denied {
			s.throttle.undo("", peer)
		}
	}()
	// A transaction may be run again: what counts once is taken before it.
	answer, err := s.ceremonies.Answered(s.consoleOrigin(), response)
	if err != nil {
		return nil, "", err
	}
	res, err = s.finishLogin(ctx, peer, loginLife, func(tx *sql.Tx) (u catalog.User, by string, err error) {
		var kept catalog.Passkey
		used, err := answer.Check(func(credential []byte) (passkey.User, error) {
			var known bool
			if kept, u, known, err = catalog.PasskeyOf(ctx, tx, credential); err != nil {
				return passkey.User{}, err
			}
			if !known {
				return passkey.User{}, errs.New(errs.Denied, "access.passkey", "log in by a passkey: it is not known here").
					WithHint("log in with the password; the passkey may have been removed")
			}
			of = u.Name
			return s.userWith(u, []catalog.Passkey{kept}), nil
		})
		if err != nil {
			return u, "", err
		}
		kept.Record, kept.Used = used.Record, time.Now()
		return u, "passkey", catalog.UsePasskey(ctx, tx, kept)
	})
	return res, of, err
}
