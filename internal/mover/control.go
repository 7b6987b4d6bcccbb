package mover

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

// statusEvery is how often progress is told.
const statusEvery = 500 * time.Millisecond

// control serves the transport on the mover's unix socket. Whoever can open the socket is
// the transport: its directory is only its own.
type control struct {
	t      *task
	l      net.Listener
	server *http.Server
	once   sync.Once
	done   chan struct{} // closed when the task is over
	// Browsing, for the end of an idle mover.
	active atomic.Int64
	used   atomic.Int64 // time of the last call, UnixNano

	findOnce sync.Once
	finder   *finder // made by the first search
}

func newControl(t *task) (*control, error) {
	l, err := wire.ListenUnix(filepath.Join(t.order.GetDirectory(), SocketName))
	if err != nil {
		return nil, err
	}
	c := &control{t: t, l: l, done: make(chan struct{})}
	c.used.Store(time.Now().UnixNano())
	mux := http.NewServeMux()
	mux.Handle(keepwardv1connect.NewMoverServiceHandler(c, connect.WithInterceptors(wire.Errors())))
	mux.Handle(keepwardv1connect.NewMoverTrafficServiceHandler(c, connect.WithInterceptors(wire.Errors())))
	c.server = &http.Server{Handler: mux, ReadHeaderTimeout: 30 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	return c, nil
}

func (c *control) serve() { _ = c.server.Serve(c.l) }

// close lets the streams of Status say their last before the server ends.
func (c *control) close() {
	c.once.Do(func() {
		close(c.done)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := c.server.Shutdown(ctx); err != nil {
			_ = c.server.Close()
		}
		_ = c.l.Close()
	})
}

// Client makes calls to the mover in directory.
func Client(directory string) keepwardv1connect.MoverServiceClient {
	return keepwardv1connect.NewMoverServiceClient(socketClient(directory), "http://mover", connect.WithInterceptors(wire.Errors()))
}

func socketClient(directory string) *http.Client {
	path := filepath.Join(directory, SocketName)
	return &http.Client{Transport: &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return wire.DialUnix(ctx, path) },
		DisableKeepAlives: true, // calls are few and movers many
	}}
}

// Status tells progress and events until the task is over.
func (c *control) Status(ctx context.Context, req *connect.Request[keepwardv1.MoverStatusRequest], stream *connect.ServerStream[keepwardv1.MoverStatusResponse]) error {
	seq := req.Msg.GetAfterEvent()
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	for over := false; !over; {
		list, changed := c.t.events.after(seq)
		seq += int64(len(list))
		if err := stream.Send(&keepwardv1.MoverStatusResponse{Progress: c.t.progress(), Events: list}); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.done:
			over = true
		case <-changed:
		case <-tick.C:
		}
	}
	list, _ := c.t.events.after(seq)
	c.t.mu.Lock()
	end := c.t.end
	c.t.mu.Unlock()
	return stream.Send(&keepwardv1.MoverStatusResponse{Progress: c.t.progress(), Events: list, End: end})
}

// Secret answers the task key.
func (c *control) Secret(context.Context, *connect.Request[keepwardv1.MoverSecretRequest]) (*connect.Response[keepwardv1.MoverSecretResponse], error) {
	return connect.NewResponse(&keepwardv1.MoverSecretResponse{TaskKey: c.t.order.GetTaskKey()}), nil
}

// Stop asks the task to end.
func (c *control) Stop(_ context.Context, req *connect.Request[keepwardv1.MoverStopRequest]) (*connect.Response[keepwardv1.MoverStopResponse], error) {
	reason := req.Msg.GetReason()
	if reason == "" {
		reason = "no reason given"
	}
	c.t.quit(errs.New(errs.Cancelled, "mover.stopped", "the mover was told to stop: %s", reason))
	return connect.NewResponse(&keepwardv1.MoverStopResponse{}), nil
}

// browsing counts a call for the end of an idle mover, and refuses it in other modes.
func (c *control) browsing() (done func(), err error) {
	if c.t.order.GetStart().GetMode() != ModeBrowse {
		return nil, errs.New(errs.Invalid, "mover.mode", "browse: this mover does another task (%s)", c.t.order.GetStart().GetMode())
	}
	c.active.Add(1)
	return func() {
		c.used.Store(time.Now().UnixNano())
		c.active.Add(-1)
	}, nil
}

// idle tells for how long nobody has browsed.
func (c *control) idle() time.Duration {
	if c.active.Load() > 0 {
		return 0
	}
	return time.Since(time.Unix(0, c.used.Load()))
}
