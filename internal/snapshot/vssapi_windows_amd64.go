package snapshot

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// This file speaks COM to the service. It has not been run yet. Its rules:
//
//   - Each object lives on one thread, which belongs to it (vss.thread) and is of the multi-threaded
//     apartment from before it is made until it is released: nothing of ours is called back, and no
//     window's messages need be served.
//   - Methods are called by their places in the table of the class, which are those of its
//     declaration in vsbackup.h and vss.h, after the three of IUnknown.
//   - A VSS_ID that is passed by value has 16 bytes, of which the calling convention of amd64 passes
//     the address. On arm64 it does not: there this must not be built.

var (
	vssapi         = windows.NewLazySystemDLL("vssapi.dll")
	createBackup   = vssapi.NewProc("CreateVssBackupComponentsInternal") // what the header calls by the name without the last word
	freeProperties = vssapi.NewProc("VssFreeSnapshotPropertiesInternal")
	initSecurity   = windows.NewLazySystemDLL("ole32.dll").NewProc("CoInitializeSecurity")
)

// Places of methods. Of IUnknown:
const comRelease = 2

// Of IVssBackupComponents; what is not called is in the list as well, so that it can be compared.
const (
	_ = 3 + iota // GetWriterComponentsCount
	_            // GetWriterComponents
	vssInitializeForBackup
	vssSetBackupState
	_ // InitializeForRestore
	_ // SetRestoreState
	vssGatherWriterMetadata
	_ // GetWriterMetadataCount
	_ // GetWriterMetadata
	_ // FreeWriterMetadata
	_ // AddComponent
	vssPrepareForBackup
	vssAbortBackup
	_ // GatherWriterStatus
	_ // GetWriterStatusCount
	_ // FreeWriterStatus
	_ // GetWriterStatus
	_ // SetBackupSucceeded
	_ // SetBackupOptions
	_ // SetSelectedForRestore
	_ // SetRestoreOptions
	_ // SetAdditionalRestores
	_ // SetPreviousBackupStamp
	_ // SaveAsXML
	vssBackupComplete
	_ // AddAlternativeLocationMapping
	_ // AddRestoreSubcomponent
	_ // SetFileRestoreStatus
	_ // AddNewTarget
	_ // SetRangesFilePath
	_ // PreRestore
	_ // PostRestore
	vssSetContext
	vssStartSnapshotSet
	vssAddToSnapshotSet
	vssDoSnapshotSet
	vssDeleteSnapshots
	_ // ImportSnapshots
	_ // BreakSnapshotSet
	vssGetSnapshotProperties
	_ // Query
	vssIsVolumeSupported
	vssMethods // as many are asked for, from IUnknown on
)

// Neither is so by accident: the last place, and the size of VSS_SNAPSHOT_PROP on 64 bits.
var (
	_ [44]struct{}  = [vssIsVolumeSupported]struct{}{}
	_ [128]struct{} = [unsafe.Sizeof(vssProperties{})]struct{}{}
)

// Of IVssAsync.
const (
	asyncCancel = 3 + iota
	asyncWait
	asyncQueryStatus
)

// Constants of vss.h, of winerror.h and of objidl.h.
const (
	vssBackupCopy     = 5 // VSS_BT_COPY: what the writers note of their own backups stays as it is
	vssObjectSnapshot = 3 // VSS_OBJECT_SNAPSHOT

	comAgain = syscall.Errno(1)    // S_FALSE: the thread has been in the apartment
	comLate  = HResult(0x80010119) // RPC_E_TOO_LATE: the process has its security

	authnPacketPrivacy = 6    // RPC_C_AUTHN_LEVEL_PKT_PRIVACY
	impImpersonate     = 3    // RPC_C_IMP_LEVEL_IMPERSONATE
	dynamicCloaking    = 0x40 // EOAC_DYNAMIC_CLOAKING
)

// answered is an answer as an error: nil where it has not failed.
func answered(r uintptr) error {
	if h := HResult(uint32(r)); int32(h) < 0 {
		return h
	}
	return nil
}

// comObject is an object of COM: it begins with where its methods are.
type comObject struct{ methods *[vssMethods]uintptr }

// call calls a method. Addresses among the arguments must be made in the call itself: then what they
// point to stays where it is.
//
//go:uintptrescapes
func (o *comObject) call(method int, args ...uintptr) error {
	r, _, _ := syscall.SyscallN(o.methods[method], append([]uintptr{uintptr(unsafe.Pointer(o))}, args...)...)
	return answered(r)
}

// release gives the object back. Its answer is a count.
func (o *comObject) release() {
	_, _, _ = syscall.SyscallN(o.methods[comRelease], uintptr(unsafe.Pointer(o)))
}

// securityOnce has the process let the writers call back: VSS wants it before the first call. Nobody
// is kept out, since nothing is served but what VSS itself guards.
var securityOnce = sync.OnceValue(func() error {
	r, _, _ := initSecurity.Call(0, ^uintptr(0), 0, 0, authnPacketPrivacy, impImpersonate, 0, dynamicCloaking, 0)
	if err := answered(r); err != nil && err != comLate {
		return err
	}
	return nil
})

// vssSystem is the service of this computer.
type vssSystem struct{}

func systemVSS() VSSService { return vssSystem{} }

