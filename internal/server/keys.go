package server

import (
	"context"
	"database/sql"
	"math"
	"slices"
	"strconv"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/repo/repoconf"
	"keepward/internal/repo/seal"
)

// keeper changes the keys of one repository.
type keeper struct {
	*server
	row    catalog.Repository
	master seal.Master
	client keepwardv1connect.TransportServiceClient
	found  *keepwardv1.ReadRepositoryResponse
}

// keeper reads what opens a repository.
func (s *repositoryService) keeper(ctx context.Context, name string) (*keeper, error) {
	k := &keeper{server: s.server}
	var err error
	if k.row, err = catalog.GetRepository(ctx, s.db.Read(), name); err != nil {
		return nil, err
	}
	if k.master, err = s.data.keys.master(k.row); err != nil {
		return nil, err
	}
	var online bool
	if k.client, online = s.nodes.Transport(k.row.Transport); !online {
		return nil, offline("keys of repository", name, k.row.Transport)
	}
	res, err := k.client.ReadRepository(ctx, connect.NewRequest(&keepwardv1.ReadRepositoryRequest{Path: k.row.Path}))
	if err != nil {
		return nil, err
	}
	k.found = res.Msg
	cfg, _, err := repoconf.ParseConfig(k.found.GetConfiguration())
	if err == nil && cfg.ID != k.row.ID {
		err = errs.New(errs.Invalid, "repository.other", "keys of repository %q: another repository is at %s now", name, k.row.Path).WithHint("check what is mounted at that path")
	}
	return k, err
}

func (k *keeper) change(ctx context.Context, m *keepwardv1.ChangeKeysRequest) error {
	m.RepositoryPath, m.RepositoryId, m.Term = k.row.Path, k.row.ID[:], k.data.term.Load()
	_, err := k.client.ChangeKeys(ctx, connect.NewRequest(m))
	return err
}

func (k *keeper) messages() []*keepwardv1.RepositoryKey {
	var out []*keepwardv1.RepositoryKey
	for _, o := range k.found.GetKeys() {
		m := &keepwardv1.RepositoryKey{Number: o.GetName(), Form: "damaged"}
		if info, err := repoconf.ParseKeyObject(o.GetContent()); err == nil {
			m.Form, m.Label = info.Form.String(), info.Label
			if !info.Created.IsZero() {
				m.Created = timestamp(info.Created)
			}
			m.Current = info.Form == repoconf.FormRecovery && k.opens(o)
		}
		out = append(out, m)
	}
	return out
}

// opens tells whether the recovery key that the server holds opens a key object.
func (k *keeper) opens(o *keepwardv1.KeyObject) bool {
	secret, err := k.data.keys.recovery(k.row)
	if err != nil {
		return false
	}
	_, err = repoconf.OpenKeyObject(o.GetContent(), repoconf.Recovery{Repository: [4]byte(k.row.ID[:4]), Secret: secret})
	return err == nil
}

func (s *repositoryService) ListRepositoryKeys(ctx context.Context, req *connect.Request[keepwardv1.ListRepositoryKeysRequest]) (*connect.Response[keepwardv1.ListRepositoryKeysResponse], error) {
	k, err := s.keeper(ctx, req.Msg.GetName())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.ListRepositoryKeysResponse{Keys: k.messages(), Epoch: uint32(k.master.Epoch)}), nil
}

// AddRepositoryKey seals the master once more. The repository has the new key before the catalog
// does: a server that dies between leaves a key that nobody knows, which does no harm, and not
// a recovery key to hand out that opens nothing.
func (s *repositoryService) AddRepositoryKey(ctx context.Context, req *connect.Request[keepwardv1.AddRepositoryKeyRequest]) (*connect.Response[keepwardv1.AddRepositoryKeyResponse], error) {
	m := req.Msg
	k, err := s.keeper(ctx, m.GetName())
	if err != nil {
		return nil, err
	}
	w := repoconf.Wrapping{Recovery: repoconf.NewRecovery(k.row.ID), Passphrase: m.GetPassphrase(), Label: m.GetLabel(), Created: time.Now()}
	object, err := repoconf.Wrap(k.row.ID, k.master, w)
	if err != nil {
		return nil, err
	}
	number := k.nextNumber()
	put := &keepwardv1.ChangeKeysRequest{Put: &keepwardv1.KeyObject{Name: number, Content: object.Content}}
	if err := k.change(ctx, put); err != nil {
		return nil, err
	}
	res := &keepwardv1.AddRepositoryKeyResponse{}
	form := repoconf.FormPassphrase
	if m.GetPassphrase() == "" {
		form, res.RecoveryKey = repoconf.FormRecovery, w.Recovery.Text()
		if err := k.keep(context.WithoutCancel(ctx), k.master, &w.Recovery); err != nil {
			return nil, err
		}
	}
	s.audit(ctx, "key added", "repository", k.row.Name, "number", number, "form", form.String())
	res.Key = &keepwardv1.RepositoryKey{Number: number, Form: form.String(), Label: w.Label, Created: timestamp(w.Created), Current: form == repoconf.FormRecovery}
	if m.GetReplace() {
		res.Removed = k.others(form)
		if err := k.change(ctx, &keepwardv1.ChangeKeysRequest{Remove: res.Removed}); err != nil {
			return nil, errs.New(errs.KindOf(err), errs.CodeOf(err), "key %s is added, but the former ones are not removed: %w", number, err)
		}
		s.audit(ctx, "keys removed", "repository", k.row.Name, "numbers", res.Removed)
	}
	return connect.NewResponse(res), nil
}

