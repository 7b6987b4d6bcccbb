package test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"keepward/test/guest"
)

// lvmConfig: nobody in the guest makes device nodes or watches volumes but lvm itself, and nothing
// of it is kept.
const lvmConfig = `
activation { udev_sync = 0 udev_rules = 0 verify_udev_operations = 0 monitoring = 0 reserved_memory = 64 reserved_stack = 64 }
backup { backup = 0 archive = 0 }
devices { obtain_device_list_from_udev = 0 external_device_info_source = "none" use_devicesfile = 0 scan = [ "/dev" ] global_filter = [ "a|^/dev/loop|", "r|.*|" ] }
global { thin_check_executable = "" thin_dump_executable = "" thin_repair_executable = "" use_lvmpolld = 0 event_activation = 0 }
`

// Snapshots of logical volumes, classic and thin, on a kernel that has the device mapper: the tests
// of internal/snapshot run as the first process of a virtual machine.
func TestLVM(t *testing.T) {
	tools := []string{"lvm", "losetup", "mount", "umount", "mkfs.ext4", "mkfs.xfs"}
	needPrograms(t, append([]string{"qemu-system-x86_64"}, tools...)...)
	if runtime.GOARCH != "amd64" {
		leaveOut(t, "the guest runs programs of this machine, and is a PC")
	}
	kernel, err := guest.Kernel()
	if err != nil {
		leaveOut(t, err.Error())
	}
	dir := tempDir(t)
	build := exec.Command("go", "test", "-c", "-o", filepath.Join(dir, "init"), "keepward/internal/snapshot")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the tests: %v\n%s", err, out)
	}
	g := guest.Guest{
		Kernel: kernel, Modules: []string{"loop", "dm_mod", "dm_snapshot", "dm_thin_pool", "xfs"},
		Programs: tools, Links: map[string]string{}, Files: map[string]string{"/etc/lvm/lvm.conf": lvmConfig},
		Init: filepath.Join(dir, "init"), Args: []string{"-test.v", "-test.run=^TestLVM(Contract|Overflow)$", "-test.timeout=5m"},
		Memory: 1024,
	}
	for _, name := range []string{"lvs", "lvcreate", "lvremove", "vgcreate", "vgremove"} {
		g.Links[name] = "lvm"
	}
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute) // a machine under load; else it is one
	defer cancel()
	var console []string
	begin := time.Now()
	err = g.Run(ctx, dir, func(line string) { console = append(console, line) })
	said := strings.Join(console, "\n")
	passed := regexp.MustCompile(`(?m)^ *--- PASS: (\S+)`).FindAllStringSubmatch(said, -1)
	t.Logf("%d tests passed in the guest in %s", len(passed), time.Since(begin).Round(time.Millisecond))
	// Two tests, with two subjects of five tests in one.
	if err != nil || len(passed) != 2+2*(1+5) || !strings.Contains(said, "guest: exit status 0") || strings.Contains(said, "--- SKIP") {
		t.Errorf("the guest ended with %v, %d tests passed:\n%s", err, len(passed), said)
	}
}
