package power

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

// busWait is how long the system's bus may take to answer: heartbeats wait for it.
const busWait = time.Second

// Read looks.
func Read(ctx context.Context) State {
	s := supplies("/sys/class/power_supply")
	s.Metered = metered(ctx, func(ctx context.Context) (*dbus.Conn, error) { return dbus.ConnectSystemBus(dbus.WithContext(ctx)) })
	return s
}

// supplies reads what the kernel knows of batteries and mains; see
// Documentation/ABI/testing/sysfs-class-power of Linux. A computer runs on its battery if one is being
// discharged and nothing else feeds it: a charger that is too weak does feed it.
func supplies(dir string) State {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return State{}
	}
	var fed, discharging bool
	var charges []charge
	for _, e := range entries {
		word := func(name string) string {
			b, err := os.ReadFile(filepath.Join(dir, e.Name(), name))
			if err != nil {
				return "" // not every driver has every attribute
			}
			return strings.TrimSpace(string(b))
		}
		if word("scope") == "Device" || word("present") == "0" {
			continue // of a mouse; or an empty bay
		}
		if word("type") != "Battery" {
			fed = fed || word("online") == "1"
			continue
		}
		discharging = discharging || word("status") == "Discharging"
		if percent, err := strconv.ParseFloat(word("capacity"), 64); err == nil && percent >= 0 && percent <= 100 {
			full, _ := strconv.ParseFloat(word("energy_full"), 64) // 0 where the driver counts otherwise
			charges = append(charges, charge{percent, full})
		}
	}
	if fed || !discharging {
		return State{}
	}
	return State{Battery: true, Charge: together(charges)}
}

// charge is that of one battery.
type charge struct{ percent, full float64 }

// together is the charge of all batteries in percent, by what they hold where all tell it.
func together(list []charge) int {
	var sum, weight float64
	for _, c := range list {
		if c.full <= 0 {
			sum, weight = 0, 0
			for _, c := range list {
				sum, weight = sum+c.percent, weight+1
			}
			break
		}
		sum, weight = sum+c.percent*c.full, weight+c.full
	}
	if weight == 0 {
		return 0
	}
	return int(sum / weight)
}

// What NetworkManager answers; see NMMetered in its D-Bus reference.
const (
	meteredYes   = 1
	meteredGuess = 3
)

// metered asks NetworkManager, if it runs. Where something else manages the network nothing is known.
func metered(ctx context.Context, connect func(context.Context) (*dbus.Conn, error)) bool {
	ctx, cancel := context.WithTimeout(ctx, busWait)
	defer cancel()
	bus, err := connect(ctx)
	if err != nil {
		return false
	}
	defer func() { _ = bus.Close() }()
	const manager = "org.freedesktop.NetworkManager"
	var v dbus.Variant
	err = bus.Object(manager, "/org/freedesktop/NetworkManager").
		CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", dbus.FlagNoAutoStart, manager, "Metered").Store(&v)
	if err != nil {
		return false
	}
	is, _ := v.Value().(uint32)
	return is == meteredYes || is == meteredGuess
}
