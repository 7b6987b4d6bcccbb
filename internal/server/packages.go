package server

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/durable"
	"keepward/internal/errs"
	"keepward/internal/update"
)

const (
	// packageDir holds what was imported, by digest, in the data directory.
	packageDir = "packages"
	// partMost is how much of a package goes into one message.
	partMost = 1 << 20
	// uploadsMost bounds the uploads that go on at once, and uploadIdle how long one may rest.
	uploadsMost = 8
	uploadIdle  = 10 * time.Minute
)

// packages are the programs of agents that the server holds: its own, and those that were imported.
type packages struct {
	*server
	dir string
	own func() (*keepwardv1.AgentPackage, error)
	// file is the server's own program as it was started, whatever lies under its name now.
	file *os.File

	mu      sync.Mutex
	uploads map[string]*upload
}

// upload is a program that is on its way here.
type upload struct {
	file *os.File
	size int64
	used time.Time
}

func newPackages(s *server) *packages {
	p := &packages{server: s, dir: filepath.Join(s.cfg.DataDir, packageDir), uploads: map[string]*upload{}}
	path, err := os.Executable()
	if err == nil {
		p.file, err = os.Open(path)
	}
	p.own = sync.OnceValues(func() (*keepwardv1.AgentPackage, error) {
		if err != nil {
			return nil, errs.New(errs.KindOf(err), "package.own", "read the server's own program: %w", err)
		}
		return p.lookAtOwn()
	})
	return p
}

// close ends what is on its way; it is called once nobody calls any more.
func (p *packages) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, u := range p.uploads {
		p.drop(id, u)
	}
	if p.file != nil {
		_ = p.file.Close() // it was only read
	}
}

func (p *packages) lookAtOwn() (*keepwardv1.AgentPackage, error) {
	st, err := p.file.Stat()
	if err != nil {
		return nil, errs.New(errs.KindOf(err), "package.own", "read the server's own program: %w", err)
	}
	found, err := update.Inspect(p.file, st.Size(), p.cfg.Version)
	if err != nil {
		return nil, err
	}
	found.OS, found.Arch = runtime.GOOS, runtime.GOARCH
	return p.sign(found)
}

func (p *packages) sign(found update.Package) (*keepwardv1.AgentPackage, error) {
	if err := found.Check(); err != nil {
		return nil, err
	}
	signature, err := p.data.authority.Sign(found.Statement())
	if err != nil {
		return nil, err
	}
	return &keepwardv1.AgentPackage{
		Os: found.OS, Arch: found.Arch, Version: found.Version, SizeBytes: found.Size, Sha256: found.SHA256, Signature: signature,
	}, nil
}

// list are all packages; the server's own is the first.
func (p *packages) list(ctx context.Context) ([]*keepwardv1.AgentPackage, error) {
	imported, err := catalog.AgentPackages(ctx, p.db.Read())
	if err != nil {
		return nil, err
	}
	for _, one := range imported {
		if st, err := os.Stat(p.path(one.GetSha256())); err != nil || st.Size() != one.GetSizeBytes() {
			one.Problem = "its file is not there, or not whole: import it again"
		}
	}
	own, err := p.own()
	if err != nil { // the imported ones can be had all the same
		own = &keepwardv1.AgentPackage{Os: runtime.GOOS, Arch: runtime.GOARCH, Version: p.cfg.Version, Problem: err.Error()}
	}
	return append([]*keepwardv1.AgentPackage{own}, imported...), nil
}

// pick is the package of a version for a platform.
func pick(list []*keepwardv1.AgentPackage, os, arch, version string) (*keepwardv1.AgentPackage, error) {
	for _, one := range list {
		if one.GetOs() == os && one.GetArch() == arch && one.GetVersion() == version && one.GetProblem() == "" {
			return one, nil
		}
	}
	return nil, errs.New(errs.NotFound, "package.unknown", "find agent package %s for %s/%s: there is none", version, os, arch).
		WithHint("import the program of that version for that platform: keepward agent-package import FILE")
}

func (p *packages) path(sha256 string) string { return filepath.Join(p.dir, sha256) }

// read answers a part of a package; none: it ends there.
func (p *packages) read(ctx context.Context, sha256 string, offset int64) ([]byte, error) {
	own, err := p.own()
	var from io.ReaderAt = p.file
	if err != nil || own.GetSha256() != sha256 {
		imported, err := catalog.AgentPackages(ctx, p.db.Read())
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(imported, func(one *keepwardv1.AgentPackage) bool { return one.GetSha256() == sha256 }) {
			return nil, errs.New(errs.NotFound, "package.unknown", "read agent package: there is none of this digest")
		}
		f, err := os.Open(p.path(sha256))
		if err != nil {
			return nil, errs.New(errs.KindOf(err), "package.read", "read agent package: %w", err)
		}
		defer func() { _ = f.Close() }()
		from = f
	}
	b := make([]byte, partMost)
	n, err := from.ReadAt(b, max(offset, 0))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errs.New(errs.KindOf(err), "package.read", "read agent package: %w", err)
	}
	return b[:n], nil
}

// packageService is what agents read over their links.
type packageService struct{ packages *packages }

