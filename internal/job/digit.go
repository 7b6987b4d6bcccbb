package job

import (
	"fmt"
	"slices"
	"strings"
)

// Digit is one digit of priorities that an administrator may set: that of a job type, of a computer
// or of a kind of agent.
type Digit struct {
	Of   DigitOf
	Name string
}

// DigitOf is whose digit it is. The texts are kept and shown: never rename one.
type DigitOf string

// The kinds of digits.
const (
	DigitOfType     DigitOf = "type"
	DigitOfComputer DigitOf = "computer"
	DigitOfAgent    DigitOf = "agent"
)

// ParseDigit reads what String writes.
func ParseDigit(text string) (Digit, error) {
	of, name, ok := strings.Cut(text, "/")
	if ok && name != "" && slices.Contains([]DigitOf{DigitOfType, DigitOfComputer, DigitOfAgent}, DigitOf(of)) {
		return Digit{DigitOf(of), name}, nil
	}
	return Digit{}, fmt.Errorf("%q has no digit of its own; write type/TYPE, computer/NAME or agent/NAME", text)
}

// String is the digit in its short form, such as computer/web1.
func (d Digit) String() string { return string(d.Of) + "/" + d.Name }

// Default is the digit where nobody set it.
func (d Digit) Default() int {
	if d.Of == DigitOfType {
		return Type(d.Name).Row().Operation
	}
	return DefaultDigit
}

// SetDigits are the digits that administrators have set.
type SetDigits map[Digit]int

func (s SetDigits) of(d Digit) int {
	if v, ok := s[d]; ok {
		return v
	}
	return d.Default()
}

// Digits are those of a task: its type's, its computer's, if one takes part, and its agent's, if
// one does.
func (s SetDigits) Digits(t Type, computer, agent string) Digits {
	d := Digits{Operation: s.of(Digit{DigitOfType, string(t)}), Client: DefaultDigit, Agent: DefaultDigit}
	if computer != "" {
		d.Client = s.of(Digit{DigitOfComputer, computer})
	}
	if agent != "" {
		d.Agent = s.of(Digit{DigitOfAgent, agent})
	}
	return d
}

// fileAgents are the kinds of agents that back up files, by operating system.
var fileAgents = map[string]string{
	"linux": "Linux File System", "windows": "Windows File System", "darwin": "MAC FileSystem", "freebsd": "FreeBSD",
}

// AgentOf is the kind of agent that works for a job type on a computer with an operating system;
// empty: none, or one that nobody knows yet.
func AgentOf(t Type, system string) string {
	if t == Backup || t == Restore {
		return fileAgents[system]
	}
	return ""
}

// ImplementedAgents are the kinds of agents that there are, by name.
func ImplementedAgents() []string {
	var names []string
	for _, r := range Agents {
		if r.Implemented && !slices.Contains(names, r.Agent) {
			names = append(names, r.Agent)
		}
	}
	slices.Sort(names)
	return names
}
