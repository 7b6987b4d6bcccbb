package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/wire"
	"keepward/test/site"
)

// Whoever is not the one agent of a task is refused by its mover and written down;
// the real task is not disturbed.
func TestMoverRefusesStrangers(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1", "web2")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 20, 5<<20, 1))
	f.createJob("docs", "web1", []string{src})
	f.run("docs")
	holder := newFakeAgent(f, "holder", 0)
	f.createJob("held", "holder", []string{src}, "--restart-interval", "1s")

	// An old key: of a task that is over.
	first := f.start("held")
	old := holder.order(t)
	if _, err := holder.connect(t, old, nil); err != nil {
		t.Fatalf("the right agent is refused: %v", err)
	}
	f.do("session", "kill", itoa(int(first)))
	f.final(first, "Killed")

	id := f.start("held")
	o := holder.order(t)
	for _, c := range []struct {
		name   string
		change func(*wire.DialConfig)
	}{
		{"no certificate of the authority", func(c *wire.DialConfig) { c.Credentials = selfSigned(t, c.Credentials, "agent", "holder") }},
		{"the certificate of another role", func(c *wire.DialConfig) { c.Credentials = credentials(t, f.store.DataDir) }},
		{"the certificate of another computer", func(c *wire.DialConfig) { c.Credentials = credentials(t, f.agent["web2"].DataDir) }},
		{"the key of a task that is over", func(c *wire.DialConfig) { c.Endpoint.TaskKey = old.GetMover().GetTaskKey() }},
		{"the name of another task", func(c *wire.DialConfig) { c.Attempt = old.GetOrder().GetAttempt() }},
		{"no key", func(c *wire.DialConfig) { c.Endpoint.TaskKey = make([]byte, 32) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := holder.connect(t, o, c.change); err == nil {
				t.Error("it was let in")
			}
		})
	}
	t.Run("no certificate at all", func(t *testing.T) {
		if conn, err := tls.Dial("tcp", o.GetMover().GetAddress(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"keepward-data/1"}}); err == nil {
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			if _, err := conn.Read(make([]byte, 1)); err == nil {
				t.Error("it was let in")
			}
		}
	})

	real, err := holder.connect(t, o, nil)
	if err != nil {
		t.Fatalf("the real task was harmed: %v", err)
	}
	t.Run("a second connection with the right key", func(t *testing.T) {
		if _, err := holder.connect(t, o, nil); err == nil {
			t.Error("it was let in")
		}
	})
	if _, err := real.Have(t.Context(), make([]seal.H, 1)); err != nil {
		t.Errorf("the real task was harmed: %v", err)
	}
	log := ""
	f.must(site.Until(30*time.Second, "log of the refusals", func() (bool, error) {
		log = f.sessionLog(id)
		return strings.Count(log, "refused") >= 6, nil
	}))
	if !strings.Contains(log, "web2") || !strings.Contains(log, "store") {
		t.Errorf("the log does not name who was refused:\n%s", log)
	}
	f.do("session", "kill", itoa(int(id)))
	f.final(id, "Killed")
	f.check()
}

// An agent with a valid task of its own reads nothing of another computer: not its
// points, not its chunks by id, not by asking the server.
func TestAgentReadsNothingOfAnotherComputer(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 20, 5<<20, 1))
	f.createJob("docs", "web1", []string{src})
	f.run("docs")
	list, err := f.Points("web1")
	f.must(err)
	theirs := pointObject(t, f.repo, list[0].Id)

	thief := newFakeAgent(f, "thief", 0)
	f.createJob("theft", "thief", []string{src})
	id := f.start("theft")
	o := thief.order(t)
	data, err := thief.connect(t, o, nil)
	f.must(err)
	if b, err := data.Point(t.Context(), list[0].Id); err == nil {
		t.Errorf("the thief got %d bytes of a point of web1", len(b))
	}
	// Ids lie open in the repository, so a mover may hand out what is sealed under one. What
	// opens it is the content's hash, which only an entry of web1 holds.
	keys, err := wire.KeysFromProto(o.GetKeys())
	f.must(err)
	opener, err := seal.NewOpener(keys)
	f.must(err)
	defer opener.Close()
	ids := append([]seal.ID{theirs.RootID}, theirs.Refs...)
	_ = data.Get(t.Context(), ids, func(i int, b []byte) error { // refused is as good
		record, err := seal.ParseRecord(b)
		if err != nil {
			return err
		}
		for _, h := range []seal.H{seal.H(ids[i]), {}} {
			if content, err := opener.Open(nil, &record, h); err == nil {
				t.Errorf("the thief opened %d bytes of web1", len(content))
			}
		}
		return nil
	})
	// Nor do the keys in its own order open the point.
	if _, err := point.OpenBody(seal.Secret(o.GetKeys().GetComputerKey()), &theirs); err == nil {
		t.Error("the thief's own key opens a point of web1")
	}
	f.do("session", "kill", itoa(int(id)))
	f.final(id, "Killed")

	t.Run("a link serves no calls of clients", func(t *testing.T) {
		points := keepwardv1connect.NewPointServiceClient(thief.link.Client(), wire.LinkURL)
		if _, err := points.ListPoints(t.Context(), connect.NewRequest(&keepwardv1.ListPointsRequest{Computer: "web1"})); err == nil {
			t.Error("an agent lists points through its link")
		}
	})
	t.Run("a restore of another's point needs the administrator to name that computer", func(t *testing.T) {
		f := *f
		f.t = t
		f.fails(exitNotFound, nil, "restore", "files", "--computer", "thief", "--point", list[0].Id, "--to", f.Dir, "--wait")
	})
}

