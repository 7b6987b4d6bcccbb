#!/usr/bin/env bash
# Installs the programs that the tests call, where that is possible: as root on
# Debian. Elsewhere it says what is missing; the tests that need it skip and say so.
set -euo pipefail

# program: package
want="rsync:rsync setfacl:acl setfattr:attr setcap:libcap2-bin mkfs.ext4:e2fsprogs
chattr:e2fsprogs mkfs.btrfs:btrfs-progs mkfs.xfs:xfsprogs strace:strace losetup:mount gcc:gcc ip:iproute2 tc:iproute2"

missing=() packages=()
PATH="$PATH:/usr/sbin:/sbin"
for entry in $want; do
  if ! command -v "${entry%%:*}" >/dev/null; then
    missing+=("${entry%%:*}") packages+=("${entry##*:}")
  fi
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
  echo "deps: missing ${missing[*]}: some tests will be skipped" >&2
  exit 0
fi
echo "deps: installing ${packages[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() { DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq "$@" >>"$log" 2>&1; }
{ apt update && apt install -y --no-install-recommends "${packages[@]}" libc6-dev; } || { cat "$log" >&2; exit 1; }
