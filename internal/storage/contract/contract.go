// Package contract is the suite that every storage.Backend passes: the promises in the
// comment of storage.Backend, one test each. It is for tests only.
package contract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/storage"
)

// Run runs the suite. Make answers an empty backend for each test.
func Run(t *testing.T, newBackend func(t *testing.T) storage.Backend) {
	tests := []struct {
		name string
		run  func(t *testing.T, b storage.Backend)
	}{
		{"put and get back", putGet},
		{"a second put of a name fails and changes nothing", putTwice},
		{"of many puts of a name one wins", putRace},
		{"a large object shows only when committed", createCommit},
		{"an aborted object leaves nothing", createAbort},
		{"a commit over an existing name fails and changes nothing", commitExisting},
		{"what is not there is not found", notFound},
		{"get refuses more than its limit", getLimit},
		{"list shows all below a folder in order", list},
		{"a listing ends with the error of its caller", listError},
		{"reads at any offset", readAt},
		{"a cancelled context changes nothing", cancelled},
		{"delete deletes", deletes},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, newBackend(t)) })
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantKind(t *testing.T, what string, err error, kind errs.Kind) {
	t.Helper()
	if errs.KindOf(err) != kind {
		t.Fatalf("%s: error %v, want kind %q", what, err, kind)
	}
}

func wantContent(t *testing.T, b storage.Backend, name, want string) {
	t.Helper()
	got, err := b.Get(context.Background(), name, 1<<20)
	must(t, err)
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Fatalf("content of %s (-want +got):\n%s", name, diff)
	}
}

func names(t *testing.T, b storage.Backend, dir string) []string {
	t.Helper()
	var out []string
	must(t, b.List(context.Background(), dir, func(i storage.Info) error {
		out = append(out, fmt.Sprintf("%s %d", i.Name, i.Size))
		return nil
	}))
	return out
}

func putGet(t *testing.T, b storage.Backend) {
	ctx := context.Background()
	for name, content := range map[string]string{"top": "x", "a/b/c/deep": "hello", "a/empty": ""} {
		must(t, b.Put(ctx, name, []byte(content)))
		wantContent(t, b, name, content)
	}
	must(t, b.Sync(ctx, "a/b/c"))
}

func putTwice(t *testing.T, b storage.Backend) {
	ctx := context.Background()
	must(t, b.Put(ctx, "points/x", []byte("first")))
	wantKind(t, "second put", b.Put(ctx, "points/x", []byte("second")), errs.Exists)
	wantContent(t, b, "points/x", "first")
}

func putRace(t *testing.T, b storage.Backend) {
	ctx := context.Background()
	const writers = 8
	results := make([]error, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() { results[i] = b.Put(ctx, "points/x", fmt.Appendf(nil, "writer %d", i)) })
	}
	wg.Wait()
	winner := -1
	for i, err := range results {
		if err == nil && winner >= 0 {
			t.Fatalf("writers %d and %d both won", winner, i)
		}
		if err == nil {
			winner = i
			continue
		}
		wantKind(t, "a loser", err, errs.Exists)
	}
	wantContent(t, b, "points/x", fmt.Sprintf("writer %d", winner))
}

func createCommit(t *testing.T, b storage.Backend) {
	ctx := context.Background()
	w, err := b.Create(ctx, "packs/aa/one")
	must(t, err)
	for range 3 {
		_, err = w.Write([]byte("part "))
		must(t, err)
	}
	_, err = b.Get(ctx, "packs/aa/one", 100)
	wantKind(t, "get before commit", err, errs.NotFound)
	if got := names(t, b, "packs"); got != nil {
		t.Fatalf("listed before commit: %v", got)
	}
	must(t, w.Commit(ctx))
	w.Abort() // allowed, and without effect
	wantContent(t, b, "packs/aa/one", "part part part ")
	if diff := cmp.Diff([]string{"packs/aa/one 15"}, names(t, b, "packs")); diff != "" {
		t.Fatal(diff)
	}
}

func createAbort(t *testing.T, b storage.Backend) {
	ctx := context.Background()
	w, err := b.Create(ctx, "packs/aa/one")
	must(t, err)
	_, err = w.Write([]byte("part"))
	must(t, err)
	w.Abort()
	w.Abort()
	if got := names(t, b, ""); got != nil {
		t.Fatalf("left after abort: %v", got)
	}
	must(t, b.Put(ctx, "packs/aa/one", []byte("again")))
}

