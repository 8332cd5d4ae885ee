#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Brings what the virtual machine needs: QEMU, and Debian's cloud kernel unpacked into dist/vm-kernel (not installed). Where it cannot be had the
# tests in it are skipped with the reason, so this never fails.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 0
PATH="$PATH:/usr/sbin:/sbin"
folder="dist/vm-kernel"

give_up() {
  echo "vm: $1; the tests in the virtual machine are skipped" >&2
  exit 0
}

[[ "$(uname -m)" == "x86_64" ]] || exit 0
have_programs() { command -v qemu-system-x86_64 >/dev/null && command -v cpio >/dev/null && command -v depmod >/dev/null; }
have_programs && [[ -d "$folder/lib/modules" ]] && exit 0
command -v apt-get >/dev/null || give_up "no apt here to get QEMU and a kernel with"
[[ "$(id -u)" -eq 0 ]] || give_up "not root"
export DEBIAN_FRONTEND=noninteractive
if ! have_programs; then
  echo "vm: installing qemu-system-x86, cpio, kmod" >&2
  apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 qemu-system-x86 cpio kmod >/dev/null 2>&1 ||
    { apt-get update -qq >/dev/null 2>&1 && apt-get install -y -qq --no-install-recommends qemu-system-x86 cpio kmod >/dev/null 2>&1; } ||
    give_up "apt could not install qemu-system-x86, cpio and kmod"
fi
[[ -d "$folder/lib/modules" ]] && exit 0
package="$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '/Depends: linux-image/ { print $2; exit }')"
[[ -n "$package" ]] || give_up "this release has no package linux-image-cloud-amd64"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
(cd "$work" && apt-get download -qq -o APT::Sandbox::User=root "$package" >/dev/null 2>&1) || give_up "apt could not download $package"
mkdir -p dist
rm -rf "$folder"
dpkg -x "$work"/*.deb "$work/kernel" && mv "$work/kernel" "$folder" || give_up "the package $package could not be unpacked"
