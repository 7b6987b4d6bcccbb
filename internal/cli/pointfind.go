package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

// findFlags are what a search asks for beside the name.
type findFlags struct {
	computer, point, larger, smaller, after, before string
	types                                           []string
}

func (a *app) pointFind() *cobra.Command {
	var x findFlags
	cmd := &cobra.Command{
		Use: "find [GLOB]", Short: "Find files by name, size, time and type in restore points",
		Long: `Prints a line for each version of each file that fits: a version is what has the same type, size, time of change and content. The line says in how many points it is, and from which to which.

Without --point all points are searched. A pattern with a slash is matched against the whole path, another against the name; all that is given must fit.

With -o json the answer can be given to 'keepward restore files --from-find'.`,
		Example: "  keepward point find '*.odt' --computer web1\n" +
			"  keepward point find '/srv/**/report*' --computer web1 --changed-after -30d --larger 1MB\n" +
			"  keepward point find --computer web1 --point latest --type symlink",
		Args: between(0, "a pattern"),
	}
	a.computerFlag(cmd, &x.computer)
	f := cmd.Flags()
	f.StringVar(&x.point, "point", "", "only in this point")
	f.StringArrayVar(&x.types, "type", nil, "file, dir, symlink, char, block, fifo or socket; may be repeated")
	f.StringVar(&x.larger, "larger", "", "files of this size or more")
	f.StringVar(&x.smaller, "smaller", "", "files of this size or less")
	f.StringVar(&x.after, "changed-after", "", "changed at this time or later")
	f.StringVar(&x.before, "changed-before", "", "changed before this time")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		req, err := a.findRequest(x, args)
		if err != nil {
			return err
		}
		return a.find(ctx, c, req)
	})
	return cmd
}

func (a *app) findRequest(x findFlags, args []string) (*keepwardv1.FindRequest, error) {
	req := &keepwardv1.FindRequest{Computer: x.computer, Types: x.types}
	if len(args) > 0 {
		req.Glob = args[0]
	}
	var err error
	if x.point != "" {
		if req.Point, err = a.pointName(x.point); err != nil {
			return nil, err
		}
	}
	if x.larger != "" {
		if req.MinSize, err = parseSize(x.larger); err != nil {
			return nil, err
		}
	}
	if x.smaller != "" {
		most, err := parseSize(x.smaller)
		if err != nil {
			return nil, err
		}
		req.MaxSize = &most
	}
	for _, bound := range []struct {
		text string
		to   **timestamppb.Timestamp
	}{{x.after, &req.After}, {x.before, &req.Before}} {
		if bound.text == "" {
			continue
		}
		at, err := parseTime(bound.text, a.now(), a.local)
		if err != nil {
			return nil, err
		}
		*bound.to = timestamppb.New(at)
	}
	return req, nil
}

func (a *app) find(ctx context.Context, c *client, req *keepwardv1.FindRequest) error {
	s, found := &stream{a: a, name: "found"}, false
	err := receive(ctx, c, c.points.Find, req, func(m *keepwardv1.FindResponse) error {
		found = true
		explain(m.GetEntry())
		if a.format.machine() {
			return s.add(m)
		}
		e := m.GetEntry()
		_, err := fmt.Fprintf(a.out, "%s  %s  %s  %s %12s  %s  %s\n", m.GetPoint()[:min(shortID, len(m.GetPoint()))], a.inPoints(m), safe(m.GetComputer()),
			mode(e), entrySize(e), a.stamp(e.GetMtime()), safe(string(e.GetPath())))
		return err
	})
	if err != nil {
		return err
	}
	if !found {
		a.remark("nothing fits; a pattern stands for the whole name, parts of one are found by '*part*'")
	}
	return s.close()
}

// inPoints says in how many points a version is, and of when they are.
func (a *app) inPoints(m *keepwardv1.FindResponse) string {
	if m.GetPoints() <= 1 {
		return fmt.Sprintf("1 point, %s", a.stamp(m.GetTime()))
	}
	return fmt.Sprintf("%d points, %s to %s", m.GetPoints(), a.stamp(m.GetFirstTime()), a.stamp(m.GetTime()))
}