func commitExisting(t *testing.T, b storage.Backend) {
	ctx := context.Background()
	w, err := b.Create(ctx, "packs/aa/one")
	must(t, err)
	_, err = w.Write([]byte("late"))
	must(t, err)
	must(t, b.Put(ctx, "packs/aa/one", []byte("first")))
	wantKind(t, "commit", w.Commit(ctx), errs.Exists)
	wantContent(t, b, "packs/aa/one", "first")
}

func notFound(t *testing.T, b storage.Backend) {
	ctx := context.Background()
	_, err := b.Get(ctx, "no/thing", 10)
	wantKind(t, "get", err, errs.NotFound)
	_, err = b.Open(ctx, "no/thing")
	wantKind(t, "open", err, errs.NotFound)
	if got := names(t, b, "no"); got != nil {
		t.Fatalf("a folder that does not exist lists %v", got)
	}
}

func getLimit(t *testing.T, b storage.Backend) {
	ctx := context.Background()
	must(t, b.Put(ctx, "x", []byte("12345")))
	_, err := b.Get(ctx, "x", 4)
	wantKind(t, "get with limit 4 of 5 bytes", err, errs.Corrupt)
}

func list(t *testing.T, b storage.Backend) {
	ctx := context.Background()
	for _, name := range []string{"packs/b/2", "packs/a/1", "packs/a/0", "packs/c", "points/x", "top"} {
		must(t, b.Put(ctx, name, []byte(name)))
	}
	want := []string{"packs/a/0 9", "packs/a/1 9", "packs/b/2 9", "packs/c 7"}
	if diff := cmp.Diff(want, names(t, b, "packs")); diff != "" {
		t.Fatal(diff)
	}
	if got := names(t, b, ""); len(got) != 6 {
		t.Fatalf("list of all shows %v", got)
	}
}

func listError(t *testing.T, b storage.Backend) {
	ctx := context.Background()
	must(t, b.Put(ctx, "a/1", nil))
	must(t, b.Put(ctx, "a/2", nil))
	stop, calls := errors.New("stop"), 0
	err := b.List(ctx, "a", func(storage.Info) error { calls++; return stop })
	if !errors.Is(err, stop) || calls != 1 {
		t.Fatalf("error %v after %d calls", err, calls)
	}
}

func readAt(t *testing.T, b storage.Backend) {
	ctx := context.Background()
	content := bytes.Repeat([]byte("0123456789"), 1000)
	must(t, b.Put(ctx, "x", content))
	r, err := b.Open(ctx, "x")
	must(t, err)
	defer func() { must(t, r.Close()) }()
	if r.Size() != int64(len(content)) {
		t.Fatalf("size %d", r.Size())
	}
	for _, off := range []int64{0, 1, 4095, 9990} {
		buf := make([]byte, 10)
		if _, err := r.ReadAt(buf, off); err != nil || !bytes.Equal(buf, content[off:off+10]) {
			t.Fatalf("read at %d: %q, %v", off, buf, err)
		}
	}
	if n, err := r.ReadAt(make([]byte, 10), 9995); n != 5 || err != io.EOF {
		t.Fatalf("read over the end: %d, %v", n, err)
	}
	if m, ok := r.(storage.Mapper); ok {
		mapped, err := m.Map()
		must(t, err)
		if !bytes.Equal(mapped, content) {
			t.Fatal("mapped content differs")
		}
	}
}

func cancelled(t *testing.T, b storage.Backend) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	wantKind(t, "put", b.Put(ctx, "x", nil), errs.Cancelled)
	_, err := b.Create(ctx, "x")
	wantKind(t, "create", err, errs.Cancelled)
	if got := names(t, b, ""); got != nil {
		t.Fatalf("there is %v", got)
	}
}

func deletes(t *testing.T, b storage.Backend) {
	d, ok := b.(storage.Deleter)
	if !ok {
		t.Skip("this backend cannot delete")
	}
	ctx := context.Background()
	must(t, b.Put(ctx, "a/x", nil))
	must(t, d.Delete(ctx, "a/x"))
	wantKind(t, "second delete", d.Delete(ctx, "a/x"), errs.NotFound)
	must(t, b.Put(ctx, "a/x", []byte("again")))
}
