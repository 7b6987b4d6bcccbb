package mover

import (
	"bufio"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"io"

	"google.golang.org/protobuf/encoding/protodelim"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/wire"
)

func readOrder(stdin io.Reader) (*order, error) {
	m := &keepwardv1.MoverOrder{}
	opts := protodelim.UnmarshalOptions{MaxSize: maxOrder}
	if err := opts.UnmarshalFrom(bufio.NewReader(stdin), m); err != nil {
		return nil, errs.New(errs.Invalid, "order.read", "read order: %w", err).
			WithHint("a mover is started by the transport service only")
	}
	return checkOrder(m)
}

func checkOrder(m *keepwardv1.MoverOrder) (*order, error) {
	o := &order{MoverOrder: m}
	var err error
	if o.attempt, err = point.ParseAttempt(m.GetStart().GetOrder().GetAttempt()); err != nil {
		return nil, err
	}
	switch m.GetStart().GetMode() {
	case ModeBackup, ModeRestore, ModeBrowse, ModeCheck, ModeRebuild, ModeSweep, ModeReconcile:
	default:
		return nil, errs.New(errs.Invalid, "order.mode", "read order: mode %q is unknown", m.GetStart().GetMode())
	}
	if o.serves() && (len(m.GetTaskKey()) != 32 || m.GetStart().GetAgent() == "") {
		return nil, errs.New(errs.Invalid, "order.agent", "read order: a %s needs an agent and a task key", m.GetStart().GetMode())
	}
	if n := len(m.GetStart().GetOwner()); n != 16 && m.GetStart().GetMode() == ModeBackup {
		return nil, errs.New(errs.Invalid, "order.owner", "read order: the owner has %d bytes, not 16", n)
	}
	o.creds, err = credentials(m)
	return o, err
}

// owner is the pseudonym of the computer whose points the task makes or reads; zeros: of none.
func (o *order) owner() (owner [16]byte) {
	copy(owner[:], o.GetStart().GetOwner())
	return owner
}

func credentials(m *keepwardv1.MoverOrder) (wire.Credentials, error) {
	if len(m.GetCertificate()) == 0 {
		return wire.Credentials{}, errs.New(errs.Invalid, "order.certificate", "read order: it has no certificate")
	}
	key, err := x509.ParsePKCS8PrivateKey(m.GetPrivateKey())
	if err != nil {
		return wire.Credentials{}, errs.New(errs.Invalid, "order.certificate", "read order: its private key: %w", err)
	}
	ca, err := x509.ParseCertificate(m.GetCa())
	if err != nil {
		return wire.Credentials{}, errs.New(errs.Invalid, "order.certificate", "read order: its authority: %w", err)
	}
	return wire.Credentials{
		Certificate: tls.Certificate{Certificate: m.GetCertificate(), PrivateKey: crypto.PrivateKey(key)},
		CA:          ca,
	}, nil
}

// NewOrder puts an order together from what the server asked for and the transport's
// credentials.
func NewOrder(start *keepwardv1.StartMoverRequest, taskKey []byte, c wire.Credentials, directory, listen string) (*keepwardv1.MoverOrder, error) {
	key, err := x509.MarshalPKCS8PrivateKey(c.Certificate.PrivateKey)
	if err != nil {
		return nil, errs.New(errs.Internal, "", "write order: private key: %w", err)
	}
	return &keepwardv1.MoverOrder{
		Start: start, TaskKey: taskKey,
		Certificate: c.Certificate.Certificate, PrivateKey: key, Ca: c.CA.Raw,
		Directory: directory, Listen: listen,
	}, nil
}