// keep writes what the server holds of the keys; without a new recovery key that stays.
func (k *keeper) keep(ctx context.Context, m seal.Master, recovery *repoconf.Recovery) error {
	master, err := k.data.keys.sealMaster(k.row.ID, m)
	if err != nil {
		return err
	}
	sealed := k.row.Recovery
	if recovery != nil {
		if sealed, err = k.data.keys.sealRecovery(k.row.ID, recovery.Secret); err != nil {
			return err
		}
	}
	err = k.db.Write(ctx, func(tx *sql.Tx) error { return catalog.SetKeys(ctx, tx, k.row.Name, master, sealed) })
	k.row.Master, k.row.Recovery = master, sealed
	return err
}

// nextNumber is above all there are: a number is not used again for another key.
func (k *keeper) nextNumber() string {
	var highest uint64
	for _, o := range k.found.GetKeys() {
		if n, err := strconv.ParseUint(o.GetName(), 10, 32); err == nil {
			highest = max(highest, n)
		}
	}
	return strconv.FormatUint(highest+1, 10)
}

// others are the keys of a form that were there before.
func (k *keeper) others(form repoconf.KeyForm) []string {
	var names []string
	for _, o := range k.found.GetKeys() {
		if info, err := repoconf.ParseKeyObject(o.GetContent()); err == nil && info.Form == form {
			names = append(names, o.GetName())
		}
	}
	return names
}

func (s *repositoryService) RemoveRepositoryKey(ctx context.Context, req *connect.Request[keepwardv1.RemoveRepositoryKeyRequest]) (*connect.Response[keepwardv1.RemoveRepositoryKeyResponse], error) {
	k, err := s.keeper(ctx, req.Msg.GetName())
	if err != nil {
		return nil, err
	}
	number := req.Msg.GetNumber()
	all := k.messages()
	at := slices.IndexFunc(all, func(m *keepwardv1.RepositoryKey) bool { return m.GetNumber() == number })
	if at < 0 {
		return nil, errs.New(errs.NotFound, "key.not-found", "remove key %q: repository %s has none of that number", number, k.row.Name).
			WithHint("keepward repository key list %s shows them", k.row.Name)
	}
	if all[at].GetCurrent() {
		return nil, errs.New(errs.Denied, "key.current", "remove key %s: it is the recovery key that this server hands out", number).
			WithHint("make a new one in its place: keepward repository key add %s --replace --out FILE", k.row.Name)
	}
	if err := k.change(ctx, &keepwardv1.ChangeKeysRequest{Remove: []string{number}}); err != nil {
		return nil, err
	}
	s.audit(ctx, "key removed", "repository", k.row.Name, "number", number, "form", all[at].GetForm())
	return connect.NewResponse(&keepwardv1.RemoveRepositoryKeyResponse{}), nil
}

// BeginEpoch tells the repository first: a server that dies between finds the epoch there when
// it begins the next, and a reader without a server derives it either way.
func (s *repositoryService) BeginEpoch(ctx context.Context, req *connect.Request[keepwardv1.BeginEpochRequest]) (*connect.Response[keepwardv1.BeginEpochResponse], error) {
	k, err := s.keeper(ctx, req.Msg.GetName())
	if err != nil {
		return nil, err
	}
	newest := max(k.found.GetEpoch(), uint32(k.master.Epoch))
	if newest == math.MaxUint16 {
		return nil, errs.New(errs.Invalid, "epoch.bounds", "begin epoch: there are %d at most", math.MaxUint16)
	}
	if err := k.change(ctx, &keepwardv1.ChangeKeysRequest{Epoch: newest + 1}); err != nil {
		return nil, err
	}
	m := k.master
	m.Epoch = uint16(newest + 1)
	if err := k.keep(context.WithoutCancel(ctx), m, nil); err != nil {
		return nil, err
	}
	s.audit(ctx, "epoch begun", "repository", k.row.Name, "epoch", m.Epoch)
	return connect.NewResponse(&keepwardv1.BeginEpochResponse{Epoch: newest + 1}), nil
}
