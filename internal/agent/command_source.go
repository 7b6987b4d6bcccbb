package agent

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/pipeline"
)

// areaSource is the first word of the codes of commands whose output is stored.
const areaSource = "command-source"

// streams are the commands of an order as files of the point.
func (a *agent) streams(m *keepwardv1.StartBackupRequest) []pipeline.Stream {
	var out []pipeline.Stream
	for _, c := range m.GetCommands() {
		out = append(out, pipeline.Stream{
			Name: c.GetName(), Optional: c.GetMode() == job.CommandTry,
			Open: func(ctx context.Context) (pipeline.Output, error) { return a.openSource(ctx, m, c) },
		})
	}
	return out
}

// sourceOutput is what a command prints.
type sourceOutput struct {
	*command
	a       *agent
	attempt string
	path    []byte
	secret  string // what of its output goes into no log
}

func (a *agent) openSource(ctx context.Context, m *keepwardv1.StartBackupRequest, s *keepwardv1.CommandSource) (pipeline.Output, error) {
	o := &sourceOutput{a: a, attempt: m.GetOrder().GetAttempt(), path: []byte("/" + job.CommandFolder + "/" + s.GetName())}
	a.event(o.attempt, "info", areaSource+".started", "the output of "+s.GetPath()+" is read", o.path)
	variables := maps.Clone(m.GetCommandVariables())
	if variables == nil {
		variables = map[string]string{}
	}
	variables[job.VarCommand] = s.GetName()
	if i := slices.IndexFunc(m.GetCommandSecrets(), func(c *keepwardv1.CommandSecret) bool { return c.GetCommand() == s.GetName() }); i >= 0 {
		one := m.GetCommandSecrets()[i]
		o.secret = one.GetSecret()
		variables[job.VarCredentialUser], variables[job.VarSecretFD] = one.GetUser(), strconv.Itoa(job.SecretFD)
	}
	limit := s.GetTimeLimit().AsDuration()
	if limit <= 0 {
		limit = job.DefaultCommandLimit
	}
	var err error
	o.command, err = a.startCommand(ctx, "command "+s.GetName(), commandOrder{Path: s.GetPath(), Arguments: s.GetArguments(), Variables: variables, Secret: o.secret, Limit: limit})
	if err != nil {
		return nil, err
	}
	return o, nil
}

// End is that of a pipeline.Output.
func (o *sourceOutput) End() error {
	end, _, err := o.ended(o.eof)
	if err != nil {
		return err
	}
	if o.secret != "" { // a program that tells what it was given
		for i, line := range end.GetOutput() {
			end.Output[i] = strings.ReplaceAll(line, o.secret, "(secret)")
		}
	}
	o.a.reportCommand(o.attempt, areaSource, o.path, end, "")
	if err := commandFailure(areaSource, o.what, end); err != nil {
		return err
	}
	if !o.eof {
		return errs.New(errs.Cancelled, "command-source.stopped", "run %s: it was ended before all was read", o.what)
	}
	return nil
}
