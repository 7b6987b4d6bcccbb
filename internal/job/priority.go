package job

import "fmt"

// Precedence is the order of the client's and the agent's digit in a priority.
type Precedence string

// The precedences.
const (
	ClientFirst Precedence = "client"
	AgentFirst  Precedence = "agent"
)

// DefaultDigit is the priority of a client or an agent type that nobody set.
const DefaultDigit = 6

// LowestPriority is the number that goes last.
const LowestPriority = 999

// Digits are the parts of a priority, each 0 to 9, the lower the sooner.
type Digits struct{ Operation, Client, Agent int }

// DigitsOf are the digits of a job type where nobody set anything.
func DigitsOf(t Type) Digits {
	return Digits{Operation: t.Row().Operation, Client: DefaultDigit, Agent: DefaultDigit}
}

// High gives the digits of a job that is marked "high priority".
func (d Digits) High() Digits { d.Client = 0; return d }

// Priority makes the three-digit number. The lower number goes first.
func (d Digits) Priority(p Precedence) int {
	if p == AgentFirst {
		return d.Operation*100 + d.Agent*10 + d.Client
	}
	return d.Operation*100 + d.Client*10 + d.Agent
}

// Valid says what is wrong with d, if something is.
func (d Digits) Valid() error {
	for _, v := range []struct {
		name  string
		digit int
	}{{"operation", d.Operation}, {"client", d.Client}, {"agent", d.Agent}} {
		if v.digit < 0 || v.digit > 9 {
			return fmt.Errorf("priority of the %s: %d is not a digit from 0 (first) to 9 (last)", v.name, v.digit)
		}
	}
	return nil
}

// DefaultPriority is the priority of a job type where nobody set anything.
func DefaultPriority(t Type) int { return DigitsOf(t).Priority(ClientFirst) }
