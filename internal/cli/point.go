package cli

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
)

func (a *app) pointCommand() *cobra.Command {
	cmd := a.noun("point", "Restore points: the states that can be brought back",
		"A point is named by its id or four letters of it and more, by latest, or by a time (the newest at or before it).")
	cmd.AddCommand(a.pointList(), a.pointShow(), a.pointBrowse(), a.pointFind(), a.pointDiff(), a.pointMount(),
		a.pointDelete(), a.pointUndelete(), a.pointHold(), a.pointRelease())
	return cmd
}

// computerFlag narrows latest and times to a computer.
func (a *app) computerFlag(cmd *cobra.Command, computer *string) {
	cmd.Flags().StringVar(computer, "computer", "", "of this computer; needed for latest and for a time")
	noError(cmd.RegisterFlagCompletionFunc("computer", a.completeFlag(computerNames)))
}

func (a *app) pointList() *cobra.Command {
	req := &keepwardv1.ListPointsRequest{}
	cmd := &cobra.Command{Use: "list", Short: "List restore points, the newest first", Example: "  keepward point list --computer web1", Args: exactly()}
	f := cmd.Flags()
	f.StringVar(&req.Computer, "computer", "", "only of this computer")
	f.StringVar(&req.Job, "job", "", "only of this job")
	f.StringVar(&req.Repository, "repository", "", "only in this repository")
	f.Int32Var(&req.Limit, "limit", 0, "how many (0: all)")
	f.BoolVar(&req.Deleted, "deleted", false, "the deleted ones too, as long as they can be undeleted")
	noError(cmd.RegisterFlagCompletionFunc("computer", a.completeFlag(computerNames)))
	noError(cmd.RegisterFlagCompletionFunc("job", a.completeFlag(jobNames)))
	noError(cmd.RegisterFlagCompletionFunc("repository", a.completeFlag(repositoryNames)))
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, _ []string) error {
		m, err := call(ctx, c.points.ListPoints, req)
		if err != nil {
			return err
		}
		return a.print(m, func() { a.pointTable(m.GetPoints()) })
	})
	return cmd
}

// shortID is how much of an id a table shows: enough to be one of millions.
const shortID = 12

func (a *app) pointTable(list []*keepwardv1.Point) {
	t := a.newTable("POINT", "TIME", "COMPUTER", "JOB", "KIND", ">FILES", ">SIZE", ">STORED", "STATE", "|", ">SESSION", "REPOSITORY", "KEPT UNTIL", "WHY", "FULL ID", "PARENT")
	for _, p := range list {
		n := p.GetCounters()
		id := p.GetId()
		t.row(id[:min(shortID, len(id))], a.stamp(p.GetTime()), p.GetComputer(), p.GetJob(), pointKind(p), count(n.GetDoneFiles()-n.GetDoneDirs()), size(n.GetDoneBytes()),
			storedBy(n), pointState(p), sessionNumber(p.GetSession()), p.GetRepository(), a.pointFate(p), pointWhy(p), id, p.GetParent())
	}
	t.print()
}

// storedBy is what the session of a point stored. Of a point that was read from a repository only
// the sums are known: such counters lack all that a session counts.
func storedBy(n *keepwardv1.Counters) string {
	if n.GetStoredBytes()+n.GetSentBytes()+n.GetChunks()+n.GetReadFiles()+n.GetReusedFiles()+n.GetPeakRssBytes() == 0 && n.GetDoneFiles() > 0 {
		return "–"
	}
	return size(n.GetStoredBytes())
}

func pointKind(p *keepwardv1.Point) string {
	if p.GetFull() {
		return "full"
	}
	return "incremental"
}

func pointState(p *keepwardv1.Point) string {
	state := p.GetCompleteness()
	if p.GetPartial() {
		state = "partial, " + state
	}
	switch {
	case p.GetDeleted() != nil:
		return "deleted, " + state
	case p.GetHeld():
		return "on hold, " + state
	}
	return state
}

