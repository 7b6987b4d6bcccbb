package console

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"

	"connectrpc.com/connect"

	v1 "keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/wire"
)

// client is what the console calls of the API.
type client struct {
	access       v1.AccessServiceClient
	users        v1.UserServiceClient
	tokens       v1.APITokenServiceClient
	status       v1.StatusServiceClient
	computers    v1.ComputerServiceClient
	repositories v1.RepositoryServiceClient
	jobs         v1.JobServiceClient
	previews     v1.JobPreviewServiceClient
	protection   v1.ProtectionServiceClient
	groups       v1.GroupServiceClient
	credentials  v1.CredentialServiceClient
	queue        v1.QueueServiceClient
	codes        v1.OneTimeCodeServiceClient
	passkeys     v1.PasskeyServiceClient
	signOns      v1.SignOnServiceClient
	sessions     v1.SessionServiceClient
	details      v1.SessionDetailServiceClient
	points       v1.PointServiceClient
	content      v1.ContentServiceClient
	restores     v1.RestoreServiceClient
	connections  v1.ConnectionServiceClient
	updates      v1.UpdateServiceClient
	settings     v1.SettingsServiceClient
	traffic      v1.TrafficServiceClient
	notices      v1.NotifyServiceClient
}

func newClient(api http.Handler) *client {
	h := &http.Client{Transport: &inProcess{api}}
	const url = "http://keepward" // nobody looks at it: nothing is dialled
	opts := []connect.ClientOption{
		connect.WithInterceptors(wire.Errors()),
		connect.WithAcceptCompression("gzip", nil, nil), // it would be undone in the same process
	}
	return &client{
		access:       v1.NewAccessServiceClient(h, url, opts...),
		users:        v1.NewUserServiceClient(h, url, opts...),
		codes:        v1.NewOneTimeCodeServiceClient(h, url, opts...),
		passkeys:     v1.NewPasskeyServiceClient(h, url, opts...),
		signOns:      v1.NewSignOnServiceClient(h, url, opts...),
		tokens:       v1.NewAPITokenServiceClient(h, url, opts...),
		status:       v1.NewStatusServiceClient(h, url, opts...),
		computers:    v1.NewComputerServiceClient(h, url, opts...),
		repositories: v1.NewRepositoryServiceClient(h, url, opts...),
		jobs:         v1.NewJobServiceClient(h, url, opts...),
		previews:     v1.NewJobPreviewServiceClient(h, url, opts...),
		protection:   v1.NewProtectionServiceClient(h, url, opts...),
		groups:       v1.NewGroupServiceClient(h, url, opts...),
		credentials:  v1.NewCredentialServiceClient(h, url, opts...),
		queue:        v1.NewQueueServiceClient(h, url, opts...),
		sessions:     v1.NewSessionServiceClient(h, url, opts...),
		details:      v1.NewSessionDetailServiceClient(h, url, opts...),
		points:       v1.NewPointServiceClient(h, url, opts...),
		content:      v1.NewContentServiceClient(h, url, opts...),
		restores:     v1.NewRestoreServiceClient(h, url, opts...),
		connections:  v1.NewConnectionServiceClient(h, url, opts...),
		updates:      v1.NewUpdateServiceClient(h, url, opts...),
		settings:     v1.NewSettingsServiceClient(h, url, opts...),
		traffic:      v1.NewTrafficServiceClient(h, url, opts...),
		notices:      v1.NewNotifyServiceClient(h, url, opts...),
	}
}

// call makes one call and unwraps its answer.
func call[Req, Res any](ctx context.Context, method func(context.Context, *connect.Request[Req]) (*connect.Response[Res], error), req *Req) (*Res, error) {
	res, err := method(ctx, connect.NewRequest(req))
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

// receive reads a stream to its end, or until each returns an error, which it returns.
func receive[Req, Res any](ctx context.Context, method func(context.Context, *connect.Request[Req]) (*connect.ServerStreamForClient[Res], error), req *Req, each func(*Res) error) error {
	ctx, cancel := context.WithCancel(ctx) // else closing the stream would wait for its end
	defer cancel()
	s, err := method(ctx, connect.NewRequest(req))
	if err != nil {
		return wire.FromConnect(err)
	}
	for s.Receive() {
		if err := each(s.Msg()); err != nil {
			cancel()
			_ = s.Close() // what went wrong is known
			return err
		}
	}
	if err := s.Err(); err != nil {
		_ = s.Close()
		return wire.FromConnect(err)
	}
	return s.Close()
}

// caller is for whom a call is made.
type caller struct {
	token   string
	address string // of the browser
}

type callerKey struct{}

func as(ctx context.Context, c caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// inProcess hands requests to a handler, as if they had come in by its port from the caller that
// their context names. The body of the answer is read while it is written, so streams stream.
// Who has read enough closes it; the handler has ended then.
type inProcess struct{ api http.Handler }

func (p *inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	in := req.Clone(ctx) // what was given belongs to who gave it
	who, _ := ctx.Value(callerKey{}).(caller)
	in.RemoteAddr, in.RequestURI = who.address, req.URL.RequestURI()
	if who.token != "" {
		in.Header.Set("Authorization", "Bearer "+who.token)
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	r, w := io.Pipe()
	a := &answer{header: http.Header{}, began: make(chan struct{}), body: w}
	b := &answerBody{PipeReader: r, cancel: cancel}
	b.handler.Go(func() {
		defer func() { _ = in.Body.Close() }()
		a.end(p.serve(a, in))
	})
	select {
	case <-a.began:
	case <-ctx.Done():
		_ = b.Close()
		return nil, ctx.Err()
	}
	return &http.Response{
		Status: http.StatusText(a.status), StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.sent, Body: b, ContentLength: -1, Request: req,
	}, nil
}

// serve turns a panic into an error: here is no server that would keep it from ending the process.
func (p *inProcess) serve(w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("call %s: panic: %v", r.URL.Path, v)
		}
	}()
	p.api.ServeHTTP(w, r)
	return nil
}

// answer takes what a handler writes.
type answer struct {
	header http.Header
	body   *io.PipeWriter
	once   sync.Once
	began  chan struct{} // closed when status and sent are set
	status int
	sent   http.Header // header, as it was when the answer began
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	a.once.Do(func() {
		a.status, a.sent = status, a.header.Clone()
		close(a.began)
	})
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// Flush does what is left to do: what was written has been read already.
func (a *answer) Flush() { a.WriteHeader(http.StatusOK) }

func (a *answer) end(err error) {
	status := http.StatusOK
	if err != nil {
		status = http.StatusInternalServerError
	}
	a.WriteHeader(status)
	_ = a.body.CloseWithError(err) // it returns no error; without one the body just ends
}

// answerBody is the body of an answer, and owns the goroutine that writes it.
type answerBody struct {
	*io.PipeReader
	cancel  context.CancelFunc
	handler sync.WaitGroup
}

func (b *answerBody) Close() error {
	b.cancel()
	err := b.PipeReader.Close()
	b.handler.Wait()
	return err
}
