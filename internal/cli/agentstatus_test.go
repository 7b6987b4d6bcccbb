package cli

import (
	"bytes"
	"strings"
	"testing"

	keepwardv1 "keepward/api/keepward/v1"
)

// What an agent does is started and changed at its server alone.
func TestAtAnAgentThereIsNothingButAView(t *testing.T) {
	a := &app{}
	for _, c := range a.agentCommand().Commands() {
		if c.Name() != "status" {
			t.Errorf("there is a command 'keepward agent %s'", c.Name())
		}
	}
}

func TestTheStatusOfAnAgentSaysWhatARunWaitsFor(t *testing.T) {
	var out bytes.Buffer
	spared := &keepwardv1.AgentWait{Code: "ON_BATTERY", Text: "web1 runs on its battery, and the job waits for mains"}
	testApp(&out, formatTable).agentStatusTables(&keepwardv1.AgentStatus{Name: "web1", Jobs: []*keepwardv1.AgentJobStatus{
		{Job: "docs", Waits: spared}, {Job: "mail", Waits: spared, Running: "a1"},
	}})
	if got := out.String(); !strings.Contains(got, "waits: web1 runs on its battery") || strings.Count(got, "waits:") != 1 || !strings.Contains(got, "running") {
		t.Errorf("it says\n%s", got)
	}
}
