package manager

import (
	"context"
	"testing"

	"keepward/internal/errs"
)

// What keeps the site from harm is not answered by its default before the settings are read.
func TestWhatGuardsWaitsForTheSettings(t *testing.T) {
	m := New(Deps{})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if on, err := m.SecondPerson(gone); errs.CodeOf(err) != "server.starting" || on {
		t.Errorf("whether a second person is wanted is %v (%v)", on, err)
	}
	if d, err := m.ConfirmLogins(gone); errs.CodeOf(err) != "server.starting" {
		t.Errorf("logins are confirmed for %v (%v)", d, err)
	}
}
