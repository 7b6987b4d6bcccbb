package console

import (
	"bytes"
	"context"
	"fmt"
	"net/http"

	"github.com/a-h/templ"
)

// events is an answer that goes on: server-sent events, whose data is HTML.
type events struct {
	w    http.ResponseWriter
	last []byte
}

// begin begins the answer. Errors that come later can only end it; the browser comes again then.
func begin(w http.ResponseWriter) (*events, error) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	// Else nothing reaches the browser before there is something to say.
	if err := http.NewResponseController(w).Flush(); err != nil {
		return nil, fmt.Errorf("begin a stream of events: %w", err)
	}
	return &events{w: w}, nil
}

// send sends HTML, with an id that the browser says when it comes again; what was sent last is
// not sent again.
func (e *events) send(ctx context.Context, id string, c templ.Component) error {
	var html bytes.Buffer
	if err := c.Render(ctx, &html); err != nil {
		return err
	}
	if bytes.Equal(html.Bytes(), e.last) {
		return nil
	}
	e.last = html.Bytes()
	var out bytes.Buffer
	if id != "" {
		fmt.Fprintf(&out, "id: %s\n", id)
	}
	// Any of the three ends a line of the stream, so none may be left in the data.
	text := bytes.ReplaceAll(bytes.ReplaceAll(html.Bytes(), []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
	for line := range bytes.Lines(text) {
		fmt.Fprintf(&out, "data: %s\n", bytes.TrimSuffix(line, []byte("\n")))
	}
	out.WriteByte('\n')
	return e.write(out.Bytes())
}

// done tells the browser not to come again.
func (e *events) done() error { return e.write([]byte("event: done\ndata: done\n\n")) }

func (e *events) write(p []byte) error {
	if _, err := e.w.Write(p); err != nil {
		return err
	}
	return http.NewResponseController(e.w).Flush()
}
