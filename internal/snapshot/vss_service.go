package snapshot

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"keepward/internal/errs"
)

// VSSService is the service of Windows that makes shadow copies.
type VSSService interface {
	// Open makes the object for one backup. It and all that comes of it belong to the thread that
	// calls, until Release. An Unfit: there is no such service.
	Open() (VSSBackup, error)
	// Readable answers why the topmost directory of a shadow copy cannot be looked at.
	Readable(device string) error
}

// VSSBackup is the object for one backup, IVssBackupComponents, as far as it is used. Its methods are
// those of their names there; errors of Windows are HResults.
type VSSBackup interface {
	InitializeForBackup() error
	SetContext(c VSSContext) error
	// SetBackupState: a copy, of no components, of which nobody's backups of its own know.
	SetBackupState() error
	GatherWriterMetadata() (VSSAsync, error)
	IsVolumeSupported(volume string) (bool, error)
	StartSnapshotSet() (VSSID, error)
	AddToSnapshotSet(volume string) (VSSID, error)
	PrepareForBackup() (VSSAsync, error)
	DoSnapshotSet() (VSSAsync, error)
	GetSnapshotProperties(id VSSID) (VSSProperties, error)
	BackupComplete() (VSSAsync, error)
	AbortBackup() error
	// DeleteSnapshot removes one shadow copy.
	DeleteSnapshot(id VSSID) error
	// Release ends the object. The shadow copies of its set end with it, or with the process.
	Release()
}

// VSSAsync is what goes on in Windows meanwhile.
type VSSAsync interface {
	// Wait waits until it has ended, for d at most; an error: it has failed, or was cancelled.
	Wait(d time.Duration) (ended bool, err error)
	Cancel() error
	Release()
}

// VSSContext is what sort of shadow copies an object deals with.
type VSSContext uint32

const (
	// VSSCtxBackup: they are made with the help of the writers, are not persistent, and are released
	// by Windows when who made them is gone.
	VSSCtxBackup VSSContext = 0
	// VSSCtxAll: all there are; none can be made.
	VSSCtxAll VSSContext = 0xffffffff
)

// VSSProperties are those of a shadow copy that are asked for.
type VSSProperties struct {
	// Device is where it can be opened: \\?\GLOBALROOT\Device\HarddiskVolumeShadowCopyN.
	Device string
	// Volume is the name of the volume that it is of.
	Volume string
}

// VSSID is a GUID, as it lies in memory.
type VSSID struct {
	Data1        uint32
	Data2, Data3 uint16
	Data4        [8]byte
}

// String is an ID as vssadmin shows it.
func (id VSSID) String() string {
	return fmt.Sprintf("{%08x-%04x-%04x-%x-%x}", id.Data1, id.Data2, id.Data3, id.Data4[:2], id.Data4[2:])
}

// parseVSSID reads what String has written.
func parseVSSID(s string) (id VSSID, ok bool) {
	digits := strings.ReplaceAll(strings.Trim(s, "{}"), "-", "")
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) != 16 {
		return VSSID{}, false
	}
	for _, x := range b[:4] {
		id.Data1 = id.Data1<<8 | uint32(x)
	}
	id.Data2, id.Data3 = uint16(b[4])<<8|uint16(b[5]), uint16(b[6])<<8|uint16(b[7])
	copy(id.Data4[:], b[8:])
	return id, id.String() == s
}

// HResult is what a call of COM answers; it has failed where the highest bit is set.
type HResult uint32

// Answers that are looked for.
const (
	VSSNotFound   HResult = 0x80042308 // VSS_E_OBJECT_NOT_FOUND
	VSSInProgress HResult = 0x80042316 // VSS_E_SNAPSHOT_SET_IN_PROGRESS

	VSSPending   HResult = 0x00042309 // VSS_S_ASYNC_PENDING
	VSSFinished  HResult = 0x0004230a // VSS_S_ASYNC_FINISHED
	VSSCancelled HResult = 0x0004230b // VSS_S_ASYNC_CANCELLED
)

func (h HResult) Error() string {
	if m, ok := vssErrors[h]; ok {
		return fmt.Sprintf("%s (%#08x)", m.name, uint32(h))
	}
	return fmt.Sprintf("error %#08x", uint32(h))
}

// vssError is what an answer of Windows means to a backup.
type vssError struct {
	name string
	// kind is of a failure that is tried again: all are, since what stands in the way of writers and
	// volumes mostly does not for long.
	kind errs.Kind
	// unfit says why the volume has no shadow copies now, which no other try would change: it is read
	// as it is.
	unfit string
}

