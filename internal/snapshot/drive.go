package snapshot

import (
	"cmp"
	"slices"
	"strings"
)

// drive is a volume as Windows tells of it.
type drive struct {
	// name is that of the volume, which begins with volumePrefix; empty: it has none, as what lies in
	// the network, or is a directory that has a letter.
	name   string
	places []string // where it is mounted, such as C:\ and D:\srv\
	format string   // its file system, such as NTFS; empty: it cannot be told
	// readOnly: the volume is.
	readOnly bool
}

// volumePrefix is how the name of a volume of this computer begins, and } and \ how it ends.
const volumePrefix = `\\?\Volume{`

const (
	typeNetwork = "network"
	typeUnknown = "unknown"
)

// volumesOf are drives as volumes, each once for each of its places: those above before those within
// them.
func volumesOf(drives []drive) []Volume {
	var out []Volume
	for _, d := range drives {
		for _, place := range d.places {
			v := Volume{Root: "/", Mount: place, Type: cmp.Or(d.format, typeUnknown), Device: d.name, Source: d.name, ReadOnly: d.readOnly}
			if len(place) > len(`C:\`) {
				v.Mount = strings.TrimRight(place, `\`)
			}
			if d.name == "" {
				v.Device, v.Source = v.Mount, v.Mount
			}
			out = append(out, v)
		}
	}
	slices.SortStableFunc(out, func(a, b Volume) int { return cmp.Compare(plain(a.Mount), plain(b.Mount)) })
	for i := range out {
		out[i].ID = i + 1
		for _, above := range out[:i] {
			if within(out[i].Mount, above.Mount) {
				out[i].Parent = above.ID // the last is the innermost: sorted, those above come first
			}
		}
	}
	return out
}

// listed are the texts of a list as Windows answers one: each ends with a zero, and the last is empty.
func listed(list []uint16, text func([]uint16) string) (out []string) {
	for {
		end := slices.Index(list, 0)
		if end <= 0 {
			return out
		}
		out = append(out, text(list[:end]))
		list = list[end+1:]
	}
}
