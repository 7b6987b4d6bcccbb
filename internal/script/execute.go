package script

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

// Execute runs a script of a job and answers how it ended. path is where it lies here; part is who
// runs it.
func Execute(ctx context.Context, path string, s *keepwardv1.Script, variables map[string]string, part string) *keepwardv1.ScriptEnd {
	return End(ctx, Command{
		Path: path, Arguments: s.GetArguments(), Variables: variables, Limit: s.GetTimeLimit().AsDuration(),
	}, part)
}

// End runs a script and answers how it ended.
func End(ctx context.Context, c Command, part string) *keepwardv1.ScriptEnd {
	r, err := Run(ctx, c)
	return &keepwardv1.ScriptEnd{
		Started: timestamppb.New(r.Started), Ended: timestamppb.New(r.Ended), Exit: int32(r.Exit),
		Output: r.Output, LeftOutBytes: r.LeftOut, Failure: Failure(err, part),
	}
}

// Failed is the end of a script that did not run.
func Failed(err error, part string) *keepwardv1.ScriptEnd {
	now := timestamppb.Now()
	return &keepwardv1.ScriptEnd{Started: now, Ended: now, Exit: -1, Failure: Failure(err, part)}
}

// Lost is the end of a script that was started and whose process was not seen to end: it is not
// started again, since what it did cannot be told.
func Lost(path, part, why string) *keepwardv1.ScriptEnd {
	end := Failed(errs.New(errs.Unavailable, "script.lost", "run script %s: it was ordered, and how it ended is not known: %s", path, why), part)
	end.Started, end.Ended, end.Lost = nil, nil, true
	return end
}

// Failure is an error as it is kept and sent; nil stays nil.
func Failure(err error, part string) *keepwardv1.Failure {
	if err == nil {
		return nil
	}
	return &keepwardv1.Failure{
		Kind: string(errs.KindOf(err)), Code: errs.CodeOf(err), Message: err.Error(), Hint: errs.HintOf(err), Part: part,
	}
}
