// Package cli is the command line of Keepward: every command, what it prints and the
// status it exits with. Scripts rely on all three; docs/user/cli.md is the contract.
//
// It holds no logic of the product: commands for clients turn flags into calls of the
// API and answers into text, commands for roles start a role. Main takes everything
// from the outside as values, so a test can call it; it may be called again and from
// several goroutines, each call with its own Process.
package cli

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keepward/internal/errs"
)

// Process is what a command line gets from its surroundings.
type Process struct {
	Args   []string // without the program's name
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	// Env looks up an environment variable; empty when there is none.
	Env     func(name string) string
	Version string
	Now     func() time.Time
	// Local is the zone of the times that people read and write.
	Local *time.Location
}

// Main runs one command line and answers the exit status.
func Main(ctx context.Context, p Process) int {
	a := newApp(p)
	root := a.command()
	root.SetArgs(pointArgs(p.Args))
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	if ctx.Err() != nil && errs.KindOf(err) == errs.Cancelled {
		return exitInterrupted
	}
	a.printError(err)
	return exitCode(err)
}

// Command is the whole tree of commands, for printing manuals.
func Command() *cobra.Command {
	return newApp(Process{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard, Env: func(string) string { return "" }}).command()
}

func (a *app) command() *cobra.Command {
	root := a.noun("keepward", "Backup and recovery of computers",
		`Keepward protects computers onto repositories, driven from one backup server.

A first backup, on one machine:
  keepward dev --data-dir /var/lib/keepward`)
	root.Example = "  keepward status"
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.errOut)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage("%w", err) })
	a.globalFlags(root)
	root.AddCommand(
		a.loginCommand(), a.statusCommand(), a.versionCommand(),
		a.tokenCommand(), a.computerCommand(), a.groupCommand(), a.repositoryCommand(), a.jobCommand(),
		a.sessionCommand(), a.resourceCommand(), a.pointCommand(), a.restoreCommand(), a.extractCommand(),
		a.credentialCommand(), a.settingCommand(), a.windowCommand(), a.activityCommand(), a.limitCommand(), a.priorityCommand(), a.trafficCommand(), a.notifyCommand(),
		a.agentPackageCommand(),
		a.userCommand(), a.signOnCommand(), a.apiTokenCommand(), a.approvalCommand(), a.auditCommand(),
		a.applyCommand(), a.exportCommand(), a.benchmarkCommand(),
	)
	root.AddCommand(a.roleCommands()...)
	return root
}

func (a *app) globalFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&a.config, "config", "", "client file with address, certificate and token (or KEEPWARD_CONFIG)")
	f.VarP(&a.format, "output", "o", "table, wide, json or yaml")
	f.StringVar(&a.key, "idempotency-key", "", "do what this key was used for before only once, for a day")
	f.BoolVar(&a.quiet, "quiet", false, "no progress and no remarks")
	f.BoolVar(&a.noColor, "no-color", false, "no colours (or NO_COLOR)")
	noError(root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "wide", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp)))
}

// noun is a command that only holds others. Called by itself it is wrong usage.
func (a *app) noun(use, short, long string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long, Args: cobra.ArbitraryArgs,
		DisableFlagsInUseLine: true, SuggestionsMinimumDistance: 2,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				cmd.SetOut(a.errOut)
				_ = cmd.Help() // it only prints
				return usage("%s wants a command", cmd.CommandPath())
			}
			err := usage("%s has no command %q", cmd.CommandPath(), args[0])
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				return err.WithHint("did you mean %s?", strings.Join(near, ", "))
			}
			return err.WithHint("see %s --help", cmd.CommandPath())
		},
	}
}

// usage is an error of the words on the command line.
func usage(format string, args ...any) *errs.Error {
	return errs.New(errs.Invalid, "command.usage", format, args...)
}

// exactly wants these arguments, by name.
func exactly(names ...string) cobra.PositionalArgs { return between(len(names), names...) }

// between wants the first least of these arguments, and takes the others too.
func between(least int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usage("%s wants %s", cmd.CommandPath(), strings.Join(names[len(args):least], " and ")).
				WithHint("for instance: %s", firstExample(cmd))
		case len(args) > len(names):
			return usage("%s does not know what to do with %q", cmd.CommandPath(), args[len(names)]).
				WithHint("for instance: %s", firstExample(cmd))
		}
		return nil
	}
}

// atLeast wants one of these arguments or more.
func atLeast(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usage("%s wants %s", cmd.CommandPath(), name).WithHint("for instance: %s", firstExample(cmd))
		}
		return nil
	}
}

// required is the error for flags that are missing.
func required(cmd *cobra.Command, flags ...string) error {
	for _, name := range flags {
		if f := cmd.Flags().Lookup(name); f.Value.String() == "" || f.Value.String() == "[]" {
			return usage("%s wants --%s", cmd.CommandPath(), name).WithHint("for instance: %s", firstExample(cmd))
		}
	}
	return nil
}

func firstExample(cmd *cobra.Command) string {
	line, _, _ := strings.Cut(strings.TrimSpace(cmd.Example), "\n")
	return strings.TrimSpace(line)
}

// noError is for calls that fail only when a command is put together wrongly.
func noError(err error) {
	if err != nil {
		panic(err)
	}
}

// isInterrupt says whether the user or the system ended the command.
func isInterrupt(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, context.Canceled)
}
