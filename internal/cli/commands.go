package cli

import (
	"strings"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/config"
	"keepward/internal/job"
)

// commandFlags are the commands of a job, as flags.
type commandFlags struct{ texts []string }

func (c *commandFlags) add(f *pflag.FlagSet) {
	f.StringArrayVar(&c.texts, "command", nil, "store what a program of the computer prints: name=FILE,run=/PROGRAM ARGUMENTS, before run also limit=2h, mode="+
		strings.Join(job.CommandModes, " or mode=")+", credential=NAME, computer=C; may be repeated")
}

// check finds what is wrong without asking the server.
func (c *commandFlags) check() error {
	for _, text := range written(c.texts) {
		if _, err := parseCommand(text); err != nil {
			return err
		}
	}
	return nil
}

// apply puts the commands that were written in the place of those of a job. An empty text alone
// takes all away.
func (c *commandFlags) apply(f *pflag.FlagSet, to *keepwardv1.Job) {
	if !f.Changed("command") {
		return
	}
	to.Commands = nil
	for _, text := range written(c.texts) {
		one, _ := parseCommand(text)
		to.Commands = append(to.Commands, one)
	}
}

// parseCommand reads name=…,limit=…,run=…: what follows run= is the whole command line.
func parseCommand(text string) (*keepwardv1.CommandSource, error) {
	c := &keepwardv1.CommandSource{}
	rest := text
	for {
		key, value, ok := strings.Cut(rest, "=")
		if !ok {
			return nil, usage("--command %q: write name=FILE,run=/PROGRAM ARGUMENTS", text)
		}
		if key == "run" {
			line, closed := wordsOf(value)
			if !closed {
				return nil, usage("--command: a quote is not closed in %q", value)
			}
			if len(line) == 0 || c.Name == "" {
				return nil, usage("--command %q: it needs a name and a program: name=FILE,run=/PROGRAM ARGUMENTS", text)
			}
			c.Path, c.Arguments = line[0], line[1:]
			return c, nil
		}
		value, rest, _ = strings.Cut(value, ",")
		switch key {
		case "name":
			c.Name = value
		case "mode":
			c.Mode = value
		case "credential":
			c.Credential = value
		case "computer":
			c.Computers = append(c.Computers, value)
		case "limit":
			d, err := config.ParseDuration(value)
			if err != nil {
				return nil, usage("--command: limit=%s is no duration such as 90s, 20m or 2h", value)
			}
			c.TimeLimit = durationpb.New(time.Duration(d))
		default:
			return nil, usage("--command %q: there is no %q; there is name, limit, mode, credential, computer and, last, run", text, key)
		}
	}
}

// commandsText names the commands of a job.
func commandsText(list []*keepwardv1.CommandSource) string {
	var out []string
	for _, c := range list {
		text := c.GetName() + ": " + strings.Join(append([]string{c.GetPath()}, c.GetArguments()...), " ")
		var also []string
		if c.GetMode() != job.CommandModes[0] {
			also = append(also, c.GetMode())
		}
		if c.GetCredential() != "" {
			also = append(also, "with credential "+c.GetCredential())
		}
		if d := c.GetTimeLimit().AsDuration(); d > 0 {
			also = append(also, "at most "+config.FormatDuration(d))
		}
		if len(c.GetComputers()) > 0 {
			also = append(also, "on "+strings.Join(c.GetComputers(), ", "))
		}
		if len(also) > 0 {
			text += " (" + strings.Join(also, "; ") + ")"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}
