package transport

import (
	"context"
	"net"
	"strings"

	"keepward/internal/mover"
	"keepward/internal/wire"
)

// dataHosts are where agents reach this host's movers, those to try first first: what it was told,
// else the address from which the server is dialled. There is one at least.
func (s *Service) dataHosts() []string {
	var hosts []string
	for _, h := range strings.Split(s.cfg.Advertise, ",") {
		if h = strings.TrimSpace(h); h != "" {
			hosts = append(hosts, h)
		}
	}
	if len(hosts) > 0 {
		return hosts
	}
	host, _, _, err := mover.ParseListen(s.cfg.Listen)
	if ip := net.ParseIP(host); err == nil && host != "" && (ip == nil || !ip.IsUnspecified()) {
		return []string{host}
	}
	host = s.node.LocalAddress()
	// A transport on the server's own host dials it by the loopback, where nobody else
	// would find its movers.
	if ip := net.ParseIP(host); ip == nil || ip.IsLoopback() {
		if own := ownAddress(); own != "" {
			host = own
		}
	}
	return []string{host}
}

// dataAddresses are host and port of a mover.
func (s *Service) dataAddresses(port string) []string {
	var out []string
	for _, h := range s.dataHosts() {
		out = append(out, net.JoinHostPort(h, port))
	}
	return out
}

// ownAddress is the first address of this host that others may know; empty: none.
func ownAddress() string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	return ""
}

// probe opens a port as a mover would, until ctx is done.
func (s *Service) probe(ctx context.Context, agent string, opened func([]string) error) error {
	l, err := mover.Listen(s.cfg.Listen)
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err == nil {
		err = opened(s.dataAddresses(port))
	}
	if err != nil {
		_ = l.Close()
		return err
	}
	wire.AcceptProbes(ctx, l, s.node.Credentials(), agent)
	return nil
}
