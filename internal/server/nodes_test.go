package server

import (
	"crypto/tls"
	"database/sql"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/pki"
	"keepward/internal/wire"
)

func (s *testServer) computer(name string) *keepwardv1.Computer {
	s.t.Helper()
	return must(s.computers().GetComputer(s.t.Context(), connect.NewRequest(&keepwardv1.GetComputerRequest{Name: name})))(s.t).Computer
}

func codes(list []*keepwardv1.Condition) string {
	var out []string
	for _, c := range list {
		out = append(out, c.Code+" "+c.Subject)
	}
	return strings.Join(out, ", ")
}

func TestComputerIsOnlineFromItsFirstHeartbeatToTheEndOfItsLink(t *testing.T) {
	s := start(t, t.TempDir())
	creds, err := s.enrol(s.joinToken(wire.RoleAgent, "web1"), wire.RoleAgent, "web1")
	if err != nil {
		t.Fatal(err)
	}
	if got := s.computer("web1").Status; got != statusNever {
		t.Errorf("before its first link: %s", got)
	}
	n, err := s.connect(creds, http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	if err := n.heartbeat(time.Now()); err != nil {
		t.Fatal(err)
	}
	c := s.computer("web1")
	if c.Status != statusOnline || c.Os != "linux" || c.AgentVersion != "1" || len(c.Conditions) != 0 {
		t.Errorf("with its link: %v", c)
	}
	_ = n.link.Close()
	waitFor(t, func() bool { return s.computer("web1").Status == statusOffline })
	if c = s.computer("web1"); codes(c.Conditions) != "agent.offline web1" || c.LastSeen == nil {
		t.Errorf("after its link: %v", c)
	}
}

// waitFor asks until the server has seen what happened at its other end.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatal("it did not come to pass")
		}
	}
}

func TestClockSkewIsACondition(t *testing.T) {
	s := start(t, t.TempDir())
	n, _ := s.join(wire.RoleAgent, "web1", http.NotFoundHandler())
	for _, tt := range []struct {
		skew time.Duration
		want string
	}{
		{-3 * time.Hour, "agent.clock-skew web1"}, {2 * time.Minute, "agent.clock-skew web1"}, {30 * time.Second, ""},
	} {
		if err := n.heartbeat(time.Now().Add(tt.skew)); err != nil {
			t.Fatal(err)
		}
		c := s.computer("web1")
		if got := codes(c.Conditions); got != tt.want {
			t.Errorf("%s: %q", tt.skew, got)
		}
		if d := c.Skew.AsDuration() - tt.skew; d.Abs() > 5*time.Second {
			t.Errorf("%s is shown as %s", tt.skew, c.Skew.AsDuration())
		}
		if got := codes(s.status().Conditions); got != tt.want {
			t.Errorf("status with %s: %q", tt.skew, got)
		}
	}
}

func TestRemovedComputerIsOutAtOnce(t *testing.T) {
	s := start(t, t.TempDir())
	n, creds := s.join(wire.RoleAgent, "web1", http.NotFoundHandler())
	pending := s.joinToken(wire.RoleAgent, "web1")
	must(s.computers().RemoveComputer(t.Context(), connect.NewRequest(&keepwardv1.RemoveComputerRequest{Name: "web1"})))(t)
	n.gone()
	s.refused(creds, "a removed computer")
	s.toldWhy(creds, "certificate.revoked")
	if _, err := s.enrol(pending, wire.RoleAgent, "web1"); errs.KindOf(err) != errs.Denied {
		t.Errorf("a token made before: %v", err)
	}
	_, err := s.computers().GetComputer(t.Context(), connect.NewRequest(&keepwardv1.GetComputerRequest{Name: "web1"}))
	if errs.KindOf(err) != errs.NotFound {
		t.Errorf("got %v", err)
	}
}

// refused makes sure that credentials get no link, and that the log says why.
func (s *testServer) refused(creds wire.Credentials, what string) {
	s.t.Helper()
	before := strings.Count(s.log.String(), "refused")
	n, err := s.connect(creds, http.NotFoundHandler())
	if err == nil {
		if err := n.heartbeat(time.Now()); err == nil {
			s.t.Errorf("%s: a heartbeat was answered", what)
		}
		_ = n.link.Close()
	}
	waitFor(s.t, func() bool {
		return strings.Count(s.log.String(), "refused")+strings.Count(s.log.String(), "TLS handshake error") > before
	})
	if log := s.log.String(); !strings.Contains(log, "peer=127.0.0.1:") && !strings.Contains(log, "from 127.0.0.1:") {
		s.t.Errorf("%s: the log does not tell who was refused:\n%s", what, log)
	}
}

