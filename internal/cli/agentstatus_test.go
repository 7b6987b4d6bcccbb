package cli

import "testing"

// What an agent does is started and changed at its server alone.
func TestAtAnAgentThereIsNothingButAView(t *testing.T) {
	a := &app{}
	for _, c := range a.agentCommand().Commands() {
		if c.Name() != "status" {
			t.Errorf("there is a command 'keepward agent %s'", c.Name())
		}
	}
}
