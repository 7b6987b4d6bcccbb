//go:build linux || darwin || freebsd

package mount

import (
	"context"
	"io"
	"log"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"keepward/internal/errs"
)

// Run mounts the points at a directory and serves it until ctx ends or somebody unmounts it. ready
// is called once the kernel has it.
func Run(ctx context.Context, dir string, o Options, ready func()) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return errs.New(errs.Invalid, "mount.directory", "mount at %s: %w", dir, err)
	}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := newPoints(own, o)
	defer p.close()
	defer cancel()
	if err := p.refresh(ctx); err != nil {
		return err
	}
	if len(p.behind(0)) == 0 {
		return errs.New(errs.NotFound, "point.unknown", "mount restore points of %s: there are none", o.Computer).
			WithHint("keepward point list --computer %s shows those there are", o.Computer)
	}
	if err := usableDir(dir, p.o.Tell); err != nil {
		return err
	}
	f := newFileSystem(p)
	server, err := fuse.NewServer(f, dir, &fuse.MountOptions{
		AllowOther: o.AllowOther, FsName: "keepward:" + o.Computer, Name: "keepward", Options: []string{"ro", "default_permissions", "nosuid", "nodev"},
		// The kernel looks at ACLs itself, so that it shows nobody what the owner did not.
		EnableAcl: true, MaxWrite: 1 << 20, MaxReadAhead: 1 << 20, MaxBackground: 64,
		DirectMountStrict: os.Geteuid() == 0 && directMount, Logger: log.New(io.Discard, "", 0),
	})
	if err != nil {
		return errs.New(errs.KindOf(err), "mount.failed", "mount at %s: %w", dir, err).WithHint("%s", mountHint)
	}
	var wg, serving sync.WaitGroup
	served := make(chan struct{})
	serving.Go(func() { defer close(served); server.Serve() })
	if err := server.WaitMount(); err != nil {
		_ = server.Unmount()
		return errs.New(errs.KindOf(err), "mount.failed", "mount at %s: %w", dir, err)
	}
	wg.Go(func() { p.serve(own) })
	wg.Go(func() { forget(own, p, server) })
	ready()
	select {
	case <-served: // somebody unmounted it
	case <-ctx.Done():
		err = end(dir, server, p, served)
	}
	cancel()
	wg.Wait()
	select {
	case <-served:
		serving.Wait()
	case <-time.After(unmountWithin): // it was taken away from under somebody, who keeps it alive
	}
	return err
}

// forget has the kernel forget the folders of points that come and go. It is a goroutine of its own:
// the kernel may hold the folder for as long as somebody lists it.
func forget(ctx context.Context, p *points, server *fuse.Server) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.changed:
		}
		for _, name := range p.staleNames() {
			server.EntryNotify(rootNode, name)
		}
	}
}

// unmountWithin is how long is waited for files to be closed before the mount is taken away from
// under those who have them open.
const unmountWithin = 2 * time.Second

// end unmounts. Who still has something open there gets errors from then on.
func end(dir string, server *fuse.Server, p *points, served <-chan struct{}) error {
	var err error
	for deadline := time.Now().Add(unmountWithin); ; {
		if err = server.Unmount(); err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			break
		}
		select {
		case <-served:
			return nil
		case <-time.After(100 * time.Millisecond):
		}
	}
	p.o.Tell("somebody still uses the mount; it is taken away all the same")
	if derr := detach(dir); derr != nil {
		return errs.New(errs.Busy, "mount.busy", "unmount %s: %w", dir, err).WithHint("end what uses it, then: umount %s", dir)
	}
	return nil
}
