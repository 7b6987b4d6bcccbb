package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/mount"
	"keepward/internal/repo/seal"
	"keepward/internal/wire"
)

func (a *app) pointMount() *cobra.Command {
	var computer, point string
	var allowOther bool
	cmd := &cobra.Command{
		Use: "mount --computer C DIR", Short: "Show restore points as a read-only file system",
		Long: `Mounts all restore points of a computer at an empty directory: a folder for each, named by its time, and the link latest. With --point only that one, without a folder of its own.

It stays in the foreground; Ctrl-C, SIGTERM or umount ends it. What is read comes from the repository through the server; a point that is deleted meanwhile can no longer be read: hold it if you need it.`,
		Example: "  keepward point mount --computer web1 /mnt/web1\n  keepward point mount --computer web1 --point latest /mnt/web1 --allow-other",
		Args:    exactly("a directory"),
	}
	a.computerFlag(cmd, &computer)
	cmd.Flags().StringVar(&point, "point", "", "only this point")
	cmd.Flags().BoolVar(&allowOther, "allow-other", false, "let other users in, as far as the files' modes and ACLs let them")
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		s := &pointStore{c: c, computer: computer}
		if point != "" {
			name, err := a.pointName(point)
			if err != nil {
				return err
			}
			m, err := call(ctx, c.points.GetPoint, &keepwardv1.GetPointRequest{Name: name, Computer: computer})
			if err != nil {
				return err
			}
			s.computer, s.single = m.GetPoint().GetComputer(), m.GetPoint().GetId()
		} else if err := required(cmd, "computer"); err != nil {
			return err
		}
		dir, err := filepath.Abs(args[0])
		if err != nil {
			return usage("%s: %v", args[0], err)
		}
		return mount.Run(ctx, dir, mount.Options{
			Store: s, Computer: s.computer, Single: s.single != "", AllowOther: allowOther, Zone: a.local, Tell: a.tell,
		}, func() {
			what := "the restore points of " + s.computer + " are"
			if s.single != "" {
				what = "restore point " + s.single + " of " + s.computer + " is"
			}
			a.tell(dir + ": " + what + " mounted; Ctrl-C ends it, or: umount " + dir)
		})
	})
	return cmd
}

// tell prints a line about what goes on while a command runs.
func (a *app) tell(text string) { fmt.Fprintln(a.errOut, safe(text)) }

// pointStore reads points through the server: a mount.Store.
type pointStore struct {
	c        *client
	computer string
	single   string // the id of the only point that counts; empty: all do

	mu   sync.Mutex
	keys map[string]*seal.Keys
}

func (s *pointStore) Points(ctx context.Context) ([]mount.Point, error) {
	m, err := call(ctx, s.c.points.ListPoints, &keepwardv1.ListPointsRequest{Computer: s.computer})
	if err != nil {
		return nil, err
	}
	var list []mount.Point
	for _, p := range m.GetPoints() {
		if s.single == "" || p.GetId() == s.single {
			list = append(list, mount.Point{ID: p.GetId(), Repository: p.GetRepository(), Time: p.GetTime().AsTime(), Partial: p.GetPartial()})
		}
	}
	return list, nil
}

func (s *pointStore) Keys(ctx context.Context, repository string) (*seal.Keys, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.keys[repository]; k != nil {
		return k, nil
	}
	m, err := call(ctx, s.c.points.GetPointKeys, &keepwardv1.GetPointKeysRequest{Computer: s.computer, Repository: repository})
	if err != nil {
		return nil, err
	}
	k, err := wire.KeysFromProto(m.GetKeys())
	if err != nil {
		return nil, err
	}
	if s.keys == nil {
		s.keys = map[string]*seal.Keys{}
	}
	s.keys[repository] = k
	return k, nil
}

func (s *pointStore) Object(ctx context.Context, point string) (object []byte, err error) {
	err = receive(ctx, s.c, s.c.points.ReadRecords, &keepwardv1.ReadRecordsRequest{Point: point}, func(m *keepwardv1.ReadRecordsResponse) error {
		object = m.GetRecord()
		return wire.FromFailure(m.GetFailure())
	})
	if err == nil && object == nil {
		err = errs.New(errs.Unavailable, "browse.broken", "read restore point %s: there was no answer", point)
	}
	return object, err
}

func (s *pointStore) Records(ctx context.Context, point string, ids []seal.ID, fn func(int, []byte, error)) error {
	req := &keepwardv1.ReadRecordsRequest{Point: point}
	for i := range ids {
		req.Ids = append(req.Ids, ids[i][:])
	}
	return receive(ctx, s.c, s.c.points.ReadRecords, req, func(m *keepwardv1.ReadRecordsResponse) error {
		if int(m.GetAt()) >= len(ids) {
			return errs.New(errs.Internal, "", "read records: an answer to nothing that was asked")
		}
		fn(int(m.GetAt()), m.GetRecord(), wire.FromFailure(m.GetFailure()))
		return nil
	})
}
