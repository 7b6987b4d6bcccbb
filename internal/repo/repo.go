// Package repo is a repository: packs, index segments, restore points, checkpoints and keys
// as write-once objects on a storage backend. Its format is docs/formats/repository.md.
//
// It does not know what a job, a session or a computer is, and it decides nothing: what is
// deleted, who may read and which attempt is cut off comes from its callers. Only Check and
// Have need keys.
//
// A Repository and a Writer may be used by any number of goroutines. Lock order: Writer.mu,
// then Repository.mu, then packCache.mu. Any number of processes may write at once; each
// publishes its own segments.
package repo

import (
	"context"
	"sync"

	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/repo/repoconf"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
	"keepward/internal/storage"
)

// Repository is an open repository.
type Repository struct {
	b     storage.Backend
	cfg   Config
	packs *packCache

	mu         sync.RWMutex
	segments   []*openSegment
	retired    []*openSegment  // out of use, mapped until Close
	known      map[string]bool // names of index objects that were opened
	conditions []Condition
	closed     bool
}

// Condition is a lasting problem that did not keep the repository from being used.
type Condition struct {
	Code   string // configuration.damaged, segment.damaged, segment.unreadable, pack.unreadable
	Object string // name of the object within the repository
	Text   string
}

// Open opens the repository on a backend. Damaged index segments are rebuilt in memory from
// their packs; see Conditions.
func Open(ctx context.Context, b storage.Backend) (*Repository, error) {
	raw, err := b.Get(ctx, configName, repoconf.Size)
	if errs.KindOf(err) == errs.NotFound {
		return nil, errs.New(errs.NotFound, "repository.not-found", "open repository %s: there is none: it has no object %s", b.Location(), configName).
			WithHint("check the path and what is mounted there; if only %s is lost, put it back from any copy of the repository", configName)
	}
	var cfg Config
	var damage error
	if err == nil {
		cfg, damage, err = ParseConfig(raw)
	}
	if errs.KindOf(err) == errs.Corrupt {
		return nil, configLost(b, err)
	}
	if err != nil {
		return nil, errs.New(errs.KindOf(err), errs.CodeOf(err), "open repository %s: %w", b.Location(), err).WithHint("%s", errs.HintOf(err))
	}
	r := &Repository{b: b, cfg: cfg, packs: newPackCache(b), known: map[string]bool{}}
	if damage != nil {
		r.addCondition("configuration.damaged", configName, damage.Error()+"; the other copy is used")
	}
	if err := r.Refresh(ctx); err != nil {
		return nil, joinErr(err, r.Close())
	}
	return r, nil
}

// configLost says what is lost with both copies of the configuration.
func configLost(b storage.Backend, cause error) error {
	return errs.New(errs.Corrupt, "configuration.lost", "open repository %s: its object %s is damaged in both copies: %w; without it nothing in the repository can be read or written, though points, packs and keys do not depend on it", b.Location(), configName, cause).
		WithHint("put %s back from any copy of the repository, however old: it is never changed", configName)
}

// joinErr is err, which matters, with what went wrong after it.
func joinErr(err, after error) error {
	if after == nil {
		return err
	}
	return errs.New(errs.KindOf(err), errs.CodeOf(err), "%w (and then: %w)", err, after)
}

// Config is the repository's configuration.
func (r *Repository) Config() Config { return r.cfg }

// Backend is what the repository lies on.
func (r *Repository) Backend() storage.Backend { return r.b }

// Conditions are the problems found so far.
func (r *Repository) Conditions() []Condition {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return append([]Condition(nil), r.conditions...)
}

func (r *Repository) addCondition(code, object, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conditions {
		if c.Code == code && c.Object == object {
			return
		}
	}
	r.conditions = append(r.conditions, Condition{Code: code, Object: object, Text: text})
}

// Close releases what is open. Nothing may be read from the repository any more.
func (r *Repository) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	var err error
	for _, s := range append(r.segments, r.retired...) {
		err = firstErr(err, s.close())
	}
	r.segments, r.retired = nil, nil
	return firstErr(err, r.packs.close())
}

func firstErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// Location is a place where a chunk lies.
type Location struct {
	ID      seal.ID
	Kind    seal.Kind
	Attempt point.Attempt // with Number and the kind it names the pack
	Number  uint32
	Offset  uint32
	Length  uint32   // of the whole record
	Owner   [16]byte // whose segment tells of it
	Flags   segment.Flags
}

// Proved tells whether the content at this place was seen to match its id.
func (l Location) Proved() bool { return l.Flags&segment.Proved != 0 }

// Punched tells whether members are missing from the bundle at this place: who reads must look
// whether those that he needs are there, and nobody may begin to rely on it.
func (l Location) Punched() bool { return l.Flags&segment.Punched != 0 }

// PackName is the name of the pack within the repository.
func (l Location) PackName() string { return packName(l.Attempt, classOf(l.Kind), l.Number) }

// place is what makes two locations the same place.
func (l Location) place() place {
	return place{l.Attempt, classOf(l.Kind), l.Number, l.Offset}
}
