package wire

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"keepward/internal/errs"
)

// A peer may have several addresses, of which some lead nowhere.
const (
	// nextAddress is how long one address is ahead of the next. One that answers at all answers
	// within it on most networks, so that the first that works is taken.
	nextAddress = 300 * time.Millisecond
	// tcpTimeout bounds a try of one address: a packet filter that drops says nothing.
	tcpTimeout = 10 * time.Second
)

// dialAny connects to the first of several addresses where try succeeds, in their order: that
// somebody answers at one does not mean that it is the peer. try closes what it does not keep. The
// error tells of each.
func dialAny(ctx context.Context, addresses []string, try func(net.Conn) error) error {
	rest := slices.Clone(addresses)
	var wrong error
	for {
		raw, at, err := firstOf(ctx, rest)
		if err == nil {
			err = try(raw)
		}
		if err == nil {
			return nil
		}
		if wrong == nil || errs.KindOf(err) == errs.Denied {
			wrong = err
		}
		if raw == nil || len(rest) == 1 || ctx.Err() != nil {
			return wrong
		}
		rest = slices.Delete(rest, at, at+1)
	}
}

// firstOf connects to the first of several addresses that answers.
func firstOf(ctx context.Context, addresses []string) (net.Conn, int, error) {
	if len(addresses) == 0 {
		return nil, 0, errs.New(errs.Unavailable, "peer.no-address", "connect: no address is known")
	}
	var own sync.WaitGroup
	defer own.Wait()
	ctx, cancel := context.WithTimeout(ctx, tcpTimeout)
	defer cancel()
	type result struct {
		at   int
		conn net.Conn
		err  error
	}
	results := make(chan result, len(addresses)) // room for all: nobody reads those that come late
	started, failed := 0, make([]error, len(addresses))
	next := time.NewTimer(0)
	defer next.Stop()
	start := func() {
		if started == len(addresses) {
			return
		}
		at := started
		started++
		own.Go(func() {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", addresses[at])
			results <- result{at, conn, err}
		})
		next.Reset(nextAddress)
	}
	for range addresses {
		var r result
		for r.conn == nil && r.err == nil {
			select {
			case <-next.C:
				start()
			case r = <-results:
			}
		}
		if r.err == nil {
			cancel()
			own.Wait()
			close(results)
			for late := range results {
				if late.conn != nil {
					_ = late.conn.Close()
				}
			}
			return r.conn, r.at, nil
		}
		failed[r.at] = r.err
		start()
	}
	return nil, 0, oneLine(failed)
}

// oneLine joins errors into a sentence.
func oneLine(list []error) error {
	if len(list) == 1 {
		return list[0]
	}
	texts := make([]string, 0, len(list))
	for _, err := range list {
		texts = append(texts, err.Error())
	}
	return &severally{strings.Join(texts, "; "), list}
}

// severally is what came of several tries.
type severally struct {
	text string
	all  []error
}

func (e *severally) Error() string   { return e.text }
func (e *severally) Unwrap() []error { return e.all }

// Preferred sorts addresses, those first that are in one of the networks, in the order of the
// networks. Names are not looked up: they keep their place among the rest.
func Preferred(addresses []string, networks []netip.Prefix) []string {
	place := func(address string) int {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			host = address
		}
		ip, err := netip.ParseAddr(host)
		if err != nil {
			return len(networks)
		}
		if at := slices.IndexFunc(networks, func(n netip.Prefix) bool { return n.Contains(ip.Unmap().WithZone("")) }); at >= 0 {
			return at
		}
		return len(networks)
	}
	out := slices.Clone(addresses)
	slices.SortStableFunc(out, func(a, b string) int { return place(a) - place(b) })
	return out
}

// CheckAddress refuses what is not HOST:PORT.
func CheckAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err == nil && (host == "" || port == "" || port == "0" || strings.ContainsAny(host, " /\t\n")) {
		err = errors.New("host or port is missing")
	}
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return errs.New(errs.Invalid, "connection.address", "check address %q: %w", address, err).
			WithHint("write it as HOST:PORT, and an IPv6 address as [ADDRESS]:PORT")
	}
	return nil
}
