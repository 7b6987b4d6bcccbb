package cli

import (
	"cmp"
	"context"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

func (a *app) sessionSpeed() *cobra.Command {
	return &cobra.Command{
		Use: "speed N", Short: "Show how fast the tasks of a session were, over their time",
		Long: "Prints for each task what it read, sent and stored a second, step by step. The steps are 2 s at first and longer the longer a task takes:\n" +
			"there are at most 240. Of a restore, 'stored' is what was written to the computer.",
		Example: "  keepward session speed 12\n  keepward session speed 12 -o json",
		Args:    exactly("the number of a session"),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			id, err := parseSession(args[0])
			if err != nil {
				return err
			}
			s, err := call(ctx, c.sessions.GetSession, &keepwardv1.GetSessionRequest{Id: id})
			if err != nil {
				return err
			}
			m, err := call(ctx, c.details.GetSessionSpeed, &keepwardv1.GetSessionSpeedRequest{Id: id})
			if err != nil {
				return err
			}
			return a.print(m, func() { a.showSpeed(s.GetSession(), m.GetTasks()) })
		}),
	}
}

func (a *app) showSpeed(s *keepwardv1.Session, tasks []*keepwardv1.TaskSpeed) {
	names := map[string]string{}
	for _, t := range s.GetTasks() {
		names[t.GetId()] = cmp.Or(t.GetComputer(), t.GetRepository(), s.GetRepository())
	}
	t := a.newTable("OF", "FROM", ">FOR", ">READ", ">SENT", ">STORED")
	for _, one := range tasks {
		every, start := one.GetEvery().AsDuration(), one.GetStart().AsTime()
		for i, running := range one.GetRunning() {
			from := start.Add(time.Duration(i) * every)
			// The last step may not be full.
			took := max(min(one.GetUntil().AsTime().Sub(from), every), every/4)
			row := []string{names[one.GetTask()], a.stamp(timestamppb.New(from)), span(every)}
			for _, list := range [][]int64{one.GetReadBytes(), one.GetSentBytes(), one.GetStoredBytes()} {
				switch {
				case !running:
					row = append(row, "not running")
				case i < len(list):
					row = append(row, size(int64(float64(list[i])/took.Seconds()))+"/s")
				default:
					row = append(row, "")
				}
			}
			t.row(row...)
		}
	}
	t.print()
}
