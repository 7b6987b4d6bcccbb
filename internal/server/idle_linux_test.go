package server

import (
	"context"
	"crypto/tls"
	"database/sql"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/catalog"
	"keepward/internal/job"
	"keepward/internal/pki"
	"keepward/internal/wire"
)

// BenchmarkIdleAgents measures what a server uses for each agent that is connected and has nothing
// to do: memory as the growth of the resident set, and processor time over two heartbeats of the
// default pace. KEEPWARD_IDLE_AGENTS says how many; 2000 if not set.
func BenchmarkIdleAgents(b *testing.B) {
	n := 2000
	if text := os.Getenv("KEEPWARD_IDLE_AGENTS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("agents dial", func(b *testing.B) { benchmarkIdle(b, n, false) })
	b.Run("server dials", func(b *testing.B) { benchmarkIdle(b, n, true) })
}

func benchmarkIdle(b *testing.B, n int, serverDials bool) {
	dir := b.TempDir()
	agents := makeIdle(b, dir, n, serverDials)
	for range b.N { // once: a look takes longer than a benchmark's time
		_, alone := startIdle(b, b.TempDir())
		time.Sleep(time.Second)
		before := resident(b, alone)
		address, pid := startIdle(b, dir)
		ctx, cancel := context.WithCancel(b.Context())
		var own sync.WaitGroup
		began := time.Now()
		var online atomic.Int64
		all := make(chan struct{})
		for _, a := range agents {
			a.online = func() {
				if online.Add(1) == int64(n) {
					close(all)
				}
			}
			own.Go(func() { a.run(ctx, address) })
		}
		select {
		case <-all:
		case <-time.After(5 * time.Minute):
			b.Fatalf("%d of %d agents are online", online.Load(), n)
		}
		b.ReportMetric(time.Since(began).Seconds(), "s-until-all-online")
		time.Sleep(job.DefaultHeartbeat) // what the rush has left is tidied up
		used := processor(b, pid)
		time.Sleep(2 * job.DefaultHeartbeat)
		spent := processor(b, pid) - used
		b.ReportMetric(float64(resident(b, pid)-before)/float64(n)/1024, "KiB/agent")
		b.ReportMetric(spent.Seconds()*1e6/float64(n)/(2*job.DefaultHeartbeat).Seconds(), "µs-cpu/agent/s")
		b.ReportMetric(100*spent.Seconds()/(2*job.DefaultHeartbeat).Seconds(), "%core")
		cancel()
		own.Wait()
	}
	b.ReportMetric(0, "ns/op")
}

// idleAgent is an agent that only beats.
type idleAgent struct {
	creds  wire.Credentials
	l      net.Listener // where the server dials; nil: the agent does
	online func()
}

// makeIdle makes a server's data directory with n computers in it.
func makeIdle(b *testing.B, dir string, n int, serverDials bool) []*idleAgent {
	b.Helper()
	data, err := openDataDir(b.Context(), dir, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := data.close(); err != nil {
			b.Fatal(err)
		}
	}()
	agents := make([]*idleAgent, n)
	now := time.Now()
	err = data.db.Write(b.Context(), func(tx *sql.Tx) error {
		for i := range agents {
			name := fmt.Sprintf("c%05d", i)
			key, err := pki.NewKey()
			if err != nil {
				return err
			}
			cert, err := data.authority.Issue(wire.RoleAgent, name, key.Public(), pki.Names{}, now)
			if err != nil {
				return err
			}
			err = catalog.AddCertificate(b.Context(), tx, catalog.Certificate{
				Serial: cert.SerialNumber.String(), Role: string(wire.RoleAgent), Name: name, DER: cert.Raw, Issued: now, Expires: cert.NotAfter,
			})
			if err == nil {
				err = catalog.JoinComputer(b.Context(), tx, name, now)
			}
			if err != nil {
				return err
			}
			a := &idleAgent{creds: wire.Credentials{
				Certificate: tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, CA: data.authority.Certificate,
			}}
			agents[i] = a
			if !serverDials {
				continue
			}
			if a.l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
				return err
			}
			err = catalog.SetConnection(b.Context(), tx, catalog.Connection{
				Computer: name, Control: catalog.DialServer, Data: catalog.DialMover, Addresses: []string{a.l.Addr().String()},
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return agents
}

func startIdle(b *testing.B, dir string) (address string, pid int) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), idleEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
	if _, err := fmt.Fscanln(out, &address); err != nil {
		b.Fatal(err)
	}
	return address, cmd.Process.Pid
}

func (a *idleAgent) run(ctx context.Context, address string) {
	if a.l == nil {
		for ctx.Err() == nil {
			if link, err := wire.DialLink(ctx, address, a.creds, http.NotFoundHandler()); err == nil {
				a.beat(ctx, link)
			}
		}
		return
	}
	links := make(chan *wire.Link, 1)
	door := wire.NewDoor(wire.DoorConfig{
		Listener: a.l, Credentials: func() (wire.Credentials, bool) { return a.creds, true },
		Link: func(_ context.Context, c *tls.Conn) {
			if link, err := wire.AcceptLink(c, http.NotFoundHandler()); err == nil {
				links <- link
			}
		},
		Pairing: func() (tls.Certificate, func(context.Context, *tls.Conn), bool) { return tls.Certificate{}, nil, false },
	})
	var own sync.WaitGroup
	own.Go(func() { door.Serve(ctx) })
	defer own.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case link := <-links:
			a.beat(ctx, link)
		}
	}
}

// beat says that the agent is there until the link is lost.
func (a *idleAgent) beat(ctx context.Context, link *wire.Link) {
	defer func() { _ = link.Close() }()
	server := keepwardv1connect.NewNodeServiceClient(link.Client(), wire.LinkURL, connect.WithInterceptors(wire.Errors()))
	for {
		_, err := server.Heartbeat(ctx, connect.NewRequest(&keepwardv1.HeartbeatRequest{
			Info: &keepwardv1.NodeInfo{Version: "1", Os: "linux", Arch: "amd64", Hostname: "h", Zone: "UTC"}, Clock: timestamppb.Now(), Boot: "b",
		}))
		if err != nil {
			return
		}
		if a.online != nil {
			a.online()
			a.online = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-link.Done():
			return
		case <-time.After(job.DefaultHeartbeat):
		}
	}
}

// resident is how much memory of a process is not elsewhere.
func resident(b *testing.B, pid int) int64 {
	b.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "statm"))
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// processor is the time that a process has worked; Linux counts it in hundredths of a second.
func processor(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	var ticks int64
	for _, f := range fields[11:13] { // user and system
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
