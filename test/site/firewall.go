package site

import (
	"fmt"
	"os/exec"
	"strings"
)

// Way is who may begin connections to whom.
type Way struct{ From, To string }

// DialsOnly has the router let nobody begin a TCP connection but these. Connections that stand go
// on. It takes nft.
func (n *Network) DialsOnly(ways ...Way) error {
	var rules strings.Builder
	for _, w := range ways {
		fmt.Fprintf(&rules, "ip saddr %s.0/24 ip daddr %s.0/24 accept\n", n.net(w.From), n.net(w.To))
		fmt.Fprintf(&rules, "ip6 saddr %s/64 ip6 daddr %s/64 accept\n", n.net6(w.From), n.net6(w.To))
	}
	return n.nft(fmt.Sprintf(`table inet dials
delete table inet dials
table inet dials {
	chain forward {
		type filter hook forward priority 0;
		tcp flags & (syn|ack) != syn accept
		meta l4proto != tcp accept
		%s
		drop
	}
}`, rules.String()))
}

// Break ends the connections of a computer: whatever it sends, or is sent, is answered with a
// reset, until the returned function is called.
func (n *Network) Break(host string) (func() error, error) {
	err := n.nft(fmt.Sprintf(`table inet resets {
	chain forward {
		type filter hook forward priority -10;
		ip saddr %[1]s.0/24 meta l4proto tcp reject with tcp reset
		ip daddr %[1]s.0/24 meta l4proto tcp reject with tcp reset
	}
}`, n.net(host)))
	return func() error { return n.nft("delete table inet resets") }, err
}

// Move gives a computer another address in the place of its own.
func (n *Network) Move(host, last string) error {
	ns, net := n.space(host), n.net(host)
	for _, args := range [][]string{
		{"-n", ns, "addr", "del", net + ".2/24", "dev", "eth0"},
		{"-n", ns, "addr", "add", net + "." + last + "/24", "dev", "eth0"},
		{"-n", ns, "route", "replace", "default", "via", net + ".1"},
	} {
		if err := ip(args...); err != nil {
			return err
		}
	}
	return nil
}

func (n *Network) nft(script string) error {
	cmd := exec.Command("ip", "netns", "exec", n.router, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w\n%s\n%s", err, out, script)
	}
	return nil
}

// Pair starts an agent that waits at a port, and has the server pair with it at an address; empty:
// the one that it has. args follow 'computer add'.
func (s *Site) Pair(name, address string, args ...string) (*Proc, error) {
	p, err := s.Waiting(name)
	if err != nil {
		return p, err
	}
	if address == "" {
		address = s.network.Address(name) + ":7482"
	}
	add := append([]string{"computer", "add", name, "--control", "server", "--address", address, "--code-file", p.DataDir + "/pairing-code"}, args...)
	if _, err := s.Do(add...); err != nil {
		return p, err
	}
	return p, s.WaitOnline(p)
}

// Waiting starts an agent that waits to be paired, on a computer of its own.
func (s *Site) Waiting(name string) (*Proc, error) {
	if err := s.AddHost(name); err != nil {
		return nil, err
	}
	p := s.proc(name, "agent", "--listen", ":7482")
	return p, p.Start()
}

// AddHost joins a computer to the network.
func (s *Site) AddHost(name string) error { return s.network.Add(name) }
