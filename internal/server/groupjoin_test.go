package server

import (
	"context"
	"crypto/ecdsa"
	"database/sql"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/pki"
	"keepward/internal/wire"
)

func (s *testServer) groupToken(group string) (token, id string) {
	s.t.Helper()
	res := must(s.access(s.token).CreateToken(s.t.Context(), connect.NewRequest(&keepwardv1.CreateTokenRequest{Role: "agent", Group: group})))(s.t)
	return res.Token, res.Info.Id
}

func TestATokenOfAGroupLetsAnyNumberOfNewComputersIn(t *testing.T) {
	s := start(t, t.TempDir())
	s.createGroup(&keepwardv1.Group{Name: "lab"})
	token, id := s.groupToken("lab")
	for _, name := range []string{"web1", "web2"} {
		creds, err := s.enrol(token, wire.RoleAgent, name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.connect(creds, http.NotFoundHandler()); err != nil {
			t.Fatal(err)
		}
	}
	if got := who(s.group("lab")); got != "web1 token, web2 token" {
		t.Errorf("members %s", got)
	}
	list := must(s.access(s.token).ListTokens(t.Context(), connect.NewRequest(&keepwardv1.ListTokensRequest{})))(t).Tokens
	if len(list) != 1 || list[0].Group != "lab" || list[0].Uses != 2 {
		t.Errorf("%v", list)
	}
	if _, err := s.enrol(token, wire.RoleTransport, "t1"); errs.KindOf(err) != errs.Denied {
		t.Errorf("a transport: %v", err)
	}
	must(s.access(s.token).RevokeToken(t.Context(), connect.NewRequest(&keepwardv1.RevokeTokenRequest{Id: id})))(t)
	if _, err := s.enrol(token, wire.RoleAgent, "web3"); errs.CodeOf(err) != "join.refused" {
		t.Errorf("after it was revoked: %v", err)
	}
	if got := who(s.group("lab")); got != "web1 token, web2 token" {
		t.Errorf("members after that %s", got)
	}
	other, _ := s.groupToken("lab")
	must(s.groupAPI().DeleteGroup(t.Context(), connect.NewRequest(&keepwardv1.DeleteGroupRequest{Name: "lab"})))(t)
	if _, err := s.enrol(other, wire.RoleAgent, "web4"); errs.CodeOf(err) != "join.refused" {
		t.Errorf("of a group that is gone: %v", err)
	}
	for _, bad := range []*keepwardv1.CreateTokenRequest{{Role: "transport", Group: "lab"}, {Role: "agent", Group: "nix"}, {Role: "agent", Name: "web1", Group: "lab"}} {
		if _, err := s.access(s.token).CreateToken(t.Context(), connect.NewRequest(bad)); err == nil {
			t.Errorf("a token for %v", bad)
		}
	}
}

// Who has the token of a group must not get the place of a computer that is there, or was.
func TestATokenOfAGroupTakesNoName(t *testing.T) {
	s := start(t, t.TempDir())
	s.createGroup(&keepwardv1.Group{Name: "lab"})
	token, _ := s.groupToken("lab")
	n, _ := s.join(wire.RoleAgent, "web1", http.NotFoundHandler())
	if _, err := s.enrol(token, wire.RoleAgent, "web1"); errs.CodeOf(err) != codeNameTaken || errs.HintOf(err) == "" {
		t.Fatalf("a second web1: %v", err)
	}
	if err := n.heartbeat(time.Now()); err != nil {
		t.Errorf("the first one is out: %v", err)
	}
	if got := codes(s.computer("web1").Conditions); got != "computer.name-taken web1" {
		t.Errorf("conditions %q", got)
	}
	must(s.computers().RemoveComputer(t.Context(), connect.NewRequest(&keepwardv1.RemoveComputerRequest{Name: "web1"})))(t)
	if _, err := s.enrol(token, wire.RoleAgent, "web1"); errs.CodeOf(err) != codeNameTaken {
		t.Errorf("one that was removed came back: %v", err)
	}
	creds, err := s.enrol(s.joinToken(wire.RoleAgent, "web1"), wire.RoleAgent, "web1")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.connect(creds, http.NotFoundHandler()); err != nil || n.heartbeat(time.Now()) != nil {
		t.Errorf("with a token of its name: %v", err)
	}
	if got := codes(s.computer("web1").Conditions); got != "" {
		t.Errorf("conditions %q", got)
	}
}

// An agent keeps its key over a failed try: where the answer was lost it asks again.
func TestTheSameKeyMayJoinAgainWithATokenOfAGroup(t *testing.T) {
	s := start(t, t.TempDir())
	s.createGroup(&keepwardv1.Group{Name: "lab"})
	token, _ := s.groupToken("lab")
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	join := func(key *ecdsa.PrivateKey) error {
		_, err := keepwardv1connect.NewEnrolServiceClient(s.client, s.url(), as("")).Join(t.Context(), connect.NewRequest(&keepwardv1.JoinRequest{
			Token: token, Csr: certificateRequest(t, key), Role: "agent", Name: "web1",
		}))
		return err
	}
	for range 2 {
		if err := join(key); err != nil {
			t.Fatal(err)
		}
	}
	other, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := join(other); errs.CodeOf(err) != codeNameTaken {
		t.Errorf("another key: %v", err)
	}
}

func (n *testNode) heartbeatOf(boot, host string) error {
	ctx, cancel := context.WithTimeout(n.t.Context(), 5*time.Second)
	defer cancel()
	_, err := n.node.Heartbeat(ctx, connect.NewRequest(&keepwardv1.HeartbeatRequest{
		Info: &keepwardv1.NodeInfo{Version: "1", Os: "linux", Hostname: host}, Clock: timestamppb.Now(), Boot: boot,
	}))
	return err
}

func TestAComputerThatWasClonedWithItsKeyIsNoticed(t *testing.T) {
	s := start(t, t.TempDir())
	creds, err := s.enrol(s.joinToken(wire.RoleAgent, "web1"), wire.RoleAgent, "web1")
	if err != nil {
		t.Fatal(err)
	}
	come := func(boot, host string) string {
		n, err := s.connect(creds, http.NotFoundHandler())
		if err != nil {
			t.Fatal(err)
		}
		if err := n.heartbeatOf(boot, host); err != nil {
			t.Fatal(err)
		}
		return codes(s.computer("web1").Conditions)
	}
	// It reconnects, is started anew, reconnects, is started anew: that is one computer.
	for _, boot := range []string{"a", "a", "b", "b", "c", "c", "d"} {
		if got := come(boot, "one"); got != "" {
			t.Fatalf("at %s: %s", boot, got)
		}
	}
	come("copy", "two")
	come("d", "one")
	if got := come("copy", "two"); got != "computer.cloned web1" {
		t.Errorf("two that take turns: %q", got)
	}
	if text := s.computer("web1").Conditions[0].Text; !strings.Contains(text, "one at 127.0.0.1") || !strings.Contains(text, "two at 127.0.0.1") {
		t.Errorf("it says %s", text)
	}
	s.join(wire.RoleAgent, "web1", http.NotFoundHandler())
	if got := codes(s.computer("web1").Conditions); got != "" {
		t.Errorf("with a new certificate: %q", got)
	}
}

func TestWhatIsSaidOfTwinsIsForgotten(t *testing.T) {
	var w twins
	now := time.Unix(1e9, 0)
	n := agentNode("web1")
	for i := range 6 {
		w.came(n, boot{id: string(rune('a' + i%2))}, now.Add(time.Duration(i)*time.Second))
	}
	if got := w.conditions("web1", now.Add(time.Minute)); len(got) != 1 {
		t.Fatalf("%v", got)
	}
	if got := w.conditions("web1", now.Add(2*twinShown)); len(got) != 0 {
		t.Errorf("long after: %v", got)
	}
	// One return a day, as of a network that delivers late, is nothing.
	for i := range 6 {
		w.came(n, boot{id: string(rune('a' + i%2))}, now.Add(time.Duration(i+1)*24*time.Hour))
		if got := w.conditions("web1", now.Add(time.Duration(i+1)*24*time.Hour)); len(got) != 0 {
			t.Errorf("once a day: %v", got)
		}
	}
	for i := range 3 * awayKept {
		w.turnedAway(strings.Repeat("x", i+1), "192.0.2.1:1", now)
	}
	if len(w.away) != awayKept {
		t.Errorf("%d names are kept", len(w.away))
	}
}

// The name of a computer is that of its certificate, whatever its system calls itself.
func TestAComputerThatIsRenamedGoesOnAsItWas(t *testing.T) {
	s := start(t, t.TempDir())
	creds, err := s.enrol(s.joinToken(wire.RoleAgent, "web1"), wire.RoleAgent, "web1")
	if err != nil {
		t.Fatal(err)
	}
	s.createGroup(&keepwardv1.Group{Name: "web", Patterns: []string{"web*"}})
	for _, host := range []string{"web1.example.com", "db7.example.com"} {
		n, err := s.connect(creds, http.NotFoundHandler())
		if err != nil {
			t.Fatal(err)
		}
		if err := n.heartbeatOf("boot of "+host, host); err != nil {
			t.Fatal(err)
		}
		c := s.computer("web1")
		if c.Hostname != host || len(c.Conditions) != 0 || who(s.group("web")) != "web1 pattern" {
			t.Errorf("as %s: %v, members %s", host, c, who(s.group("web")))
		}
	}
	if list := must(s.computers().ListComputers(t.Context(), connect.NewRequest(&keepwardv1.ListComputersRequest{})))(t).Computers; len(list) != 1 {
		t.Errorf("%v", list)
	}
}

// One that is paired is in the jobs of its groups at once, as one that joins with a token is: what starts
// when it comes online goes by that.
func TestAPairedComputerIsNotedInTheJobsOfItsGroups(t *testing.T) {
	s, _ := withOldAgents(t)
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := wire.PairingCertificate(key)
	if err != nil {
		t.Fatal(err)
	}
	ctx, now := t.Context(), time.Now()
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		return errors.Join(
			catalog.JoinTransport(ctx, tx, "t1", now),
			catalog.AddRepository(ctx, tx, catalog.Repository{Name: "main", ID: [16]byte{1}, Transport: "t1", Path: "/r", Master: []byte("m"), Recovery: []byte("r"), Created: now}),
			catalog.PutGroup(ctx, tx, &keepwardv1.Group{Name: "web", Patterns: []string{"web*"}}, now),
			catalog.PutJob(ctx, tx, &keepwardv1.Job{Name: "docs", Type: "backup", Repository: "main", Groups: []string{"web"}}, now),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	how := catalog.Connection{Computer: "web1", Control: catalog.DialServer, Data: catalog.DialAgent, Addresses: []string{"h:1"}}
	if _, err := (&connectionService{s}).admitPaired(ctx, how, wire.NewPairCode(cert.Leaf), certificateRequest(t, key)); err != nil {
		t.Fatal(err)
	}
	members, err := catalog.JobMembers(ctx, s.db.Read())
	if err != nil || !slices.Equal(members["docs"], []string{"web1"}) {
		t.Errorf("members of jobs: %v, %v", members, err)
	}
}
