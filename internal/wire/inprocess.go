package wire

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// InProcess hands requests to a handler, as if they had come in by its port; prepare puts in who they come
// from. The context of a request is the one that the handler gets. The body of the answer is read while it
// is written, so streams stream. Who has read enough closes it; the handler has ended then. It is safe for
// concurrent use.
func InProcess(h http.Handler, prepare func(*http.Request)) http.RoundTripper {
	return &inProcess{h, prepare}
}

type inProcess struct {
	handler http.Handler
	prepare func(*http.Request)
}

func (p *inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	in := req.Clone(ctx) // what was given belongs to who gave it
	in.RequestURI = req.URL.RequestURI()
	p.prepare(in)
	if in.Body == nil {
		in.Body = http.NoBody
	}
	r, w := io.Pipe()
	a := &inAnswer{header: http.Header{}, began: make(chan struct{}), body: w}
	b := &inAnswerBody{PipeReader: r, cancel: cancel}
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
	p.handler.ServeHTTP(w, r)
	return nil
}

// inAnswer takes what a handler writes.
type inAnswer struct {
	header http.Header
	body   *io.PipeWriter
	once   sync.Once
	began  chan struct{} // closed when status and sent are set
	status int
	sent   http.Header // header, as it was when the answer began
}

func (a *inAnswer) Header() http.Header { return a.header }

func (a *inAnswer) WriteHeader(status int) {
	a.once.Do(func() {
		a.status, a.sent = status, a.header.Clone()
		close(a.began)
	})
}

func (a *inAnswer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// Flush does what is left to do: what was written has been read already.
func (a *inAnswer) Flush() { a.WriteHeader(http.StatusOK) }

func (a *inAnswer) end(err error) {
	status := http.StatusOK
	if err != nil {
		status = http.StatusInternalServerError
	}
	a.WriteHeader(status)
	_ = a.body.CloseWithError(err) // it returns no error; without one the body just ends
}

// inAnswerBody is the body of an answer, and owns the goroutine that writes it.
type inAnswerBody struct {
	*io.PipeReader
	cancel  context.CancelFunc
	handler sync.WaitGroup
}

func (b *inAnswerBody) Close() error {
	b.cancel()
	err := b.PipeReader.Close()
	b.handler.Wait()
	return err
}
