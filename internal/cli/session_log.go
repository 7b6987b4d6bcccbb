package cli

import (
	"cmp"
	"context"
	"slices"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
)

func (a *app) sessionLog() *cobra.Command {
	var follow bool
	var level string
	req := &keepwardv1.ReadLogPageRequest{}
	cmd := &cobra.Command{
		Use: "log N", Short: "Print the log of a session",
		Long:    "Prints the log of a session, all of it or what is looked for. --search takes a text in a line, its code, its statuses, its actor or its path, in any case.",
		Example: "  keepward session log 12\n  keepward session log 12 -f\n  keepward session log 12 --level warning --search report",
		Args:    exactly("the number of a session"),
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the session is over")
	cmd.Flags().StringVar(&level, "level", "", "only lines of this severity and above: info, warning, error")
	cmd.Flags().StringVar(&req.Text, "search", "", "only lines with this text")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) (err error) {
		if req.Id, err = parseSession(args[0]); err != nil {
			return err
		}
		if level == "" && req.GetText() == "" {
			return a.printLog(ctx, c, req.GetId(), follow)
		}
		if follow {
			return usage("--follow goes with neither --level nor --search")
		}
		if req.Levels, err = levelsFrom(level); err != nil {
			return err
		}
		return a.printFound(ctx, c, req)
	})
	return cmd
}

// levelsFrom are the severities from one on.
func levelsFrom(level string) ([]string, error) {
	all := []string{"info", "warning", "error"}
	i := slices.Index(all, cmp.Or(level, "info"))
	switch {
	case i < 0:
		return nil, usage("--level %s is none of info, warning, error", level)
	case i == 0:
		return nil, nil
	}
	return all[i:], nil
}

// printFound prints the lines that are looked for. The server gives them page by page from the end on.
func (a *app) printFound(ctx context.Context, c *client, req *keepwardv1.ReadLogPageRequest) error {
	var pages [][]*keepwardv1.Event
	for {
		m, err := call(ctx, c.details.ReadLogPage, req)
		if err != nil {
			return err
		}
		pages = append(pages, m.GetEvents())
		if m.GetNext() == 0 {
			break
		}
		req.Before = m.GetNext()
	}
	s := &stream{a: a, name: "events"}
	for _, page := range slices.Backward(pages) {
		for _, e := range page {
			if err := a.printEvent(s, e, false); err != nil {
				return err
			}
		}
	}
	return s.close()
}

func (a *app) sessionErrors() *cobra.Command {
	req := &keepwardv1.ListFileErrorsRequest{}
	cmd := &cobra.Command{
		Use: "errors N", Short: "List the files that had errors or warnings in a session",
		Long:    "Lists the files of which the log has errors or warnings, by their path, each with what was said of it last and how many lines there are.",
		Example: "  keepward session errors 12\n  keepward session errors 12 --search 'permission denied'",
		Args:    exactly("the number of a session"),
	}
	cmd.Flags().StringVar(&req.Text, "search", "", "only files with this text in the path or in what is said of them")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) (err error) {
		if req.Id, err = parseSession(args[0]); err != nil {
			return err
		}
		s, err := call(ctx, c.sessions.GetSession, &keepwardv1.GetSessionRequest{Id: req.GetId()})
		if err != nil {
			return err
		}
		all := &keepwardv1.ListFileErrorsResponse{}
		for {
			m, err := call(ctx, c.details.ListFileErrors, req)
			if err != nil {
				return err
			}
			all.Files = append(all.Files, m.GetFiles()...)
			if req.After = m.GetNext(); req.GetAfter() == nil {
				break
			}
		}
		for _, f := range all.GetFiles() {
			f.GetNewest().PathText = safe(string(f.GetNewest().GetPath()))
		}
		return a.print(all, func() { a.showFileErrors(s.GetSession(), all.GetFiles()) })
	})
	return cmd
}

func (a *app) showFileErrors(s *keepwardv1.Session, files []*keepwardv1.FileError) {
	names := map[string]string{}
	for _, t := range s.GetTasks() {
		names[t.GetId()] = t.GetComputer()
	}
	t := a.newTable("FILE", "SEVERITY", "WHAT", ">LINES", "TIME", "COMPUTER", "|", "CODE")
	for _, f := range files {
		e := f.GetNewest()
		t.row(string(e.GetPath()), e.GetLevel(), a.localTimes(e.GetText()), count(f.GetLines()), a.stamp(e.GetTime()), names[e.GetTask()], e.GetCode())
	}
	t.print()
}
