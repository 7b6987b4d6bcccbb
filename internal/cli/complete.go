package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
)

// completeWithin bounds a completion: a shell that hangs is worse than no names.
const completeWithin = 2 * time.Second

// lister fetches names of one kind.
type lister func(ctx context.Context, c *client) ([]string, error)

// complete offers names of the server for the first argument of a command.
func (a *app) complete(names lister) cobra.CompletionFunc {
	flag := a.completeFlag(names)
	return func(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return flag(cmd, args, prefix)
	}
}

// completeFlag offers names of the server for a flag.
func (a *app) completeFlag(names lister) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
		defer cancel()
		c := a.connect()
		defer c.close()
		list, err := names(ctx, c)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}

func computerNames(ctx context.Context, c *client) ([]string, error) {
	m, err := call(ctx, c.computers.ListComputers, &keepwardv1.ListComputersRequest{})
	return namesOf(m.GetComputers()), err
}

func repositoryNames(ctx context.Context, c *client) ([]string, error) {
	m, err := call(ctx, c.repositories.ListRepositories, &keepwardv1.ListRepositoriesRequest{})
	return namesOf(m.GetRepositories()), err
}

func transportNames(ctx context.Context, c *client) ([]string, error) {
	m, err := call(ctx, c.repositories.ListRepositories, &keepwardv1.ListRepositoriesRequest{})
	return namesOf(m.GetTransports()), err
}

func jobNames(ctx context.Context, c *client) ([]string, error) {
	m, err := call(ctx, c.jobs.ListJobs, &keepwardv1.ListJobsRequest{})
	return namesOf(m.GetJobs()), err
}

func namesOf[T interface{ GetName() string }](list []T) []string {
	names := make([]string, len(list))
	for i, v := range list {
		names[i] = v.GetName()
	}
	return names
}
