package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"keepward/internal/agent"
	selfupdate "keepward/internal/update"
)

const selfCheckName = "agent-self-check"

// runAgent runs an agent that can become another version of itself, or one that is tried by the
// version before it.
func (a *app) runAgent(ctx context.Context, cfg agent.Config, managed bool) error {
	if a.env(selfupdate.TrialVariable) != "" {
		ctx, cfg.Answered = selfupdate.OnTrial(ctx, a.in, a.out)
		return agent.Run(ctx, cfg)
	}
	off := ""
	if managed {
		off = "managed by somebody else, not updated by itself: it was started with --no-update"
	}
	return selfupdate.Run(ctx, selfupdate.Config{
		Dir: filepath.Join(cfg.DataDir, "update"), Version: a.version, SelfCheck: []string{selfCheckName},
		Arguments: againArguments(os.Args[1:]),
		Off:       off, Ready: cfg.Ready, Logger: cfg.Logger, ErrOut: a.errOut,
	}, func(ctx context.Context, u *selfupdate.Updater) error {
		cfg.Updates = u
		return agent.Run(ctx, cfg)
	})
}

// againArguments are those of an agent without what is for its first start only: a token that is
// asked for, and the wish to be paired anew.
func againArguments(args []string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		switch name, _, given := strings.Cut(args[i], "="); name {
		case "--join", "--join-file":
			if !given {
				i++ // its value
			}
		case "--pair":
		default:
			out = append(out, args[i])
		}
	}
	return out
}

// selfCheckCommand is for the agent that is about to become this version.
func (a *app) selfCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use: selfCheckName, Short: "Say which version for which platform this is", Hidden: true, Args: exactly(),
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintln(a.out, selfupdate.SelfCheck(a.version))
			return nil
		},
	}
}
