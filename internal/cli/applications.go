package cli

import (
	"slices"
	"strings"

	"github.com/spf13/pflag"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/config"
	"keepward/internal/job"
)

// applicationFlags are the applications of a job as flags: one text each.
type applicationFlags struct{ lines []string }

func (x *applicationFlags) add(f *pflag.FlagSet) {
	f.StringArrayVar(&x.lines, "application", nil, "application to protect, KIND or KIND,name=N,mode="+strings.Join(job.ApplicationModes, "|")+",address=A,credential=C,computer=C,SETTING=VALUE; kinds: "+config.ApplicationKinds()+"; may be repeated; empty: none")
}

// check finds what is wrong without asking the server.
func (x *applicationFlags) check() error {
	for _, line := range x.lines {
		if _, err := parseApplication(line); err != nil && line != "" {
			return err
		}
	}
	return nil
}

// apply puts the applications that were written in the place of all that there are.
func (x *applicationFlags) apply(f *pflag.FlagSet, to []*keepwardv1.Application) []*keepwardv1.Application {
	if !f.Changed("application") {
		return to
	}
	to = nil
	for _, line := range x.lines {
		if app, err := parseApplication(line); err == nil && line != "" {
			to = append(to, app)
		}
	}
	return to
}

func parseApplication(line string) (*keepwardv1.Application, error) {
	parts := strings.Split(line, ",")
	app := &keepwardv1.Application{Kind: parts[0]}
	for _, p := range parts[1:] {
		name, value, ok := strings.Cut(p, "=")
		if !ok {
			return nil, usage("--application %s: %q is no NAME=VALUE", line, p)
		}
		switch name {
		case "name":
			app.Name = value
		case "mode":
			app.Mode = value
		case "address":
			app.Address = value
		case "credential":
			app.Credential = value
		case "computer":
			app.Computers = append(app.Computers, value)
		default:
			if app.Settings == nil {
				app.Settings = map[string]string{}
			}
			app.Settings[name] = value
		}
	}
	return app, nil
}

// applicationsText names the applications of a job.
func applicationsText(list []*keepwardv1.Application) string {
	var out []string
	for _, a := range list {
		text := a.GetKind()
		if a.GetName() != job.DefaultApplicationName {
			text += " " + a.GetName()
		}
		if a.GetMode() != job.ApplicationRequire {
			text += " (" + a.GetMode() + ")"
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}