// pointObject reads the clear part of a point straight from the repository.
func pointObject(t *testing.T, repo, id string) point.Point {
	t.Helper()
	var found point.Point
	err := filepath.WalkDir(repo, func(path string, d os.DirEntry, err error) error {
		if err != nil || !strings.Contains(d.Name(), id) || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if p, err := point.Parse(b); err == nil {
			found = p
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found.RootID == (seal.ID{}) {
		t.Fatalf("point %s is not in %s", id, repo)
	}
	return found
}

// The server's port: a link takes a certificate of the authority; a removed computer
// has no link any more; a token works once, for its role and name, and not when revoked.
func TestServerRefusesStrangers(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1")
	own := credentials(t, f.agent["web1"].DataDir)
	if link, err := wire.DialLink(t.Context(), f.Addr, selfSigned(t, own, "agent", "web1"), http.NotFoundHandler()); err == nil {
		// TLS 1.3 tells a client late: the first call does.
		server := keepwardv1connect.NewNodeServiceClient(link.Client(), wire.LinkURL)
		if _, err := server.Heartbeat(t.Context(), connect.NewRequest(&keepwardv1.HeartbeatRequest{})); err == nil {
			t.Error("a self-made certificate got a link")
		}
		_ = link.Close() // refused
	}

	used := f.Role("again", "agent", "--server", f.Addr, "--name", "again")
	token, err := f.Token("agent", "again")
	f.must(err)
	for _, c := range []struct{ name, role, as, say string }{
		{"another name", "agent", "web9", "again"},
		{"another role", "transport", "again", "agent"},
	} {
		p := f.Role("wrong-"+c.role, c.role, "--server", f.Addr, "--name", c.as, "--join", token)
		if said, err := p.StartRefused(); err != nil || !strings.Contains(said, "token") {
			t.Errorf("a token for %s: %v: %s", c.name, err, said)
		}
	}
	f.must(used.StartWith("--join", token))
	second := f.Role("second", "agent", "--server", f.Addr, "--name", "again", "--join", token)
	if said, err := second.StartRefused(); err != nil || !strings.Contains(said, "token") {
		t.Errorf("a used token: %v: %s", err, said)
	}
	var made struct {
		Token string
		Info  struct{ ID string }
	}
	f.must(f.JSON(&made, "token", "create", "--role", "agent", "--name", "late"))
	f.do("token", "revoke", made.Info.ID)
	late := f.Role("late", "agent", "--server", f.Addr, "--name", "late", "--join", made.Token)
	if said, err := late.StartRefused(); err != nil || !strings.Contains(said, "token") {
		t.Errorf("a revoked token: %v: %s", err, said)
	}

	f.do("computer", "remove", "again")
	f.fails(exitNotFound, nil, "computer", "show", "again")
	link, err := wire.DialLink(t.Context(), f.Addr, credentials(t, used.DataDir), http.NotFoundHandler())
	if err == nil {
		defer link.Close()
		server := keepwardv1connect.NewNodeServiceClient(link.Client(), wire.LinkURL)
		if _, err := server.Heartbeat(t.Context(), connect.NewRequest(&keepwardv1.HeartbeatRequest{})); err == nil {
			t.Error("a removed computer still has a link")
		}
	}
}

// An agent whose clock is hours off: points carry the server's time, and the skew is
// shown as a condition.
func TestClockOfAnAgentIsOff(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	fake := newFakeAgent(f, "late", -5*time.Hour)
	var got keepwardv1.GetComputerResponse
	f.must(f.Message(&got, "computer", "show", "late"))
	skew := got.GetComputer().GetSkew().AsDuration()
	if skew > -4*time.Hour || skew < -6*time.Hour {
		t.Errorf("the skew is shown as %s, want -5h", skew)
	}
	if len(got.GetComputer().GetConditions()) == 0 || !strings.Contains(got.GetComputer().GetConditions()[0].GetText(), "clock") {
		t.Errorf("no condition about the clock: %v", got.GetComputer().GetConditions())
	}
	f.createJob("docs", "late", []string{"/etc"})
	id := f.start("docs")
	if at := fake.order(t).GetTime().AsTime(); time.Since(at).Abs() > time.Minute {
		t.Errorf("the point is to carry %s, which is not the server's time", at)
	}
	f.do("session", "kill", itoa(int(id)))
	f.final(id, "Killed")
}

// selfSigned is a certificate that says the same as a real one and that anybody can make.
func selfSigned(t *testing.T, real wire.Credentials, role, name string) wire.Credentials {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name, OrganizationalUnit: []string{role}},
		URIs:         []*url.URL{wire.URI(wire.Role(role), name)},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return wire.Credentials{Certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, CA: real.CA}
}
