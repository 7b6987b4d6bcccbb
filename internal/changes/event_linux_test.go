package changes

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// info is a record of an event.
func info(typ byte, handle, name string) []byte {
	b := []byte{typ, 0, 0, 0}
	b = append(b, make([]byte, 8)...)
	b = binary.NativeEndian.AppendUint32(b, uint32(len(handle)))
	b = append(binary.NativeEndian.AppendUint32(b, 1), handle...)
	if typ != unix.FAN_EVENT_INFO_TYPE_FID && typ != unix.FAN_EVENT_INFO_TYPE_DFID {
		b = append(append(b, name...), 0)
	}
	for len(b)%4 > 0 {
		b = append(b, 0)
	}
	binary.NativeEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

func event(mask uint64, infos ...[]byte) []byte {
	body := bytes.Join(infos, nil)
	b := binary.NativeEndian.AppendUint32(nil, uint32(24+len(body)))
	b = append(b, unix.FANOTIFY_METADATA_VERSION, 0, 24, 0)
	b = binary.NativeEndian.AppendUint64(b, mask)
	return append(append(b, make([]byte, 8)...), body...)
}

func TestEventsBecomeFacts(t *testing.T) {
	b := event(unix.FAN_CREATE|unix.FAN_MODIFY, info(unix.FAN_EVENT_INFO_TYPE_DFID_NAME, "dir1", "a"), info(unix.FAN_EVENT_INFO_TYPE_FID, "file", ""))
	b = append(b, event(unix.FAN_RENAME|unix.FAN_ONDIR, info(unix.FAN_EVENT_INFO_TYPE_OLD_DFID_NAME, "dir1", "x"),
		info(unix.FAN_EVENT_INFO_TYPE_NEW_DFID_NAME, "dir2", "y"), info(unix.FAN_EVENT_INFO_TYPE_FID, "sub1", ""))...)
	b = append(b, event(unix.FAN_Q_OVERFLOW)...)
	b = append(b, event(unix.FAN_ATTRIB, info(unix.FAN_EVENT_INFO_TYPE_FID, "file", ""))...)
	var got []string
	lost, err := readEvents(b, func(f *fact) error {
		again, err := decodeFact(f.encode(nil))
		if err != nil || again.what != f.what || !bytes.Equal(again.dir, f.dir) || !bytes.Equal(again.name, f.name) || !bytes.Equal(again.target, f.target) {
			t.Errorf("%v: %v, %v", f, again, err)
		}
		tail := func(h []byte) string { return string(h[min(4, len(h)):]) }
		got = append(got, tail(f.dir)+"/"+string(f.name)+"="+tail(f.target))
		return nil
	})
	if err != nil || !lost {
		t.Fatal(lost, err)
	}
	want := []string{"dir1/a=file", "dir1/x=sub1", "dir2/y=sub1", "/=file"}
	if len(got) != len(want) {
		t.Fatal(got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%q, want %q", got[i], want[i])
		}
	}
}

func FuzzEvents(f *testing.F) {
	f.Add(event(unix.FAN_CREATE, info(unix.FAN_EVENT_INFO_TYPE_DFID_NAME, "dir1", "a"), info(unix.FAN_EVENT_INFO_TYPE_FID, "file", "")))
	f.Add(event(unix.FAN_RENAME, info(unix.FAN_EVENT_INFO_TYPE_OLD_DFID_NAME, "dir1", "x"), info(unix.FAN_EVENT_INFO_TYPE_NEW_DFID_NAME, "dir2", "y")))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := readEvents(b, func(f *fact) error {
			if _, err := decodeFact(f.encode(nil)); err != nil {
				t.Fatal(err)
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEvent) {
			t.Fatal(err)
		}
		_, _ = decodeFact(b)
	})
}
