package power

import (
	"context"
	"unsafe"

	"golang.org/x/sys/windows"
)

// systemPowerStatus is SYSTEM_POWER_STATUS of winbase.h.
type systemPowerStatus struct {
	acLine, batteryFlag, batteryPercent, systemFlag byte
	lifeTime, fullLifeTime                          uint32
}

var getSystemPowerStatus = windows.NewLazySystemDLL("kernel32.dll").NewProc("GetSystemPowerStatus")

// Read looks. Whether the network is metered is not found out.
func Read(context.Context) State {
	const onBattery, unknown = 0, 255
	var s systemPowerStatus
	if ok, _, _ := getSystemPowerStatus.Call(uintptr(unsafe.Pointer(&s))); ok == 0 || s.acLine != onBattery {
		return State{}
	}
	if s.batteryPercent == unknown {
		s.batteryPercent = 0
	}
	return State{Battery: true, Charge: int(s.batteryPercent)}
}
