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

// scriptFlags are the scripts of a job as flags: one for each place, with the path and the
// arguments as in a shell.
type scriptFlags struct {
	lines [6]string // in the order of job.Scripts
	limit duration
	goOn  bool
}

func (s *scriptFlags) add(f *pflag.FlagSet) {
	for i, r := range job.Scripts {
		use := "script on the computer, with its arguments: " + r.When
		if r.OnServer {
			use = "script of the server's folder, with its arguments: " + r.When
		}
		f.StringVar(&s.lines[i], string(r.Place), "", use+"; empty: none")
	}
	f.Var(&s.limit, "script-limit", "time limit of the scripts that are named with it (default "+config.FormatDuration(job.DefaultScriptLimit)+")")
	f.BoolVar(&s.goOn, "script-go-on", false, "the scripts before the job that are named with it may fail: that is a warning")
}

// check finds what is wrong without asking the server.
func (s *scriptFlags) check() error {
	for i, r := range job.Scripts {
		if _, ok := wordsOf(s.lines[i]); !ok {
			return usage("--%s: a quote is not closed in %q", r.Place, s.lines[i])
		}
	}
	return nil
}

// apply puts the scripts that were written in the place of those of to, which may be nil.
func (s *scriptFlags) apply(f *pflag.FlagSet, to *keepwardv1.Scripts) *keepwardv1.Scripts {
	for i, r := range job.Scripts {
		if !f.Changed(string(r.Place)) {
			continue
		}
		if to == nil {
			to = &keepwardv1.Scripts{}
		}
		at := config.ScriptAt(to, r.Place)
		line, _ := wordsOf(s.lines[i])
		if len(line) == 0 {
			*at = nil
			continue
		}
		*at = &keepwardv1.Script{Path: line[0], Arguments: line[1:], GoOn: s.goOn && r.Gates}
		if f.Changed("script-limit") {
			(*at).TimeLimit = durationpb.New(time.Duration(s.limit))
		}
	}
	return to
}

// wordsOf splits a command line at its spaces, but not within quotes. A backslash is one: paths of
// Windows have them. ok: every quote is closed.
func wordsOf(line string) (out []string, ok bool) {
	var word strings.Builder
	begun := false
	quote := rune(0)
	for _, c := range line {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '"' || c == '\'':
			quote, begun = c, true
		case c == ' ' || c == '\t':
			if begun {
				out = append(out, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(c)
			begun = true
		}
	}
	if begun {
		out = append(out, word.String())
	}
	return out, quote == 0
}

// scriptsText names the scripts of a job with their places.
func scriptsText(s *keepwardv1.Scripts) string {
	if s == nil {
		return ""
	}
	var out []string
	for _, r := range job.Scripts {
		if one := *config.ScriptAt(s, r.Place); one.GetPath() != "" {
			out = append(out, string(r.Place)+" "+strings.Join(append([]string{one.GetPath()}, one.GetArguments()...), " "))
		}
	}
	return strings.Join(out, ", ")
}