// toldWhy makes sure that a node that is refused hears the reason, and what to do about it.
func (s *testServer) toldWhy(creds wire.Credentials, code string) {
	s.t.Helper()
	n, err := s.connect(creds, http.NotFoundHandler())
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = n.link.Close() }()
	if err := n.heartbeat(time.Now()); errs.CodeOf(err) != code || errs.HintOf(err) == "" {
		s.t.Errorf("the node was told %v (%s)", err, errs.HintOf(err))
	}
}

func TestJoiningAgainShutsOutTheOldCertificate(t *testing.T) {
	s := start(t, t.TempDir())
	n, old := s.join(wire.RoleAgent, "web1", http.NotFoundHandler())
	s.join(wire.RoleAgent, "web1", http.NotFoundHandler())
	n.gone()
	s.refused(old, "a replaced certificate")
	s.toldWhy(old, "certificate.revoked")
	if got := s.computer("web1").Status; got != statusOnline {
		t.Errorf("the new one is %s", got)
	}
}

func TestCertificatesThatAreNotOursGetNoLink(t *testing.T) {
	s := start(t, t.TempDir())
	other, err := pki.Open(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	own, err := pki.Open(s.dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	issue := func(a *pki.Authority, role wire.Role) wire.Credentials {
		key, err := pki.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		cert, err := a.Issue(role, "web1", key.Public(), pki.Names{}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return wire.Credentials{Certificate: tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}, CA: s.ca}
	}
	s.refused(issue(other, wire.RoleAgent), "of another authority")
	s.refused(issue(own, wire.RoleAgent), "not in the catalog")
	s.refused(issue(own, wire.RoleServer), "of another role")
	s.refused(wire.Credentials{Certificate: tls.Certificate{Certificate: [][]byte{s.ca.Raw}}, CA: s.ca}, "without its key")
}

func TestNodesCannotCallTheAPIOverTheirLink(t *testing.T) {
	s := start(t, t.TempDir())
	n, _ := s.join(wire.RoleAgent, "web1", http.NotFoundHandler())
	api := keepwardv1connect.NewAccessServiceClient(n.link.Client(), wire.LinkURL, as(s.token))
	if _, err := api.ListTokens(t.Context(), connect.NewRequest(&keepwardv1.ListTokensRequest{})); err == nil {
		t.Error("the API answered over a link")
	}
	node := keepwardv1connect.NewNodeServiceClient(s.client, s.url(), as(s.token))
	if _, err := node.Heartbeat(t.Context(), connect.NewRequest(&keepwardv1.HeartbeatRequest{})); err == nil {
		t.Error("a client was taken for a node")
	}
}

func TestNewerLinkReplacesTheOlder(t *testing.T) {
	s := start(t, t.TempDir())
	first, creds := s.join(wire.RoleAgent, "web1", http.NotFoundHandler())
	second, err := s.connect(creds, http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	if err := second.heartbeat(time.Now()); err != nil {
		t.Fatal(err)
	}
	first.gone()
	if got := s.computer("web1").Status; got != statusOnline {
		t.Errorf("it is %s", got)
	}
}

// A full disk of the server must not look like hosts that are down, nor make them so.
func TestANodeIsOnlineThoughNothingCanBeWrittenOfIt(t *testing.T) {
	s := start(t, t.TempDir())
	creds, err := s.enrol(s.joinToken(wire.RoleAgent, "web1"), wire.RoleAgent, "web1")
	if err != nil {
		t.Fatal(err)
	}
	db, err := catalog.Open(t.Context(), filepath.Join(s.dir, catalogFile))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	err = db.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), `CREATE TRIGGER full BEFORE UPDATE ON computers BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	n, err := s.connect(creds, http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	if err := n.heartbeat(time.Now()); err != nil {
		t.Errorf("its heartbeat is answered with %v", err)
	}
	if got := s.computer("web1").Status; got != statusOnline {
		t.Errorf("it is %s", got)
	}
}
