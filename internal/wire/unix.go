package wire

import (
	"context"
	"net"

	"keepward/internal/errs"
)

// DialUnix connects to a unix socket, also one whose path is longer than an address may be.
func DialUnix(ctx context.Context, path string) (net.Conn, error) {
	short, done, err := shortSocket(path)
	if err != nil {
		return nil, err
	}
	defer done()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", short)
	if err != nil {
		return nil, errs.New(errs.Unavailable, "socket.dial", "connect to %s: %w", path, err)
	}
	return conn, nil
}

// ListenUnix listens on a unix socket, also one whose path is longer than an address may be.
// The caller removes the file.
func ListenUnix(path string) (net.Listener, error) {
	short, done, err := shortSocket(path)
	if err != nil {
		return nil, err
	}
	defer done()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, errs.New(errs.KindOf(err), "socket.listen", "listen on %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false) // the name it was bound by may be gone by then
	return l, nil
}
