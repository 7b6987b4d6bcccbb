package server

import (
	"net/http"
	"time"

	"connectrpc.com/connect"

	"keepward/internal/wire"
)

const (
	// openMessageMost bounds a message that anybody may send: a login, a join.
	openMessageMost = 64 << 10
	// openTimeout bounds how long anybody may take to send it.
	openTimeout = 30 * time.Second
)

// door asks who calls before anything of the message is read: what a stranger sends must cost
// neither memory nor time.
func (g *guard) door(next http.Handler) http.Handler {
	answer := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, err := g.admit(r.Context(), r.URL.Path, r.RemoteAddr, r.Header.Get("Authorization"))
		if err != nil {
			_ = answer.Write(w, r, wire.ToConnect(err)) // who does not listen need not know
			return
		}
		if accessTo(r.URL.Path) == open {
			// Where it cannot be set, the bound of the message's length has to do.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(openTimeout))
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
