package transport_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/mover"
	"keepward/internal/repo"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/transport"
	"keepward/internal/wire"
	"keepward/internal/wire/wiretest"
)

// TestMain makes the test's own program the mover, as keepward is its own.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "mover" {
		if err := mover.Main(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// host is a repository host with a transport service, linked to a server.
type host struct {
	t      *testing.T
	server *wiretest.Server
	data   string
	path   string // of the repository
	id     [16]byte
	master seal.Master
	stop   func()
}

func newHost(t *testing.T) *host {
	t.Helper()
	// Sockets of movers must work however long the path is.
	base := filepath.Join(t.TempDir(), strings.Repeat("a-long-name/", 6))
	h := &host{
		t: t, server: wiretest.NewServer(t), data: filepath.Join(base, "data"), path: filepath.Join(base, "repository"),
		id: [16]byte{0xab, 1}, master: seal.Master{Domain: 5, Epoch: 1, Secret: seal.NewSecret()},
	}
	h.start()
	t.Cleanup(h.endMovers)
	_, err := h.calls().CreateRepository(t.Context(), connect.NewRequest(h.creation()))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *host) creation() *keepwardv1.TransportCreateRepositoryRequest {
	cfg := repo.Config{
		ID: h.id, Created: time.Now(), Domain: h.master.Domain,
		ChunkMin: 256 << 10, ChunkNormal: 1 << 20, ChunkMax: 4 << 20, NodeOdds: 256, NodeCap: 192 << 10,
		BundleOdds: 64, BundleCap: 1 << 20, Check: h.master.Check(h.id),
	}
	return &keepwardv1.TransportCreateRepositoryRequest{Path: h.path, Configuration: cfg.Encode(), Term: 1, Owner: []byte("server")}
}

// start runs the transport service until h.stop.
func (h *host) start() {
	h.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var own sync.WaitGroup
	own.Go(func() {
		err := transport.Run(ctx, transport.Config{
			DataDir: h.data, Server: h.server.Addr, JoinToken: h.server.Token, Name: "tr1",
			Listen: "127.0.0.1:0", Agents: "127.0.0.1:0", MoverCommand: []string{exe, "mover"},
		})
		if err != nil {
			h.t.Errorf("transport: %v", err)
		}
	})
	var once sync.Once
	h.stop = func() { once.Do(func() { cancel(); own.Wait() }) }
	h.t.Cleanup(h.stop)
	h.server.Link(wire.RoleTransport, "tr1")
}

// endMovers leaves no process behind.
func (h *host) endMovers() {
	dirs, _ := filepath.Glob(filepath.Join(h.data, "movers", "*"))
	for _, d := range dirs {
		h.kill(filepath.Base(d))
	}
}

func (h *host) calls() keepwardv1connect.TransportServiceClient {
	l := h.server.Link(wire.RoleTransport, "tr1")
	return keepwardv1connect.NewTransportServiceClient(l.Client(), wire.LinkURL, connect.WithInterceptors(wire.Errors()))
}

func newAttempt() point.Attempt {
	var a point.Attempt
	_, _ = rand.Read(a[:])
	return a
}

func order(a point.Attempt) *keepwardv1.Order {
	return &keepwardv1.Order{Attempt: a.String(), Task: "task-" + a.String()[:4], Session: 7, Term: 1, Owner: []byte("server")}
}

func (h *host) keys(computer string) *keepwardv1.RepositoryKeys {
	return wire.KeysToProto(h.master.TaskKeys(h.id, computer))
}

// request asks for a mover of a mode for agent web1.
func (h *host) request(a point.Attempt, mode string) *keepwardv1.StartMoverRequest {
	owner := h.master.ComputersKey().Owner("web1")
	issue, err := point.SealIssue(h.master.IssueKey(), h.id, a, point.Issue{Computer: "web1", Job: "docs", Time: time.Now()})
	if err != nil {
		h.t.Fatal(err)
	}
	return &keepwardv1.StartMoverRequest{
		Order: order(a), Mode: mode, RepositoryPath: h.path, Keys: h.keys("web1"), Agent: "web1", Issue: issue,
		Computer: "web1", Owner: owner[:], AgentWait: durationpb.New(20 * time.Second),
	}
}

func (h *host) startMover(req *keepwardv1.StartMoverRequest) *keepwardv1.MoverEndpoint {
	h.t.Helper()
	res, err := h.calls().StartMover(h.t.Context(), connect.NewRequest(req))
	if err != nil {
		h.t.Fatal(err)
	}
	return res.Msg.GetMover()
}

func (h *host) dial(a point.Attempt, e *keepwardv1.MoverEndpoint) (*wire.DataClient, error) {
	return wire.DialData(h.t.Context(), wire.DialConfig{
		Credentials: h.server.CA.Issue(h.t, wire.RoleAgent, "web1"), Endpoint: e, Attempt: a.String(),
	})
}

func (h *host) connect(a point.Attempt, e *keepwardv1.MoverEndpoint) *wire.DataClient {
	h.t.Helper()
	c, err := h.dial(a, e)
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// saver puts sealed chunks on a data connection.
type saver struct {
	c      *wire.DataClient
	sealer *seal.Sealer
}

func (s *saver) Save(ctx context.Context, c fileindex.Chunk) error {
	refs := make([]seal.ID, len(c.Refs))
	for i, h := range c.Refs {
		refs[i] = h.ID()
	}
	rec, err := s.sealer.Seal(nil, c.Kind, c.H, refs, c.Content)
	if err != nil {
		return err
	}
	return s.c.Put(ctx, rec)
}

// send puts files on a data connection, whole and in one chunk each, and answers the draft
// of their point. The last path has a second name.
func (h *host) send(c *wire.DataClient, a point.Attempt, files []string, content func(string) []byte) point.Draft {
	h.t.Helper()
	ctx := h.t.Context()
	keys := h.master.TaskKeys(h.id, "web1")
	hasher := keys.NewHasher()
	sealer, err := seal.NewSealer(keys, seal.CompressFast)
	must(h.t, err)
	s := &saver{c, sealer}
	paths, inodes := fileindex.NewBuilder(seal.KindNode, hasher, s), fileindex.NewBuilder(seal.KindInode, hasher, s)
	for i, path := range files {
		body := content(path)
		hash := hasher.Hash(seal.KindData, body)
		must(h.t, s.Save(ctx, fileindex.Chunk{Kind: seal.KindData, H: hash, Content: body}))
		e := fileindex.Entry{
			Path: []byte(path), Type: fileindex.File, Mode: 0o644, Size: int64(len(body)), Device: 1, Inode: uint64(i + 1),
			Extents: []fileindex.Extent{{Kind: fileindex.InChunk, H: hash, Len: int64(len(body))}},
		}
		if i == len(files)-1 {
			must(h.t, inodes.AddKeyed(ctx, fileindex.InodeKey(1, e.Inode), &e))
			e = fileindex.Entry{Path: []byte(path), Type: fileindex.Link, Device: 1, Inode: e.Inode}
		}
		must(h.t, paths.Add(ctx, &e))
	}
	var root fileindex.Root
	root.OS = "linux"
	root.Paths, err = paths.Finish(ctx)
	must(h.t, err)
	root.Inodes, err = inodes.Finish(ctx)
	must(h.t, err)
	rh, err := root.Save(ctx, hasher, s)
	must(h.t, err)
	sealed, err := point.SealBody(keys.ComputerKey, h.id, a, point.Body{Root: rh, Files: int64(len(files))})
	must(h.t, err)
	return point.Draft{Type: point.Complete, RootID: rh.ID(), Body: sealed}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var someFiles = []string{"etc/hosts", "etc/passwd", "srv/a.txt", "srv/b/c.txt", "srv/b/d.txt"}

func text(path string) []byte { return bytes.Repeat([]byte("content of "+path+"\n"), 500) }

// backup makes a restore point of someFiles.
func (h *host) backup(content func(string) []byte) point.Attempt {
	h.t.Helper()
	a := newAttempt()
	c := h.connect(a, h.startMover(h.request(a, mover.ModeBackup)))
	d := h.send(c, a, someFiles, content)
	must(h.t, c.Commit(h.t.Context(), d))
	must(h.t, c.Close())
	end := h.server.End(a.String())
	if end.GetOutcome() != mover.OutcomeDone || !end.GetCommitted() {
		h.t.Fatalf("end: %v", end)
	}
	return a
}

func (h *host) events(a point.Attempt) map[string]string {
	out := map[string]string{}
	h.server.Set(func() {
		for _, e := range h.server.Events[a.String()] {
			out[e.GetCode()] = e.GetText()
		}
	})
	return out
}
