package agent

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

// ReadStatus reads from a data directory what there is to know of its agent, without asking it: it
// changes nothing, and needs neither the agent nor its server.
func ReadStatus(dir string, now time.Time) (*keepwardv1.AgentStatus, error) {
	text, err := os.ReadFile(filepath.Join(dir, "identity", "cert.pem"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errs.New(errs.NotFound, "agent.no-identity", "look at the agent in %s: there is none that has joined a server", dir).
			WithHint("give the agent's own directory with --data-dir")
	}
	if err != nil {
		return nil, errs.New(errs.KindOf(err), "identity.read", "look at the agent in %s: %w", dir, err)
	}
	id, err := identityOf(text)
	if err != nil {
		return nil, err
	}
	if id.Role != wire.RoleAgent {
		return nil, errs.New(errs.Invalid, "identity.role", "look at the agent in %s: it belongs to %s", dir, id)
	}
	s := &keepwardv1.AgentStatus{Name: id.Name}
	if b, err := os.ReadFile(filepath.Join(dir, "identity", "server")); err == nil {
		s.Server = strings.TrimSpace(string(b))
	}
	ends, err := filepath.Glob(filepath.Join(dir, "attempts", "*", "end.pb"))
	if err == nil {
		s.Unreported = int32(len(ends))
	}
	st := &standing{}
	st.policies, st.state = readStanding(filepath.Join(dir, standingDir))
	s.Runs = st.state.GetRuns()
	if ca, err := os.ReadFile(filepath.Join(dir, "identity", "ca.pem")); err == nil {
		if block, _ := pem.Decode(ca); block != nil {
			if sum := sha256.Sum256(block.Bytes); string(sum[:]) != string(st.policies.GetCa()) {
				return s, nil // issued by another server
			}
		}
	}
	for _, p := range st.policies.GetPolicies() {
		s.Jobs = append(s.Jobs, st.show(p, now))
	}
	return s, nil
}

func identityOf(text []byte) (wire.Identity, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return wire.Identity{}, errs.New(errs.Corrupt, "identity.read", "read the agent's certificate: it is not PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return wire.Identity{}, errs.New(errs.Corrupt, "identity.read", "read the agent's certificate: %w", err)
	}
	return wire.IdentityOf(cert)
}

// show is a job as the agent stands with it.
func (st *standing) show(p *keepwardv1.AgentPolicy, now time.Time) *keepwardv1.AgentJobStatus {
	j := st.job(p, now)
	out := &keepwardv1.AgentJobStatus{
		Job: p.GetJob(), Repository: p.GetRepository(), Schedule: p.GetSchedule(), Missed: p.GetMissed(), Transport: p.GetTransport(),
		ValidUntil: p.GetValidUntil(), Issued: p.GetIssued(), Running: j.GetRunning(), Waits: j.GetWaits(),
	}
	spent := map[string]bool{}
	for _, id := range st.state.GetSpent() {
		spent[id] = true
	}
	for _, a := range p.GetAttempts() {
		if !spent[a.GetAttempt()] {
			out.AttemptsLeft++
		}
	}
	switch at, ok := nextRun(p, j.GetSeen().AsTime()); {
	case j.GetDue() != nil && j.GetAgain() != nil:
		out.NextRun = j.GetAgain()
	case j.GetDue() != nil:
		out.NextRun = j.GetDue()
	case ok:
		out.NextRun = timestamppb.New(at)
	}
	return out
}
