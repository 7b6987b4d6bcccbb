package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/restore"
)

// layFlags say where things are laid and to whom they are given, of restore and extract alike.
type layFlags struct {
	maps, owners, groups []string
	ownerFile            string
}

func (x *layFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&x.maps, "map", nil, "FROM=TO: lay this path, and all below it, at another; may be repeated")
	f.StringArrayVar(&x.owners, "owner-map", nil, "OLD:NEW: give to user NEW what belonged to user OLD, by name or number; may be repeated")
	f.StringArrayVar(&x.groups, "group-map", nil, "OLD:NEW: the same for groups")
	f.StringVar(&x.ownerFile, "owner-map-file", "", "a file of such rules, one a line: user OLD NEW, or group OLD NEW")
}

// rules reads all of them.
func (x *layFlags) rules() (renames []restore.PathMap, owners []restore.OwnerMap, err error) {
	for _, m := range x.maps {
		from, to, ok := strings.Cut(m, "=")
		if !ok || !strings.HasPrefix(from, "/") || !strings.HasPrefix(to, "/") {
			return nil, nil, usage("--map %s: write FROM=TO, both full names, for instance /srv/www=/srv/new", m)
		}
		renames = append(renames, restore.PathMap{From: from, To: to})
	}
	for _, list := range []struct {
		flag  string
		group bool
		rules []string
	}{{"owner-map", false, x.owners}, {"group-map", true, x.groups}} {
		for _, rule := range list.rules {
			from, to, ok := strings.Cut(rule, ":")
			if !ok || from == "" || to == "" {
				return nil, nil, usage("--%s %s: write OLD:NEW, for instance ann:bob or 1000:1001", list.flag, rule)
			}
			owners = append(owners, restore.OwnerMap{Group: list.group, From: from, To: to})
		}
	}
	if x.ownerFile == "" {
		return renames, owners, nil
	}
	text, err := os.ReadFile(x.ownerFile)
	if err != nil {
		return nil, nil, usage("--owner-map-file: %v", err)
	}
	for n, line := range strings.Split(string(text), "\n") {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		switch {
		case len(f) == 0:
		case len(f) == 3 && (f[0] == "user" || f[0] == "group"):
			owners = append(owners, restore.OwnerMap{Group: f[0] == "group", From: f[1], To: f[2]})
		default:
			return nil, nil, usage("--owner-map-file %s, line %d: write user OLD NEW, or group OLD NEW", x.ownerFile, n+1)
		}
	}
	return renames, owners, nil
}

// into puts the rules into a request.
func (x *layFlags) into(req *keepwardv1.RestoreFilesRequest) error {
	renames, owners, err := x.rules()
	if err != nil {
		return err
	}
	for _, r := range renames {
		req.Renames = append(req.Renames, &keepwardv1.PathMap{From: []byte(r.From), To: []byte(r.To)})
	}
	for _, o := range owners {
		req.Owners = append(req.Owners, &keepwardv1.OwnerMap{Group: o.Group, From: o.From, To: o.To})
	}
	return nil
}

// readAll reads a file, or what is piped in for a -.
func (a *app) readAll(flag, name string) ([]byte, error) {
	var b []byte
	var err error
	if name == "-" {
		b, err = io.ReadAll(a.in)
	} else {
		b, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, usage("--%s: %v", flag, err)
	}
	return b, nil
}

// pathsFrom reads paths, one a line, or with a zero byte behind each where there is one.
func (a *app) pathsFrom(name string) (paths [][]byte, err error) {
	b, err := a.readAll("paths-from", name)
	if err != nil {
		return nil, err
	}
	end := byte('\n')
	if bytes.IndexByte(b, 0) >= 0 {
		end = 0
	}
	for r := bufio.NewReader(bytes.NewReader(b)); err == nil; {
		var p []byte
		p, err = r.ReadBytes(end)
		if p = bytes.TrimSuffix(p, []byte{end}); len(p) > 0 {
			paths = append(paths, p)
		}
	}
	if len(paths) == 0 {
		return nil, usage("--paths-from %s: there are no paths in it", name)
	}
	return paths, nil
}

// choice is what is restored of one point.
type choice struct {
	point string
	paths [][]byte
}

// fromFind reads what 'point find -o json' printed, or a part of it. Each file comes from the newest
// point that has it so; with a point all come from that. It answers whose files they are.
func (a *app) fromFind(name, point string) (computer string, list []choice, err error) {
	b, err := a.readAll("from-find", name)
	if err != nil {
		return "", nil, err
	}
	var all struct {
		Found []json.RawMessage `json:"found"`
	}
	if json.Unmarshal(b, &all) != nil {
		return "", nil, usage("--from-find %s: it is not what 'keepward point find -o json' prints", name)
	}
	at, seen := map[string]int{}, map[string]bool{}
	for _, raw := range all.Found {
		var m keepwardv1.FindResponse
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(raw, &m); err != nil || m.GetPoint() == "" || len(m.GetEntry().GetPath()) == 0 {
			return "", nil, usage("--from-find %s: it is not what 'keepward point find -o json' prints", name)
		}
		if computer != "" && m.GetComputer() != computer {
			return "", nil, usage("--from-find %s: it has files of %s and of %s; restore those of one at a time", name, computer, m.GetComputer())
		}
		computer = m.GetComputer()
		path := string(m.GetEntry().GetPath())
		if seen[path] && point == "" {
			return "", nil, usage("--from-find %s: it has two versions of %s; leave one of them in, or name a --point", name, safe(path))
		}
		of := m.GetPoint()
		if point != "" {
			of = point
		}
		if _, known := at[of]; !known {
			at[of] = len(list)
			list = append(list, choice{point: of})
		}
		if !seen[path] {
			list[at[of]].paths = append(list[at[of]].paths, []byte(path))
		}
		seen[path] = true
	}
	if len(list) == 0 {
		return "", nil, usage("--from-find %s: nothing was found", name)
	}
	return computer, list, nil
}
