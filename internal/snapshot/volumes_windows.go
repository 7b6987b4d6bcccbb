package snapshot

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/windows"
)

// Volumes are what is mounted here: at letters, in folders, and what has a letter and lies elsewhere.
func Volumes() ([]Volume, error) {
	drives, err := mounted()
	if err != nil {
		return nil, fmt.Errorf("list the volumes: %w", err)
	}
	others, err := lettered(drives)
	if err != nil {
		return nil, fmt.Errorf("list the drives: %w", err)
	}
	return volumesOf(append(drives, others...)), nil
}

// kinds are the providers of this system, in the order in which they are tried.
func kinds(mounts string) []Provider { return []Provider{NewVSS(systemVSS(), mounts), NewNone()} }

// mounted are the volumes of this computer that have a place.
func mounted() ([]drive, error) {
	var name [windows.MAX_PATH + 1]uint16
	find, err := windows.FindFirstVolume(&name[0], uint32(len(name)))
	if err != nil {
		return nil, err
	}
	defer func() { _ = windows.FindVolumeClose(find) }() // only read from
	var out []drive
	for {
		places, err := placesOf(&name[0])
		if err != nil {
			return nil, err
		}
		if len(places) > 0 {
			d := drive{name: windows.UTF16ToString(name[:]), places: places}
			d.look(&name[0])
			out = append(out, d)
		}
		if err := windows.FindNextVolume(find, &name[0], uint32(len(name))); errors.Is(err, windows.ERROR_NO_MORE_FILES) {
			return out, nil
		} else if err != nil {
			return nil, err
		}
	}
}

// placesOf are the letters and folders at which a volume is mounted.
func placesOf(name *uint16) ([]string, error) {
	buf := make([]uint16, windows.MAX_PATH)
	for {
		var need uint32
		err := windows.GetVolumePathNamesForVolumeName(name, &buf[0], uint32(len(buf)), &need)
		switch {
		case errors.Is(err, windows.ERROR_MORE_DATA) && int(need) > len(buf):
			buf = make([]uint16, need)
		case err != nil:
			return nil, err
		default:
			return listed(buf, windows.UTF16ToString), nil
		}
	}
}

// look finds out which file system a volume has. One without a medium, or that is locked, does not
// tell: nobody can read it either.
func (d *drive) look(root *uint16) {
	var format [windows.MAX_PATH + 1]uint16
	var flags uint32
	if windows.GetVolumeInformation(root, nil, 0, nil, nil, &flags, &format[0], uint32(len(format))) == nil {
		d.format, d.readOnly = windows.UTF16ToString(format[:]), flags&windows.FILE_READ_ONLY_VOLUME != 0
	}
}

// lettered are the letters that no volume of this computer has. What lies in the network is not asked:
// it may not answer.
func lettered(drives []drive) ([]drive, error) {
	buf := make([]uint16, 26*len(`C:\ `)+1) // as many letters as there are
	if _, err := windows.GetLogicalDriveStrings(uint32(len(buf)), &buf[0]); err != nil {
		return nil, err
	}
	var out []drive
	for _, letter := range listed(buf, windows.UTF16ToString) {
		if slices.ContainsFunc(drives, func(d drive) bool { return slices.Contains(d.places, letter) }) {
			continue
		}
		root, err := windows.UTF16PtrFromString(letter)
		if err != nil {
			return nil, err
		}
		d := drive{places: []string{letter}}
		switch windows.GetDriveType(root) {
		case windows.DRIVE_NO_ROOT_DIR:
			continue
		case windows.DRIVE_REMOTE:
			d.format = typeNetwork
		default:
			d.look(root)
		}
		out = append(out, d)
	}
	return out, nil
}
