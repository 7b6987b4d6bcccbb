package server

import (
	"context"
	"database/sql"
	"slices"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/pki"
	"keepward/internal/wire"
)

// connectionService is how computers are reached.
type connectionService struct{ *server }

func connectionMessage(c catalog.Connection) *keepwardv1.ComputerConnection {
	return &keepwardv1.ComputerConnection{Control: c.Control, Data: c.Data, Addresses: c.Addresses}
}

func connectionRow(computer string, m *keepwardv1.ComputerConnection) catalog.Connection {
	return catalog.Connection{Computer: computer, Control: m.GetControl(), Data: m.GetData(), Addresses: m.GetAddresses()}
}

// AddComputer adds a computer whose agent joins later, or pairs with one that waits.
func (s *connectionService) AddComputer(ctx context.Context, req *connect.Request[keepwardv1.AddComputerRequest]) (*connect.Response[keepwardv1.AddComputerResponse], error) {
	m := req.Msg
	how := m.GetConnection()
	if how == nil {
		how = &keepwardv1.ComputerConnection{}
	}
	config.CompleteConnection(how)
	if err := pki.CheckName(string(wire.RoleAgent), m.GetName()); err != nil {
		return nil, err
	}
	if err := config.Error(config.CheckConnection(m.GetName(), how)); err != nil {
		return nil, err
	}
	if m.GetName() == job.ServerComputer {
		return nil, errs.New(errs.Invalid, "connection.server", "add computer %q: this is the name of the server itself", m.GetName())
	}
	row := connectionRow(m.GetName(), how)
	res := &keepwardv1.AddComputerResponse{Connection: how}
	if m.GetCode() != "" {
		paired, err := s.pair(ctx, row, m.GetCode())
		if err != nil {
			return nil, err
		}
		res.Paired, res.Hostname, res.Address = true, paired.hostname, paired.address
	} else if err := s.addUnpaired(ctx, row); err != nil {
		return nil, err
	}
	s.dialler.look()
	s.manager.ConfigChanged()
	s.audit(ctx, "computer added", "computer", row.Computer, "control", row.Control, "data", row.Data, "addresses", row.Addresses, "paired", res.Paired)
	return connect.NewResponse(res), nil
}

// addUnpaired adds a computer before its agent joins with a token.
func (s *connectionService) addUnpaired(ctx context.Context, c catalog.Connection) error {
	if c.Control == catalog.DialServer {
		return errs.New(errs.Invalid, "pair.code-missing", "add computer %q: where the server dials, the code is needed that the waiting agent shows", c.Computer).
			WithHint("start it with 'keepward agent --data-dir D --listen :7482', and give the code that it shows with --code-file FILE, or - to be asked for it")
	}
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		names, err := catalog.ComputerNames(ctx, tx)
		if err != nil {
			return err
		}
		if slices.Contains(names, c.Computer) {
			return errs.New(errs.Exists, "connection.exists", "add computer %q: it is there already", c.Computer).
				WithHint("to change how it is reached: keepward computer edit %s", c.Computer)
		}
		if _, err := catalog.KnowComputer(ctx, tx, c.Computer); err != nil {
			return err
		}
		return catalog.SetConnection(ctx, tx, c)
	})
}

// EditComputer changes how a computer is reached. A link that stands goes on, whoever has dialled it.
func (s *connectionService) EditComputer(ctx context.Context, req *connect.Request[keepwardv1.EditComputerRequest]) (*connect.Response[keepwardv1.EditComputerResponse], error) {
	m := req.Msg
	how := &keepwardv1.ComputerConnection{}
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		if _, err := catalog.GetComputer(ctx, tx, m.GetName()); err != nil {
			return err
		}
		had, err := catalog.ConnectionOf(ctx, tx, m.GetName())
		if err != nil {
			return err
		}
		how = connectionMessage(had)
		if m.GetControl() != "" {
			how.Control = m.GetControl()
		}
		if m.GetData() != "" {
			how.Data = m.GetData()
		}
		if m.GetSetAddresses() {
			how.Addresses = m.GetAddresses()
		}
		if err := config.Error(config.CheckConnection(m.GetName(), how)); err != nil {
			return err
		}
		return catalog.SetConnection(ctx, tx, connectionRow(m.GetName(), how))
	})
	if err != nil {
		return nil, err
	}
	s.dialler.look()
	s.manager.ConfigChanged()
	s.audit(ctx, "computer edited", "computer", m.GetName(), "control", how.Control, "data", how.Data, "addresses", how.Addresses)
	return connect.NewResponse(&keepwardv1.EditComputerResponse{Connection: how}), nil
}

func exportConnections(ctx context.Context, q catalog.Queryer) ([]config.NamedConnection, error) {
	rows, err := catalog.Connections(ctx, q)
	if err != nil {
		return nil, err
	}
	out := make([]config.NamedConnection, len(rows))
	for i, row := range rows {
		out[i] = config.NamedConnection{Computer: row.Computer, Connection: connectionMessage(row)}
	}
	return out, nil
}

// planConnections looks at the documents about computers. One that is not there yet is added, if its
// agent can join later by itself.
func (p *applying) planConnections(ctx context.Context, docs []*config.Document, site *config.Site) error {
	for _, d := range docs {
		if d.Connection == nil {
			continue
		}
		p.fault(d, config.CheckConnection(d.Name, d.Connection)...)
		change := &keepwardv1.ConfigChange{Action: actionChange, Kind: d.Kind, Name: d.Name}
		if !slices.Contains(site.Computers, d.Name) {
			change.Action = actionCreate
			if d.Connection.Control == catalog.DialServer {
				p.fault(d, config.Fault{Field: "control", Err: errs.New(errs.Invalid, "pair.code-missing", "apply computer %q: where the server dials, it must be paired first", d.Name).
					WithHint("keepward computer add %s --address HOST:7482 --control server --code-file -", d.Name)})
			}
			site.Computers = append(site.Computers, d.Name)
		} else {
			had, err := catalog.ConnectionOf(ctx, p.db.Read(), d.Name)
			if err != nil {
				return err
			}
			if change.Fields = config.ChangedConnection(connectionMessage(had), d.Connection); len(change.Fields) == 0 {
				continue
			}
		}
		p.steps = append(p.steps, &step{document: d, change: change})
	}
	return nil
}

func (p *applying) writeConnections(ctx context.Context, tx *sql.Tx, site *config.Site) error {
	for _, st := range p.steps {
		d := st.document
		if d.Connection == nil {
			continue
		}
		if !slices.Contains(site.Computers, d.Name) {
			if st.change.Action != actionCreate {
				return catalog.NotFound("computer", d.Name, site.Computers)
			}
			if _, err := catalog.KnowComputer(ctx, tx, d.Name); err != nil {
				return err
			}
			site.Computers = append(site.Computers, d.Name)
		}
		if err := catalog.SetConnection(ctx, tx, connectionRow(d.Name, d.Connection)); err != nil {
			return err
		}
	}
	return nil
}