// vssErrors are the answers that are documented for the calls that are made; all others are failures,
// with their number.
var vssErrors = map[HResult]vssError{
	0x80070005: {name: "E_ACCESSDENIED", unfit: "the agent has not the rights of an administrator"},
	0x8007000e: {name: "E_OUTOFMEMORY", kind: errs.Unavailable},
	0x80070057: {name: "E_INVALIDARG", kind: errs.Internal},
	0x80070422: {name: "ERROR_SERVICE_DISABLED", unfit: "the service Volume Shadow Copy is switched off"},
	0x80040154: {name: "REGDB_E_CLASSNOTREG", unfit: "this Windows has no service Volume Shadow Copy"},
	0x8000ffff: {name: "E_UNEXPECTED", kind: errs.Unavailable},

	0x80042301:    {name: "VSS_E_BAD_STATE", kind: errs.Internal},
	0x80042302:    {name: "VSS_E_UNEXPECTED", kind: errs.Unavailable},
	0x80042304:    {name: "VSS_E_PROVIDER_NOT_REGISTERED", kind: errs.Unavailable},
	0x80042306:    {name: "VSS_E_PROVIDER_VETO", kind: errs.Unavailable},
	0x80042307:    {name: "VSS_E_PROVIDER_IN_USE", kind: errs.Busy},
	VSSNotFound:   {name: "VSS_E_OBJECT_NOT_FOUND", kind: errs.NotFound},
	VSSCancelled:  {name: "VSS_S_ASYNC_CANCELLED", kind: errs.Cancelled},
	0x8004230c:    {name: "VSS_E_VOLUME_NOT_SUPPORTED", unfit: vssNoSupport},
	0x8004230e:    {name: "VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER", unfit: vssNoSupport},
	0x8004230f:    {name: "VSS_E_UNEXPECTED_PROVIDER_ERROR", kind: errs.Unavailable},
	0x80042312:    {name: "VSS_E_MAXIMUM_NUMBER_OF_VOLUMES_REACHED", kind: errs.Unavailable},
	0x80042313:    {name: "VSS_E_FLUSH_WRITES_TIMEOUT", kind: errs.Unavailable},
	0x80042314:    {name: "VSS_E_HOLD_WRITES_TIMEOUT", kind: errs.Unavailable},
	0x80042315:    {name: "VSS_E_UNEXPECTED_WRITER_ERROR", kind: errs.Unavailable},
	VSSInProgress: {name: "VSS_E_SNAPSHOT_SET_IN_PROGRESS", kind: errs.Busy},
	0x80042317:    {name: "VSS_E_MAXIMUM_NUMBER_OF_SNAPSHOTS_REACHED", unfit: "the volume has as many shadow copies as it can"},
	0x80042318:    {name: "VSS_E_WRITER_INFRASTRUCTURE", kind: errs.Unavailable},
	0x80042319:    {name: "VSS_E_WRITER_NOT_RESPONDING", kind: errs.Unavailable},
	0x8004231b:    {name: "VSS_E_UNSUPPORTED_CONTEXT", kind: errs.Internal},
	0x8004231d:    {name: "VSS_E_VOLUME_IN_USE", kind: errs.Busy},
	0x8004231e:    {name: "VSS_E_MAXIMUM_DIFFAREA_ASSOCIATIONS_REACHED", unfit: "Windows has no room left to note shadow copies in"},
	0x8004231f:    {name: "VSS_E_INSUFFICIENT_STORAGE", unfit: "there is no room for a shadow copy"},
	0x80042325:    {name: "VSS_E_REVERT_IN_PROGRESS", kind: errs.Busy},
	0x80042327:    {name: "VSS_E_REBOOT_REQUIRED", kind: errs.Unavailable},
	0x80042328:    {name: "VSS_E_TRANSACTION_FREEZE_TIMEOUT", kind: errs.Unavailable},
	0x80042329:    {name: "VSS_E_TRANSACTION_THAW_TIMEOUT", kind: errs.Unavailable},
	0x8004232c:    {name: "VSS_E_NESTED_VOLUME_LIMIT", unfit: "it lies too deep in disks that are files of other volumes"},
	0x8004232d:    {name: "VSS_E_VOLUME_NOT_LOCAL", unfit: "it is no volume of this computer"},
	0x8004232e:    {name: "VSS_E_CLUSTER_TIMEOUT", kind: errs.Unavailable},
	0x800423f0:    {name: "VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT", kind: errs.Unavailable},
	0x800423f1:    {name: "VSS_E_WRITERERROR_OUTOFRESOURCES", kind: errs.Unavailable},
	0x800423f2:    {name: "VSS_E_WRITERERROR_TIMEOUT", kind: errs.Unavailable},
	0x800423f3:    {name: "VSS_E_WRITERERROR_RETRYABLE", kind: errs.Unavailable},
	0x800423f4:    {name: "VSS_E_WRITERERROR_NONRETRYABLE", kind: errs.Unavailable},
	0x800423ff:    {name: "VSS_E_RESYNC_IN_PROGRESS", kind: errs.Busy},
	0x80042400:    {name: "VSS_E_CLUSTER_ERROR", kind: errs.Unavailable},
}

const vssNoSupport = "Windows makes no shadow copies of it"

// vssFailed is a call that failed: an Unfit, or a failure that is tried again.
func vssFailed(call string, err error) error {
	var h HResult
	if !errors.As(err, &h) {
		return fmt.Errorf("%s: %w", call, err)
	}
	m, known := vssErrors[h]
	switch {
	case m.unfit != "":
		return unfit(fmt.Sprintf("%s (%s: %s)", m.unfit, call, m.name))
	case known:
		return errs.New(m.kind, "", "%s: %w", call, h)
	}
	return errs.New(errs.Unavailable, "", "%s: %w", call, h)
}
