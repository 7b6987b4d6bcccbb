package power

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

func TestSupplies(t *testing.T) {
	battery := func(status, capacity string, more ...string) string {
		return "type=Battery status=" + status + " capacity=" + capacity + " " + strings.Join(more, " ")
	}
	for _, c := range []struct {
		name string
		have map[string]string
		want State
	}{
		{"nothing", nil, State{}},
		{"a server", map[string]string{"AC": "type=Mains online=1"}, State{}},
		{"on battery", map[string]string{"AC": "type=Mains online=0", "BAT0": battery("Discharging", "43")}, State{Battery: true, Charge: 43}},
		{"charging", map[string]string{"AC": "type=Mains online=1", "BAT0": battery("Charging", "43")}, State{}},
		{"fed by USB, too weak", map[string]string{"AC": "type=Mains online=0", "usb": "type=USB online=1", "BAT0": battery("Discharging", "9")}, State{}},
		{"full, without a row for mains", map[string]string{"BAT0": battery("Full", "100")}, State{}},
		{"two by what they hold", map[string]string{"BAT0": battery("Discharging", "90", "energy_full=10000"), "BAT1": battery("Not", "10", "energy_full=30000")}, State{Battery: true, Charge: 30}},
		{"two, one does not tell what it holds", map[string]string{"BAT0": battery("Discharging", "90", "energy_full=10000"), "BAT1": battery("Unknown", "10")}, State{Battery: true, Charge: 50}},
		{"a mouse", map[string]string{"AC": "type=Mains online=0", "hid": battery("Discharging", "3", "scope=Device")}, State{}},
		{"an empty bay", map[string]string{"BAT1": battery("Discharging", "0", "present=0")}, State{}},
		{"no charge told", map[string]string{"BAT0": "type=Battery status=Discharging"}, State{Battery: true}},
		{"a charge that is none", map[string]string{"BAT0": battery("Discharging", "many")}, State{Battery: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, words := range c.have {
				if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
					t.Fatal(err)
				}
				for _, w := range strings.Fields(words) {
					key, value, _ := strings.Cut(w, "=")
					if err := os.WriteFile(filepath.Join(dir, name, key), []byte(value+"\n"), 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
			if got := supplies(dir); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
	if got := supplies(filepath.Join(t.TempDir(), "none")); got != (State{}) {
		t.Errorf("without the kernel's directory: %+v", got)
	}
}

// networkManager answers the one question that is asked of it.
type networkManager struct{ metered any }

func (n networkManager) Get(iface, property string) (dbus.Variant, *dbus.Error) {
	if iface != "org.freedesktop.NetworkManager" || property != "Metered" {
		return dbus.Variant{}, dbus.MakeFailedError(os.ErrInvalid)
	}
	return dbus.MakeVariant(n.metered), nil
}

func TestMetered(t *testing.T) {
	address := privateBus(t)
	connect := func(ctx context.Context) (*dbus.Conn, error) { return dbus.Connect(address, dbus.WithContext(ctx)) }
	if metered(t.Context(), connect) {
		t.Error("metered, and nobody manages the network")
	}
	bus, err := connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bus.Close() }()
	if _, err := bus.RequestName("org.freedesktop.NetworkManager", dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
	for value, want := range map[any]bool{uint32(0): false, uint32(1): true, uint32(2): false, uint32(3): true, uint32(4): false, "junk": false} {
		if err := bus.Export(networkManager{value}, "/org/freedesktop/NetworkManager", "org.freedesktop.DBus.Properties"); err != nil {
			t.Fatal(err)
		}
		if got := metered(t.Context(), connect); got != want {
			t.Errorf("%v: metered is %v", value, got)
		}
	}
	if metered(t.Context(), func(context.Context) (*dbus.Conn, error) { return nil, os.ErrNotExist }) {
		t.Error("metered, without a bus")
	}
}

// privateBus starts a bus of the test's own.
func privateBus(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("dbus-daemon"); err != nil {
		t.Skip("needs dbus-daemon")
	}
	cmd := exec.Command("dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address", "--address=unix:dir="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}
