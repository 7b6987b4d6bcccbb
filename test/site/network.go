package site

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// Network is a router with computers around it, each a network namespace of its own: what one
// sends to another can be lost on the way, or slowed down. It takes root. A Network belongs to
// one goroutine.
type Network struct {
	router string
	hosts  []string
	cuts   [][]string // rules of the router
}

// networks tells those of one process apart.
var networks atomic.Int64

// NewNetwork makes a router. Close it behind the last process on it.
func NewNetwork() (*Network, error) {
	n := &Network{router: fmt.Sprintf("kw%d-%d", os.Getpid(), networks.Add(1))}
	err := ip("netns", "add", n.router)
	if err == nil {
		err = command("ip", "netns", "exec", n.router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
	}
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// Add joins a computer; one that is there stays.
func (n *Network) Add(host string) error {
	if slices.Contains(n.hosts, host) {
		return nil
	}
	ns := n.space(host)
	if err := ip("netns", "add", ns); err != nil {
		return err
	}
	n.hosts = append(n.hosts, host)
	port, net := fmt.Sprintf("p%d", len(n.hosts)), n.net(host)
	for _, args := range [][]string{
		{"-n", ns, "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", n.router},
		{"-n", ns, "addr", "add", net + ".2/24", "dev", "eth0"},
		{"-n", ns, "link", "set", "lo", "up"},
		{"-n", ns, "link", "set", "eth0", "up"},
		{"-n", n.router, "addr", "add", net + ".1/24", "dev", port},
		{"-n", n.router, "link", "set", port, "up"},
		{"-n", ns, "route", "add", "default", "via", net + ".1"},
		{"-n", ns, "addr", "add", n.net6(host) + "2/64", "dev", "eth0", "nodad"},
		{"-n", n.router, "addr", "add", n.net6(host) + "1/64", "dev", port, "nodad"},
		{"-n", ns, "route", "add", "default", "via", n.net6(host) + "1"},
	} {
		if err := ip(args...); err != nil {
			return err
		}
	}
	return nil
}

func (n *Network) space(host string) string { return n.router + "-" + host }

func (n *Network) net(host string) string {
	return fmt.Sprintf("10.77.%d", 1+slices.Index(n.hosts, host))
}

func (n *Network) net6(host string) string {
	return fmt.Sprintf("fd77:%d::", 1+slices.Index(n.hosts, host))
}

// Address6 is where the others reach a computer by IPv6.
func (n *Network) Address6(host string) string { return n.net6(host) + "2" }

// Address is where the others reach a computer.
func (n *Network) Address(host string) string { return n.net(host) + ".2" }

// on is what goes before a command that runs on a computer. It sees none of the hidden
// directories: a unix socket in one would lead around the network.
func (n *Network) on(host string, hidden ...string) []string {
	const script = `for d in $0; do mount -t tmpfs none "$d" || exit; done; exec "$@"`
	return []string{"ip", "netns", "exec", n.space(host), "sh", "-c", script, strings.Join(hidden, " ")}
}

// Slow bounds what a computer sends, in Mbit a second; 0: it is as fast as it can again.
func (n *Network) Slow(host string, mbit int) error {
	tc := []string{"netns", "exec", n.space(host), "tc", "qdisc"}
	if mbit == 0 {
		return ip(append(tc, "del", "dev", "eth0", "root")...)
	}
	return ip(append(tc, "replace", "dev", "eth0", "root", "tbf", "rate", fmt.Sprintf("%dmbit", mbit), "burst", "256k", "latency", "400ms")...)
}

// CutOff loses all that a computer sends, and all that is sent to it, without a word to either
// side.
func (n *Network) CutOff(host string) error {
	return errors.Join(n.lose("from", n.Address(host)), n.lose("to", n.Address(host)))
}

// Part loses all that two computers send to each other.
func (n *Network) Part(a, b string) error {
	return errors.Join(n.lose("from", n.Address(a), "to", n.Address(b)), n.lose("from", n.Address(b), "to", n.Address(a)))
}

func (n *Network) lose(what ...string) error {
	rule := append(what, "blackhole")
	n.cuts = append(n.cuts, rule)
	return ip(append([]string{"-n", n.router, "rule", "add"}, rule...)...)
}

// Heal ends all cuts.
func (n *Network) Heal() error {
	var errs []error
	for _, rule := range n.cuts {
		errs = append(errs, ip(append([]string{"-n", n.router, "rule", "del"}, rule...)...))
	}
	n.cuts = nil
	return errors.Join(errs...)
}

// Close removes the computers and the router.
func (n *Network) Close() error {
	var errs []error
	for _, host := range n.hosts {
		errs = append(errs, ip("netns", "del", n.space(host)))
	}
	n.hosts = nil
	return errors.Join(append(errs, ip("netns", "del", n.router))...)
}

func ip(args ...string) error { return command("ip", args...) }

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// StartOn starts a server on a network, with these flags; what joins it gets a computer of its own.
func StartOn(bin, dir string, n *Network, args ...string) (*Site, error) {
	if err := n.Add("server"); err != nil {
		return nil, err
	}
	return start(bin, dir, "server", &Site{network: n, Addr: n.Address("server") + ":7480"}, args...)
}

// Replace joins another computer in the place of a transport, under its name.
func (s *Site) Replace(p *Proc) (*Proc, error) { return s.joinAs("transport", p.Name, p.Name+"2") }

// via is what goes before a command on the computer of a role, which does not see the sockets of
// those that joined before.
func (s *Site) via(name string) []string {
	switch {
	case s.network == nil && s.Services:
		return []string{"setsid"}
	case s.network == nil:
		return nil
	}
	var hidden []string
	for _, p := range s.procs {
		if name != "server" && p.Name != "server" {
			hidden = append(hidden, p.DataDir)
		}
	}
	return s.network.on(name, hidden...)
}

// Sent is how many bytes a computer has sent.
func (n *Network) Sent(host string) (int64, error) {
	out, err := exec.Command("ip", "netns", "exec", n.space(host), "cat", "/proc/net/dev").Output()
	if err != nil {
		return 0, fmt.Errorf("read what %s has sent: %w", host, err)
	}
	for line := range strings.Lines(string(out)) {
		name, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		if fields := strings.Fields(rest); ok && name == "eth0" && len(fields) > 8 {
			return strconv.ParseInt(fields[8], 10, 64)
		}
	}
	return 0, fmt.Errorf("read what %s has sent: it has no eth0", host)
}