// pointWhy is why a point is kept, or was deleted.
func pointWhy(p *keepwardv1.Point) string {
	if p.GetDeleted() != nil {
		return p.GetDeletedBecause()
	}
	return strings.Join(p.GetKeptBecause(), "; ")
}

func (a *app) pointShow() *cobra.Command {
	var computer string
	cmd := &cobra.Command{
		Use: "show P", Short: "Show a restore point", Example: "  keepward point show 3fa19c\n  keepward point show latest --computer web1",
		Args: exactly("a point"),
	}
	a.computerFlag(cmd, &computer)
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		name, err := a.pointName(args[0])
		if err != nil {
			return err
		}
		m, err := call(ctx, c.points.GetPoint, &keepwardv1.GetPointRequest{Name: name, Computer: computer})
		if err != nil {
			return err
		}
		return a.print(m.GetPoint(), func() { a.showPoint(m.GetPoint()) })
	})
	return cmd
}

func (a *app) showPoint(p *keepwardv1.Point) {
	a.fields("point", p.GetId(), "time", a.stamp(p.GetTime()), "computer", p.GetComputer(), "job", p.GetJob(), "session", sessionNumber(p.GetSession()),
		"repository", p.GetRepository(), "kind", pointKind(p), "parent", p.GetParent(), "state", pointState(p),
		"hold", p.GetHoldReason(), "deleted", a.stamp(p.GetDeleted()), "deleted because", p.GetDeletedBecause(), "can be undeleted until", a.stamp(p.GetPurgeAfter()),
		"kept because", strings.Join(p.GetKeptBecause(), "; "), "kept until", a.keptUntil(p),
		"include", strings.Join(p.GetFiles().GetInclude(), ", "), "exclude", strings.Join(p.GetFiles().GetExclude(), ", "))
	a.section("Counters")
	a.showCounters(p.GetCounters())
}

// keptUntil says how long a point that is not deleted is kept at least.
func (a *app) keptUntil(p *keepwardv1.Point) string {
	switch {
	case p.GetDeleted() != nil || len(p.GetKeptBecause()) == 0:
		return ""
	case p.GetKeptUntil() == nil:
		return "no end, as things stand"
	}
	return a.stamp(p.GetKeptUntil())
}

func (a *app) pointBrowse() *cobra.Command {
	var computer string
	var recursive bool
	cmd := &cobra.Command{
		Use: "browse P [PATH]", Short: "List what is in a restore point",
		Example: "  keepward point browse latest /srv/docs --computer web1\n  keepward point browse 3fa19c /etc -R",
		Args:    between(1, "a point", "PATH"),
	}
	a.computerFlag(cmd, &computer)
	cmd.Flags().BoolVarP(&recursive, "recursive", "R", false, "with all that is below")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		name, err := a.pointName(args[0])
		if err != nil {
			return err
		}
		req := &keepwardv1.BrowseRequest{Point: name, Computer: computer, Recursive: recursive}
		if len(args) == 2 {
			req.Path = []byte(args[1])
		}
		return a.browse(ctx, c, req)
	})
	return cmd
}

// browse fetches all pages. People see each page as it comes; JSON is one object.
func (a *app) browse(ctx context.Context, c *client, req *keepwardv1.BrowseRequest) error {
	var all *keepwardv1.BrowseResponse
	for {
		m, err := call(ctx, c.points.Browse, req)
		if err != nil {
			return err
		}
		if all == nil {
			all = m
		} else {
			all.Entries = append(all.Entries, m.GetEntries()...)
		}
		if req.Cursor = m.GetNextCursor(); len(req.Cursor) == 0 {
			break
		}
	}
	all.NextCursor = nil
	explain(all.GetSelf())
	for _, e := range all.GetEntries() {
		explain(e)
	}
	return a.print(all, func() {
		list := all.GetEntries()
		if len(list) == 0 && all.GetSelf() != nil && all.GetSelf().GetType() != "dir" {
			list = []*keepwardv1.Entry{all.GetSelf()}
		}
		a.entryTable(list, req.GetRecursive())
	})
}

