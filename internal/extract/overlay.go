package extract

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"keepward/internal/errs"
	"keepward/internal/storage"
)

// overlay is a backend that reads another and writes to memory: what lies below is never
// touched, and an index that has to be rebuilt on the way is rebuilt for this process alone.
type overlay struct {
	storage.Backend

	mu   sync.RWMutex
	made map[string][]byte
}

func newOverlay(b storage.Backend) *overlay { return &overlay{Backend: b, made: map[string][]byte{}} }

// Put keeps a small object in memory.
func (o *overlay) Put(_ context.Context, name string, content []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ok := o.made[name]; ok {
		return errs.New(errs.Exists, "repository.object-exists", "write %s: it exists", name)
	}
	o.made[name] = bytes.Clone(content)
	return nil
}

// Create refuses: nothing that only reads starts a large object.
func (o *overlay) Create(_ context.Context, name string) (storage.Writer, error) {
	return nil, errs.New(errs.Internal, "", "write %s: the repository was opened for reading", name)
}

// Open prefers what is in memory: it is the better copy.
func (o *overlay) Open(ctx context.Context, name string) (storage.Reader, error) {
	o.mu.RLock()
	content, ok := o.made[name]
	o.mu.RUnlock()
	if !ok {
		return o.Backend.Open(ctx, name)
	}
	return memory{bytes.NewReader(content)}, nil
}

// Get is like Open.
func (o *overlay) Get(ctx context.Context, name string, limit int64) ([]byte, error) {
	o.mu.RLock()
	content, ok := o.made[name]
	o.mu.RUnlock()
	if !ok {
		return o.Backend.Get(ctx, name, limit)
	}
	return bytes.Clone(content), nil
}

// List lists both.
func (o *overlay) List(ctx context.Context, dir string, fn func(storage.Info) error) error {
	all := map[string]int64{}
	err := o.Backend.List(ctx, dir, func(i storage.Info) error {
		all[i.Name] = i.Size
		return nil
	})
	if err != nil {
		return err
	}
	o.mu.RLock()
	for name, content := range o.made {
		if dir == "" || strings.HasPrefix(name, dir+"/") {
			all[name] = int64(len(content))
		}
	}
	o.mu.RUnlock()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := fn(storage.Info{Name: name, Size: all[name]}); err != nil {
			return err
		}
	}
	return nil
}

// Sync does nothing: nobody acts on what is seen here but this process.
func (o *overlay) Sync(context.Context, string) error { return nil }

// memory is an object in memory.
type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

func (m memory) Size() int64 { return m.Reader.Size() }
