package server

import (
	"bytes"
	"context"
	"database/sql"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/pki"
	"keepward/internal/wire"
)

// pairedTimeout bounds a pairing on the whole.
const pairedTimeout = 45 * time.Second

// paired is what an agent has said of itself.
type paired struct{ hostname, address string }

// pair gives an agent that waits its identity. The certificate is written down before it is handed
// out: what an agent has is always known here. What breaks off in between is done again with the
// same code.
func (s *connectionService) pair(ctx context.Context, c catalog.Connection, text string) (paired, error) {
	ctx, cancel := context.WithTimeout(ctx, pairedTimeout)
	defer cancel()
	code, err := wire.ParsePairCode(text)
	if err != nil {
		return paired{}, err
	}
	if len(c.Addresses) == 0 {
		return paired{}, errs.New(errs.Invalid, "connection.no-address", "pair with %q: no address of its agent is given", c.Computer).WithHint("give --address HOST:7482")
	}
	conn, err := wire.DialPair(ctx, s.manager.Preferred(c.Addresses), code)
	if err != nil {
		return paired{}, err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	ca := s.data.authority.Certificate.Raw
	proof, err := wire.PairProof(code, conn, ca, c.Computer)
	if err != nil {
		return paired{}, err
	}
	web := wire.OneClient(conn)
	defer web.CloseIdleConnections()
	client := keepwardv1connect.NewPairServiceClient(web, wire.LinkURL, connect.WithInterceptors(wire.Errors()), connect.WithReadMaxBytes(openMessageMost))
	offer, err := client.Offer(ctx, connect.NewRequest(&keepwardv1.PairOfferRequest{Ca: ca, Name: c.Computer, Proof: proof}))
	if err != nil {
		return paired{}, pairFailed(ctx, c.Computer, err)
	}
	der, err := s.admitPaired(ctx, c, code, offer.Msg.GetCsr())
	if err != nil {
		return paired{}, err
	}
	s.nodes.cut(wire.RoleAgent, c.Computer) // its certificate was replaced
	s.nodes.twins.forget(agentNode(c.Computer))
	if _, err := client.Accept(ctx, connect.NewRequest(&keepwardv1.PairAcceptRequest{Certificate: der})); err != nil {
		e := errs.New(errs.Unavailable, "pair.unfinished", "pair with %q: the agent did not say that it took its certificate: %w", c.Computer, err)
		return paired{}, e.WithHint("if it still shows the code, do the same again; else it has joined")
	}
	s.log.Info("agent paired", "computer", c.Computer, "address", conn.RemoteAddr().String(), "host", offer.Msg.GetHostname(), "version", offer.Msg.GetVersion())
	return paired{offer.Msg.GetHostname(), conn.RemoteAddr().String()}, nil
}

// pairFailed tells a refusal from a connection that was lost.
func pairFailed(ctx context.Context, computer string, err error) error {
	if errs.CodeOf(err) != "" || ctx.Err() != nil {
		return err
	}
	return errs.New(errs.Unavailable, "connection.lost", "pair with %q: the connection with the agent was lost: %w", computer, err)
}

// admitPaired issues a certificate for the key that the code names, and for no other.
func (s *connectionService) admitPaired(ctx context.Context, c catalog.Connection, code wire.PairCode, csr []byte) ([]byte, error) {
	public, err := pki.ParseRequest(csr)
	if err != nil {
		return nil, err
	}
	var der []byte
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		now := time.Now()
		if _, err := catalog.RevokeCertificates(ctx, tx, string(wire.RoleAgent), c.Computer, "the computer was paired again", now); err != nil {
			return err
		}
		cert, err := s.data.authority.Issue(wire.RoleAgent, c.Computer, public, pki.Names{}, now)
		if err != nil {
			return err
		}
		if !code.Of(cert.RawSubjectPublicKeyInfo) {
			return errs.New(errs.Denied, "pair.key", "pair with %q: it asks for a certificate of another key than that of its code", c.Computer)
		}
		der = bytes.Clone(cert.Raw)
		err = catalog.AddCertificate(ctx, tx, catalog.Certificate{
			Serial: cert.SerialNumber.String(), Role: string(wire.RoleAgent), Name: c.Computer, DER: der, Issued: now, Expires: cert.NotAfter,
		})
		if err != nil {
			return err
		}
		if err := catalog.JoinComputer(ctx, tx, c.Computer, now); err != nil {
			return err
		}
		if err := catalog.SetConnection(ctx, tx, c); err != nil {
			return err
		}
		return noteMembers(ctx, tx, now) // it may be one that a group waits for
	})
	return der, err
}
