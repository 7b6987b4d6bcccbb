package job

import (
	"slices"
	"testing"
)

func TestDigitsComeBackFromTheirText(t *testing.T) {
	for _, text := range []string{"type/backup", "computer/web1", "agent/Linux File System"} {
		d, err := ParseDigit(text)
		if err != nil || d.String() != text {
			t.Errorf("%s: %v, %v", text, d, err)
		}
	}
	for _, text := range []string{"", "web1", "computer/", "server", "repository/main", "job/docs"} {
		if d, err := ParseDigit(text); err == nil {
			t.Errorf("%q is read as %v", text, d)
		}
	}
}

func TestATaskHasTheDigitsThatAreSet(t *testing.T) {
	const agent = "Linux File System"
	set := SetDigits{
		{DigitOfType, string(Backup)}: 4, {DigitOfComputer, "web1"}: 0, {DigitOfAgent, agent}: 9,
	}
	for _, c := range []struct {
		typ             Type
		computer, agent string
		want            Digits
	}{
		{Backup, "web1", agent, Digits{4, 0, 9}},
		{Backup, "web2", agent, Digits{4, DefaultDigit, 9}},
		{Backup, "web1", "", Digits{4, 0, DefaultDigit}},
		{Restore, "web1", agent, Digits{0, 0, 9}},
		{Verify, "", "", Digits{5, DefaultDigit, DefaultDigit}},
	} {
		if got := set.Digits(c.typ, c.computer, c.agent); got != c.want {
			t.Errorf("%s of %q by %q: %v, want %v", c.typ, c.computer, c.agent, got, c.want)
		}
		if got := SetDigits(nil).Digits(c.typ, c.computer, c.agent); got != DigitsOf(c.typ) {
			t.Errorf("%s where nothing is set: %v", c.typ, got)
		}
	}
}

func TestAgentsOfFilesAreInTheTable(t *testing.T) {
	for system, agent := range fileAgents {
		if AgentOf(Backup, system) != agent || !slices.ContainsFunc(Agents, func(r AgentRow) bool { return r.Agent == agent }) {
			t.Errorf("%s has no row for %s", agent, system)
		}
	}
	if got := AgentOf(Verify, "linux"); got != "" {
		t.Errorf("a check needs agent %s", got)
	}
	if !slices.Contains(ImplementedAgents(), fileAgents["linux"]) {
		t.Error("there is no agent for linux")
	}
}