func (vssSystem) Open() (VSSBackup, error) {
	if err := createBackup.Find(); err != nil {
		return nil, unfit("this Windows has no service Volume Shadow Copy: " + err.Error())
	}
	if err := windows.CoInitializeEx(0, windows.COINIT_MULTITHREADED); err != nil && err != comAgain {
		return nil, fmt.Errorf("enter COM: %w", hresultOf(err))
	}
	err := securityOnce()
	var o *comObject
	if err == nil {
		r, _, _ := createBackup.Call(uintptr(unsafe.Pointer(&o)))
		err = answered(r)
	}
	if err == nil && o == nil {
		err = errors.New("no object was made")
	}
	if err != nil {
		windows.CoUninitialize()
		return nil, err
	}
	return vssBackup{o}, nil
}

// hresultOf is an error of a package that takes answers of COM for numbers of errors.
func hresultOf(err error) error {
	if n, ok := err.(syscall.Errno); ok {
		return HResult(uint32(n))
	}
	return err
}

// Readable looks at the directory, not at the device: that is what the separator makes of it.
func (vssSystem) Readable(device string) error {
	_, err := os.Stat(device + `\`)
	return err
}

// vssBackup is an IVssBackupComponents.
type vssBackup struct{ o *comObject }

func (b vssBackup) Release() {
	b.o.release()
	windows.CoUninitialize()
}

func (b vssBackup) InitializeForBackup() error { return b.o.call(vssInitializeForBackup, 0) }

func (b vssBackup) SetContext(c VSSContext) error { return b.o.call(vssSetContext, uintptr(c)) }

func (b vssBackup) SetBackupState() error {
	const noComponents, noSystemState, wholeFiles = 0, 0, 0
	return b.o.call(vssSetBackupState, noComponents, noSystemState, vssBackupCopy, wholeFiles)
}

func (b vssBackup) GatherWriterMetadata() (VSSAsync, error) { return b.begin(vssGatherWriterMetadata) }

func (b vssBackup) PrepareForBackup() (VSSAsync, error) { return b.begin(vssPrepareForBackup) }

func (b vssBackup) DoSnapshotSet() (VSSAsync, error) { return b.begin(vssDoSnapshotSet) }

func (b vssBackup) BackupComplete() (VSSAsync, error) { return b.begin(vssBackupComplete) }

// begin calls a method that answers what goes on.
func (b vssBackup) begin(method int) (VSSAsync, error) {
	var o *comObject
	if err := b.o.call(method, uintptr(unsafe.Pointer(&o))); err != nil {
		return nil, err
	}
	if o == nil {
		return nil, errors.New("nothing was begun")
	}
	return vssAsync{o}, nil
}

func (b vssBackup) AbortBackup() error { return b.o.call(vssAbortBackup) }

func (b vssBackup) IsVolumeSupported(volume string) (bool, error) {
	name, err := windows.UTF16PtrFromString(volume)
	if err != nil {
		return false, err
	}
	var whichever VSSID
	var yes int32
	err = b.o.call(vssIsVolumeSupported, uintptr(unsafe.Pointer(&whichever)), uintptr(unsafe.Pointer(name)), uintptr(unsafe.Pointer(&yes)))
	return yes != 0, err
}

func (b vssBackup) StartSnapshotSet() (VSSID, error) {
	var id VSSID
	err := b.o.call(vssStartSnapshotSet, uintptr(unsafe.Pointer(&id)))
	return id, err
}

func (b vssBackup) AddToSnapshotSet(volume string) (VSSID, error) {
	name, err := windows.UTF16PtrFromString(volume)
	if err != nil {
		return VSSID{}, err
	}
	var whichever, id VSSID // the provider that Windows itself chooses
	err = b.o.call(vssAddToSnapshotSet, uintptr(unsafe.Pointer(name)), uintptr(unsafe.Pointer(&whichever)), uintptr(unsafe.Pointer(&id)))
	return id, err
}

func (b vssBackup) DeleteSnapshot(id VSSID) error {
	const force = 1
	var removed int32
	var not VSSID
	return b.o.call(vssDeleteSnapshots, uintptr(unsafe.Pointer(&id)), vssObjectSnapshot, force, uintptr(unsafe.Pointer(&removed)), uintptr(unsafe.Pointer(&not)))
}

// vssProperties is VSS_SNAPSHOT_PROP. Its texts are of the heap of COM.
type vssProperties struct {
	id, set                                   VSSID
	count                                     int32
	device, volume                            *uint16
	origin, service, exposedName, exposedPath *uint16
	provider                                  VSSID
	attributes                                int32
	created                                   int64
	state                                     int32
}

func (b vssBackup) GetSnapshotProperties(id VSSID) (VSSProperties, error) {
	var p vssProperties
	if err := b.o.call(vssGetSnapshotProperties, uintptr(unsafe.Pointer(&id)), uintptr(unsafe.Pointer(&p))); err != nil {
		return VSSProperties{}, err
	}
	out := VSSProperties{Device: windows.UTF16PtrToString(p.device), Volume: windows.UTF16PtrToString(p.volume)}
	if freeProperties.Find() == nil {
		_, _, _ = freeProperties.Call(uintptr(unsafe.Pointer(&p))) // answers nothing
	}
	return out, nil
}

// vssAsync is an IVssAsync.
type vssAsync struct{ o *comObject }

func (a vssAsync) Release() { a.o.release() }

func (a vssAsync) Cancel() error { return a.o.call(asyncCancel) }

func (a vssAsync) Wait(d time.Duration) (bool, error) {
	if err := a.o.call(asyncWait, uintptr(uint32(d.Milliseconds()))); err != nil {
		return false, err
	}
	state := VSSPending
	if err := a.o.call(asyncQueryStatus, uintptr(unsafe.Pointer(&state)), 0); err != nil {
		return false, err
	}
	switch {
	case state == VSSPending:
		return false, nil
	case state == VSSCancelled:
		return true, VSSCancelled
	}
	return true, answered(uintptr(state))
}