// explain puts beside the exact bytes what people can read.
func explain(e *keepwardv1.Entry) {
	if e != nil {
		e.PathText, e.LinkTargetText = safe(string(e.GetPath())), safe(string(e.GetLinkTarget()))
	}
}

func (a *app) entryTable(list []*keepwardv1.Entry, paths bool) {
	t := a.newTable("MODE", "OWNER", "GROUP", ">SIZE", "CHANGED", "NAME", "|", ">LINKS", ">XATTRS", ">INODE")
	for _, e := range list {
		name := string(e.GetPath())
		if !paths {
			name = path.Base(name)
		}
		if e.GetType() == "symlink" {
			name += " -> " + string(e.GetLinkTarget())
		}
		t.row(mode(e), owner(e.GetUser(), e.GetUid()), owner(e.GetGroup(), e.GetGid()), entrySize(e), a.stamp(e.GetMtime()), name,
			strconv.FormatUint(e.GetLinks(), 10), strconv.FormatUint(uint64(e.GetXattrs()), 10), strconv.FormatUint(e.GetInode(), 10))
	}
	t.print()
}

func owner(name string, id uint64) string {
	if name != "" {
		return name
	}
	return strconv.FormatUint(id, 10)
}

func entrySize(e *keepwardv1.Entry) string {
	switch e.GetType() {
	case "file":
		return count(e.GetSize())
	case "char", "block":
		return fmt.Sprintf("%#x", e.GetRdev())
	}
	return ""
}

// typeLetters are those of ls.
var typeLetters = map[string]string{"dir": "d", "file": "-", "symlink": "l", "char": "c", "block": "b", "fifo": "p", "socket": "s"}

// mode shows type and permissions as ls does.
func mode(e *keepwardv1.Entry) string {
	letter, ok := typeLetters[e.GetType()]
	if !ok {
		letter = "?"
	}
	bits := []byte(fs.FileMode(e.GetMode() & 0o777).String()[1:])
	for _, special := range []struct {
		bit         uint32
		at          int
		with, alone byte
	}{{0o4000, 2, 's', 'S'}, {0o2000, 5, 's', 'S'}, {0o1000, 8, 't', 'T'}} {
		if e.GetMode()&special.bit == 0 {
			continue
		}
		if bits[special.at] == 'x' {
			bits[special.at] = special.with
		} else {
			bits[special.at] = special.alone
		}
	}
	return letter + string(bits)
}

func (a *app) pointDiff() *cobra.Command {
	req := &keepwardv1.DiffRequest{}
	cmd := &cobra.Command{
		Use: "diff P Q", Short: "Show what differs between two restore points",
		Long:    "Prints a line for each path: + only in the second, - only in the first, M other content, m other metadata, T another type.",
		Example: "  keepward point diff 3fa19c 77b01d\n  keepward point diff -1d latest --computer web1",
		Args:    exactly("a point", "another point"),
	}
	a.computerFlag(cmd, &req.Computer)
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		for i, to := range []*string{&req.A, &req.B} {
			name, err := a.pointName(args[i])
			if err != nil {
				return err
			}
			*to = name
		}
		s := &stream{a: a, name: "changes"}
		err := receive(ctx, c, c.points.Diff, req, func(m *keepwardv1.DiffResponse) error {
			explain(m.GetA())
			explain(m.GetB())
			if a.format.machine() {
				return s.add(m)
			}
			e := m.GetB()
			if e == nil {
				e = m.GetA()
			}
			_, err := fmt.Fprintf(a.out, "%s %s\n", m.GetChange(), safe(string(e.GetPath())))
			return err
		})
		if err != nil {
			return err
		}
		return s.close()
	})
	return cmd
}
