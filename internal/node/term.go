package node

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"keepward/internal/durable"
	"keepward/internal/errs"
)

func (n *Node) termPath() string { return filepath.Join(n.cfg.DataDir, "term") }

func (n *Node) loadTerm() error {
	b, err := os.ReadFile(n.termPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return errs.New(errs.KindOf(err), "datadir.term", "read the server's term: %w", err)
	}
	n.term, err = strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return errs.New(errs.Corrupt, "datadir.term", "read the server's term in %s: %w", n.termPath(), err)
	}
	return nil
}

// forgetTerm drops the term of a former server: another authority counts from its own beginning.
func (n *Node) forgetTerm(ca []byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if bytes.Equal(n.creds.CA.Raw, ca) {
		return nil
	}
	if err := os.Remove(n.termPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errs.New(errs.KindOf(err), "datadir.term", "forget the former server's term: %w", err)
	}
	n.term = 0
	return nil
}

// CheckTerm refuses an order of a lower term than the highest seen: it comes from a server
// that was replaced. A higher one is made durable before the order counts.
func (n *Node) CheckTerm(term uint64) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case term < n.term:
		return errs.New(errs.Denied, "order.term", "order of term %d: term %d was already seen", term, n.term).
			WithHint("a newer server took over; this one must not give orders any more")
	case term == n.term:
		return nil
	}
	if err := durable.WriteFile(n.termPath(), []byte(strconv.FormatUint(term, 10)+"\n"), 0o600); err != nil {
		return errs.New(errs.KindOf(err), "datadir.term", "keep the server's term: %w", err)
	}
	n.term = term
	return nil
}
