package repo

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"keepward/internal/errs"
	"keepward/internal/repo/repoconf"
	"keepward/internal/storage"
)

// Owner is the one server that may have anything deleted. A server that takes over puts the
// next higher term.
type Owner struct {
	Term   uint64
	Server []byte // the server's id, at most 255 bytes
}

// Owner object layout: "KWOW", version (2), length of the server's id (2), term (8), the
// server's id, XXH64 of all before.
const (
	ownerVersion = 1
	ownerHead    = 16
	maxOwner     = ownerHead + 255 + 8
)

func (o Owner) encode() []byte {
	b := append([]byte("KWOW"), ownerVersion, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(o.Server)))
	b = binary.LittleEndian.AppendUint64(b, o.Term)
	b = append(b, o.Server...)
	return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b))
}

func parseOwner(b []byte) (Owner, error) {
	if len(b) < ownerHead+8 || !bytes.Equal(b[:4], []byte("KWOW")) {
		return Owner{}, errs.New(errs.Corrupt, "owner.magic", "read owner object: it is none")
	}
	end := len(b) - 8
	if xxhash.Sum64(b[:end]) != binary.LittleEndian.Uint64(b[end:]) {
		return Owner{}, errs.New(errs.Corrupt, "owner.checksum", "read owner object: checksum differs")
	}
	if v := binary.LittleEndian.Uint16(b[4:]); v != ownerVersion {
		return Owner{}, errs.New(errs.Invalid, "owner.version", "read owner object: version %d is newer than this Keepward knows", v).WithHint("update Keepward")
	}
	if int(binary.LittleEndian.Uint16(b[6:])) != end-ownerHead {
		return Owner{}, errs.New(errs.Corrupt, "owner.length", "read owner object: its lengths differ")
	}
	return Owner{Term: binary.LittleEndian.Uint64(b[8:]), Server: bytes.Clone(b[ownerHead:end])}, nil
}

// Names of terms have as many digits as the largest, so that they list in order.
func ownerName(term uint64) string { return fmt.Sprintf("%s/%020d", ownerDir, term) }

// Create makes a repository on a backend: an empty place that can keep the contract of
// storage.Backend. If it refuses, nothing was written.
func Create(ctx context.Context, b storage.Backend, cfg Config, keys []KeyObject, owner Owner) error {
	if err := cfg.Valid(); err != nil {
		return err
	}
	for _, k := range keys {
		if _, err := strconv.ParseUint(k.Name, 10, 32); err != nil {
			return errs.New(errs.Invalid, "key.name", "create repository: key object %q has no number for a name", k.Name)
		}
		if info, err := repoconf.ParseKeyObject(k.Content); err != nil {
			return err
		} else if info.Repository != cfg.ID {
			return errs.New(errs.Invalid, "key.repository", "create repository: key object %s is of another repository", k.Name)
		}
	}
	if len(owner.Server) > 255 {
		return errs.New(errs.Invalid, "owner.length", "create repository: the server's id has %d bytes, at most 255 may be", len(owner.Server))
	}
	if err := prepare(ctx, b, false); err != nil {
		return err
	}
	return create(ctx, b, cfg, keys, owner)
}

// Probe tells whether Create would refuse, and writes nothing that stays.
func Probe(ctx context.Context, b storage.Backend) error { return prepare(ctx, b, true) }

func prepare(ctx context.Context, b storage.Backend, dry bool) error {
	p, ok := b.(storage.Preparer)
	if !ok {
		return errs.New(errs.Invalid, "repository.backend", "create repository at %s: this kind of storage cannot be prepared", b.Location())
	}
	return p.Prepare(ctx, configName, dry)
}

// create writes the configuration last: it is what makes a repository. Of two at once the
// first to put the owner goes on.
func create(ctx context.Context, b storage.Backend, cfg Config, keys []KeyObject, owner Owner) (err error) {
	var made []string
	defer func() {
		d, ok := b.(storage.Deleter)
		if err == nil || !ok {
			return
		}
		// Backwards: while the configuration is there, so is all that it needs.
		ctx := context.WithoutCancel(ctx)
		for _, name := range slices.Backward(made) {
			_ = d.Delete(ctx, name) // best effort: the error above is what counts
		}
		if p, ok := b.(storage.Preparer); ok {
			_ = p.Unprepare(ctx) // as above
		}
	}()
	put := func(name string, content []byte) error {
		err := b.Put(ctx, name, content)
		// What failed may be there all the same; it is ours once the owner is.
		if err == nil || len(made) > 0 {
			made = append(made, name)
		}
		return err
	}
	if err := put(ownerName(owner.Term), owner.encode()); err != nil {
		return err
	}
	for _, k := range keys {
		if err := put(keysDir+"/"+k.Name, k.Content); err != nil {
			return err
		}
	}
	return put(configName, cfg.Encode())
}

// Owner is the owner of the highest term. Of an object that is damaged the name still tells the
// term, and nobody stands for who it was: a flipped bit must not stop all work.
func (r *Repository) Owner(ctx context.Context) (Owner, error) {
	infos, err := r.list(ctx, ownerDir)
	if err != nil {
		return Owner{}, err
	}
	if len(infos) == 0 {
		return Owner{}, errs.New(errs.NotFound, "owner.missing", "read owner of %s: there is none", r.b.Location())
	}
	name := infos[len(infos)-1].Name
	content, err := r.b.Get(ctx, name, maxOwner)
	if errs.KindOf(err) == errs.NotFound { // many have come since it was listed, and it was removed
		err = errs.New(errs.Unavailable, "owner.lost", "read owner of %s: %s is listed and not there", r.b.Location(), name)
	}
	var o Owner
	if err == nil {
		o, err = parseOwner(content)
	}
	if errs.KindOf(err) == errs.Corrupt {
		term, perr := strconv.ParseUint(strings.TrimPrefix(name, ownerDir+"/"), 10, 64)
		if perr != nil {
			return Owner{}, err
		}
		r.addCondition("owner.damaged", name, err.Error())
		return Owner{Term: term}, nil
	}
	return o, err
}

// Claim makes o the owner, unless there is one of its term or a higher one already. It answers
// who owns the repository then.
func (r *Repository) Claim(ctx context.Context, o Owner) (Owner, error) {
	if len(o.Server) > 255 {
		return Owner{}, errs.New(errs.Invalid, "owner.length", "claim repository: the server's id has %d bytes, at most 255 may be", len(o.Server))
	}
	now, err := r.Owner(ctx)
	if err != nil && errs.KindOf(err) != errs.NotFound {
		return now, err
	}
	if err == nil && now.Term >= o.Term {
		return now, nil
	}
	if err := r.b.Put(ctx, ownerName(o.Term), o.encode()); err != nil && errs.KindOf(err) != errs.Exists {
		return now, err
	}
	return r.Owner(ctx)
}

// list collects a folder, at any depth, and makes durable what it shows, and what it no longer
// shows.
func (r *Repository) list(ctx context.Context, dir string) ([]storage.Info, error) {
	var infos []storage.Info
	err := r.b.List(ctx, dir, func(i storage.Info) error {
		infos = append(infos, i)
		return nil
	})
	if err != nil {
		return nil, err
	}
	last := dir
	if err := r.b.Sync(ctx, dir); err != nil {
		return nil, err
	}
	for _, info := range infos { // sorted: those of one folder lie together
		folder := path.Dir(info.Name)
		if folder == last {
			continue
		}
		last = folder
		if err := r.b.Sync(ctx, folder); err != nil {
			return nil, err
		}
	}
	return infos, nil
}
