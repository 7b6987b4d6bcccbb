#!/usr/bin/env bash
# Installs the programs that the tests call, where that is possible: as root on
# Debian. Elsewhere it says what is missing; the tests that need it skip and say so.
set -euo pipefail

# program: package
want="rsync:rsync setfacl:acl setfattr:attr setcap:libcap2-bin mkfs.ext4:e2fsprogs
chattr:e2fsprogs mkfs.btrfs:btrfs-progs mkfs.xfs:xfsprogs strace:strace losetup:mount gcc:gcc ip:iproute2 tc:iproute2 nft:nftables
pg_ctlcluster:postgresql mariadbd:mariadb-server mariadb-backup:mariadb-backup dbus-daemon:dbus-daemon lvcreate:lvm2 qemu-system-x86_64:qemu-system-x86
chromium:chromium promtool:prometheus curl:curl"

missing=() packages=()
PATH="$PATH:/usr/sbin:/sbin"
for entry in $want; do
  if ! command -v "${entry%%:*}" >/dev/null; then
    missing+=("${entry%%:*}") packages+=("${entry##*:}")
  fi
done
# The kernel of the virtual machine in which LVM is tested; see test/guest.
kernel="${XDG_CACHE_HOME:-$HOME/.cache}/keepward/guest-kernel"
if [[ $(uname -m) == x86_64 && ! -d $kernel ]]; then
  missing+=("a kernel for guests")
fi
[[ ${#missing[@]} -gt 0 ]] || exit 0

if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
  echo "deps: missing ${missing[*]}: some tests will be skipped" >&2
  exit 0
fi
echo "deps: installing ${missing[*]}"
log=$(mktemp)
fetched=$(mktemp -d)
trap 'rm -rf "$log" "$fetched"' EXIT
apt() { DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq "$@" >>"$log" 2>&1; }
# Prometheus would run as a service of this machine, which is no business of a test: nobody has said that it shall.
if [[ " ${packages[*]} " == *" prometheus "* && -d /run/systemd/system ]]; then
  systemctl mask prometheus.service >>"$log" 2>&1
fi
{ apt update && apt install -y --no-install-recommends "${packages[@]}" libc6-dev; } || { cat "$log" >&2; exit 1; }

# Unpacked, not installed: this machine keeps its own.
guest_kernel() {
  local name
  name=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
  (cd "$fetched" && apt download "$name") && dpkg-deb -x "$fetched"/linux-image-*.deb "$fetched/x" &&
    mkdir -p "$(dirname "$kernel")" && mv "$fetched/x" "$kernel"
}
if [[ $(uname -m) == x86_64 && ! -d $kernel ]]; then
  guest_kernel || { cat "$log"; echo "deps: no kernel for guests: the test of LVM will be skipped"; } >&2
fi
