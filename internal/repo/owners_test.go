package repo

import (
	"context"
	"testing"

	"keepward/internal/errs"
	"keepward/internal/storage"
)

func TestOldOwnersGoAndStayRefused(t *testing.T) {
	ctx := context.Background()
	m := disk(t, newSite())
	r := open(t, m)
	for term := uint64(2); term <= 40; term++ {
		_, err := r.Claim(ctx, Owner{Term: term, Server: []byte("new")})
		must(t, err)
	}
	n, err := r.RemoveOldOwners(ctx)
	if err != nil || n != 40-keptOwners {
		t.Fatalf("removed %d, %v", n, err)
	}
	if n, err := r.RemoveOldOwners(ctx); n != 0 || err != nil {
		t.Fatalf("again: %d, %v", n, err)
	}
	now, err := r.Owner(ctx)
	if err != nil || now.Term != 40 {
		t.Fatal(now, err)
	}
	// A server of a term that is gone: it had looked before the others came, and only now puts.
	must(t, storage.NewDir(m, "/r").Put(ctx, ownerName(5), Owner{Term: 5, Server: []byte("old")}.encode()))
	now, err = open(t, m).Claim(ctx, Owner{Term: 5, Server: []byte("old")})
	if err != nil || now.Term != 40 || string(now.Server) != "new" {
		t.Errorf("the old server owns it: %+v, %v", now, err)
	}
	if err := r.CheckTerm(ctx, 5); errs.CodeOf(err) != "repository.owner" {
		t.Errorf("its order: %v", err)
	}
}

// late is a backend on which an object goes between the list and the read.
type late struct {
	storage.Backend
	storage.Deleter
	once bool
}

func (b *late) Get(ctx context.Context, name string, limit int64) ([]byte, error) {
	if !b.once {
		b.once = true
		if err := b.Delete(ctx, name); err != nil {
			return nil, err
		}
	}
	return b.Backend.Get(ctx, name, limit)
}

// Who finds no owner may do as he likes: an owner that was removed under his hands is not none.
func TestAnOwnerThatGoesWhileItIsReadIsNotNone(t *testing.T) {
	m := disk(t, newSite())
	r := open(t, m)
	r.b = &late{Backend: r.b, Deleter: storage.NewDir(m, "/r")}
	if o, err := r.Owner(context.Background()); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("%+v, %v", o, err)
	}
}
