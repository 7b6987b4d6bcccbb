package mover

import (
	"net"
	"strconv"
	"strings"

	"keepward/internal/errs"
)

// ParseListen reads host:port or host:first-last; an empty text is any port on all
// addresses. Either part may be left out.
func ParseListen(text string) (host string, first, last int, err error) {
	if text == "" {
		return "", 0, 0, nil
	}
	bad := func() (string, int, int, error) {
		return "", 0, 0, errs.New(errs.Invalid, "transport.listen", "listen on %q: it has not the form HOST:PORT or HOST:FIRST-LAST", text)
	}
	host, ports, serr := net.SplitHostPort(text)
	if serr != nil {
		host, ports = text, "" // an address alone
		if strings.ContainsAny(host, "[]") || strings.Count(host, ":") == 1 {
			return bad()
		}
	}
	if ports == "" {
		return host, 0, 0, nil
	}
	from, to, ranged := strings.Cut(ports, "-")
	first, err = strconv.Atoi(from)
	last = first
	if err == nil && ranged {
		last, err = strconv.Atoi(to)
	}
	if err != nil || first < 0 || last < first || last > 65535 {
		return bad()
	}
	return host, first, last, nil
}

// Listen listens on the first free port.
func Listen(text string) (net.Listener, error) {
	host, first, last, err := ParseListen(text)
	if err != nil {
		return nil, err
	}
	for port := first; ; port++ {
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err == nil {
			return l, nil
		}
		if port >= last {
			return nil, errs.New(errs.Busy, "mover.ports", "listen for the agent on %s: %w", text, err).
				WithHint("give the transport service a wider range of ports with --listen, or lower the streams of its repositories")
		}
	}
}
