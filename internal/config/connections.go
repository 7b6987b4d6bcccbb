package config

import (
	"fmt"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

// addressesMost bounds the addresses of one computer: they are tried one after the other.
const addressesMost = 16

// CompleteConnection fills in what a connection leaves out.
func CompleteConnection(c *keepwardv1.ComputerConnection) {
	if c.Control == "" {
		c.Control = "agent"
	}
	if c.Data == "" {
		c.Data = "agent"
	}
}

// CheckConnection lists what is wrong with how a computer is to be reached.
func CheckConnection(computer string, c *keepwardv1.ComputerConnection) []Fault {
	var f faults
	f.name("computer", computer)
	f.dials("control", computer, c.GetControl(), "agent", "server")
	f.dials("data", computer, c.GetData(), "agent", "mover")
	if len(c.GetAddresses()) > addressesMost {
		f.invalid("addresses", "connection.addresses", "check computer %q: it has %d addresses, %d are allowed", computer, len(c.GetAddresses()), addressesMost)
	}
	for i, a := range c.GetAddresses() {
		if err := wire.CheckAddress(a); err != nil {
			f.add(fmt.Sprintf("addresses[%d]", i), errs.New(errs.Invalid, errs.CodeOf(err), "check computer %q: %w", computer, err).WithHint("%s", errs.HintOf(err)))
		}
	}
	if c.GetControl() == "server" && len(c.GetAddresses()) == 0 {
		f.add("addresses", errs.New(errs.Invalid, "connection.no-address", "check computer %q: the server is to dial its agent, of which no address is given", computer).
			WithHint("give --address HOST:7482"))
	}
	return f
}

func (f *faults) dials(field, computer, value string, choices ...string) {
	for _, c := range choices {
		if value == c {
			return
		}
	}
	f.invalid(field, "connection.direction", "check computer %q: %s is %q; it is %s or %s", computer, field, value, choices[0], choices[1])
}

func connectionFields(c *keepwardv1.ComputerConnection) []field {
	return []field{
		{name: "control", value: &c.Control, normal: "agent"},
		{name: "data", value: &c.Data, normal: "agent"},
		{name: "addresses", value: &c.Addresses},
	}
}

// ChangedConnection names the fields in which two completed connections differ.
func ChangedConnection(a, b *keepwardv1.ComputerConnection) []string {
	return changed(connectionFields(a), connectionFields(b), "")
}

// NamedConnection is a computer with how it is reached.
type NamedConnection struct {
	Computer   string
	Connection *keepwardv1.ComputerConnection
}