func (s *packageService) ReadPackage(ctx context.Context, req *connect.Request[keepwardv1.ReadPackageRequest]) (*connect.Response[keepwardv1.ReadPackageResponse], error) {
	b, err := s.packages.read(ctx, req.Msg.GetSha256(), req.Msg.GetOffset())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.ReadPackageResponse{Data: b}), nil
}

// take adds a part to an upload and answers its name; with the last part the package too.
func (p *packages) take(ctx context.Context, m *keepwardv1.UploadPackageRequest) (*keepwardv1.UploadPackageResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, u, err := p.upload(m.GetUpload(), time.Now())
	if err != nil {
		return nil, err
	}
	if m.GetOffset() != u.size || u.size+int64(len(m.GetData())) > update.SizeMost {
		p.drop(id, u)
		return nil, errs.New(errs.Invalid, "package.upload", "import agent package: the part at %d does not follow the %d bytes that are there", m.GetOffset(), u.size)
	}
	n, err := u.file.Write(m.GetData())
	u.size += int64(n)
	if err != nil {
		p.drop(id, u)
		return nil, errs.New(errs.KindOf(err), "package.upload", "import agent package: %w", err)
	}
	res := &keepwardv1.UploadPackageResponse{Upload: id}
	if m.GetLast() {
		res.Package, err = p.complete(ctx, u, m.GetVersion())
		p.drop(id, u)
	}
	return res, err
}

// upload finds one that goes on, or begins it. p.mu is held.
func (p *packages) upload(id string, now time.Time) (string, *upload, error) {
	if id != "" {
		u := p.uploads[id]
		if u == nil {
			return "", nil, errs.New(errs.NotFound, "package.upload", "import agent package: the upload is not known; it may have rested too long").WithHint("begin anew")
		}
		u.used = now
		return id, u, nil
	}
	for id, u := range p.uploads {
		if now.Sub(u.used) > uploadIdle {
			p.drop(id, u)
		}
	}
	if len(p.uploads) >= uploadsMost {
		return "", nil, errs.New(errs.Busy, "package.upload", "import agent package: %d are on their way already", len(p.uploads))
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return "", nil, errs.New(errs.KindOf(err), "package.upload", "import agent package: %w", err)
	}
	f, err := os.CreateTemp(p.dir, ".upload-*")
	if err != nil {
		return "", nil, errs.New(errs.KindOf(err), "package.upload", "import agent package: %w", err)
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	id = hex.EncodeToString(b[:])
	p.uploads[id] = &upload{file: f, used: now}
	return id, p.uploads[id], nil
}

// drop ends an upload; a package that it has become has another name. p.mu is held.
func (p *packages) drop(id string, u *upload) {
	delete(p.uploads, id)
	_ = errors.Join(u.file.Close(), os.Remove(u.file.Name()))
}

// complete makes a package of an upload.
func (p *packages) complete(ctx context.Context, u *upload, version string) (*keepwardv1.AgentPackage, error) {
	found, err := update.Inspect(u.file, u.size, version)
	if err != nil {
		return nil, err
	}
	if own, err := p.own(); err == nil && own.GetOs() == found.OS && own.GetArch() == found.Arch && own.GetVersion() == found.Version && own.GetSha256() != found.SHA256 {
		return nil, errs.New(errs.Exists, "package.exists", "import agent package %s for %s: that is the server's own version, and another program", found.Version, found.Platform())
	}
	done, err := p.sign(found)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(u.file.Sync(), u.file.Close()); err != nil {
		return nil, errs.New(errs.KindOf(err), "package.upload", "import agent package: %w", err)
	}
	// Over a file of that name, if there is one: it may be damaged, and that is why it is imported again.
	if err := os.Rename(u.file.Name(), p.path(found.SHA256)); err != nil {
		return nil, errs.New(errs.KindOf(err), "package.upload", "import agent package: %w", err)
	}
	if err := durable.SyncDir(p.dir); err != nil {
		return nil, errs.New(errs.KindOf(err), "package.upload", "import agent package: %w", err)
	}
	done.Imported, done.User = timestamppb.Now(), userOf(ctx)
	err = p.db.Write(ctx, func(tx *sql.Tx) error { return catalog.PutAgentPackage(ctx, tx, done) })
	if err != nil {
		return nil, err
	}
	return done, p.sweep(ctx)
}

// sweep removes files that are no package any more, and what a crash left of uploads. p.mu is held.
func (p *packages) sweep(ctx context.Context) error {
	imported, err := catalog.AgentPackages(ctx, p.db.Read())
	if err != nil {
		return err
	}
	files, err := os.ReadDir(p.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return errs.New(errs.KindOf(err), "package.read", "look at agent packages: %w", err)
	}
	for _, f := range files {
		wanted := slices.ContainsFunc(imported, func(one *keepwardv1.AgentPackage) bool { return one.GetSha256() == f.Name() })
		for _, u := range p.uploads {
			wanted = wanted || filepath.Base(u.file.Name()) == f.Name()
		}
		if wanted {
			continue
		}
		if err := os.Remove(filepath.Join(p.dir, f.Name())); err != nil {
			p.log.Warn("agent package not removed", "file", f.Name(), "error", err)
		}
	}
	return nil
}
