package wire

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"keepward/internal/errs"
)

// checkPeer lets a connection on a unix socket pass if the process at its other end is
// root's or of the same user as this one.
func checkPeer(conn net.Conn) (string, error) {
	uc, ok := conn.(*net.UnixConn)
	if !ok {
		return "", errs.New(errs.Internal, "", "check peer: not a unix socket")
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return "", errs.New(errs.Unavailable, "connection.lost", "check peer: %w", err)
	}
	var cred *unix.Ucred
	var cerr error
	err = raw.Control(func(fd uintptr) { cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err == nil {
		err = cerr
	}
	if err != nil {
		return "", errs.New(errs.Unavailable, "connection.lost", "check peer: %w", err)
	}
	who := fmt.Sprintf("local process %d of user %d", cred.Pid, cred.Uid)
	if cred.Uid != 0 && int(cred.Uid) != os.Geteuid() {
		return who, errs.New(errs.Denied, "connection.user", "check peer: %s is neither root nor of user %d", who, os.Geteuid())
	}
	return who, nil
}
