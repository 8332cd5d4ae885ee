#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Brings what a job needs on this machine: `setup.sh [run|build|package|test|demo|hosts|vm|bench|dns|…]`, without a word: build and test. `hosts`,
# `vm`, `vm-arm64`, `compose`, `debian13` and `ubuntu2204` are part of `test`, but where they cannot be had only their tests are skipped; `debian11` and
# `ubuntu2404` are not. `bench` and `dns`: what the sleeve and the name server are compared with.
# Asks the machine for commands, headers and shared objects, not for packages, so it is quick and installs only what is
# missing, with apt. Names of packages differ between releases: each need lists candidates, the first one on offer wins.
set -euo pipefail

job="${1:-all}"
# Each need: kind (cmd, header, lib, file, python), what to look for, candidate packages.
readonly RUN=(
  "lib libpcap.so.0.8 libpcap0.8t64 libpcap0.8"
  "lib libsodium.so.23|libsodium.so.26 libsodium23 libsodium26"
  "lib libbpf.so.1 libbpf1"
  "lib libnftables.so.1 libnftables1"
  "cmd ip iproute2"
  "cmd ping iputils-ping"
)
readonly BUILD=(
  "cmd clang clang"
  "cmd ld.lld lld"
  "cmd llvm-strip|llvm-strip-14|llvm-strip-15|llvm-strip-16|llvm-strip-17|llvm-strip-18|llvm-strip-19 llvm"
  "header bpf/bpf_helpers.h libbpf-dev"
  "header linux/if_link.h linux-libc-dev"
)
readonly LAB=(
  "cmd unshare util-linux"
  "cmd nsenter util-linux"
  "cmd mount mount"
  "cmd tc iproute2"
  "cmd bridge iproute2"
  "cmd ps procps"
  "cmd sysctl procps"
  "cmd iperf3 iperf3"
)
readonly TEST=(
  "cmd gcc gcc"
  "header stdio.h libc6-dev"
  "header pcap/pcap.h libpcap-dev"
  "cmd arping iputils-arping"
  "cmd tcpdump tcpdump"
  "cmd nft nftables"
  "cmd conntrack conntrack"
  "cmd bpftool bpftool linux-tools-common"
  "cmd ethtool ethtool"
  "cmd socat socat"
  "cmd dockerd docker.io"
  "cmd docker docker-cli docker.io"
  "cmd containerd containerd"
  "cmd runc runc"
  "cmd iptables iptables"
  "cmd busybox busybox-static busybox"
  "cmd podman podman"
  "cmd crun crun"
  "cmd openssl openssl"
  "python docker python3-docker"
)
readonly PACKAGE=(
  "cmd dpkg-deb dpkg"
  "cmd rpmbuild rpm"
  "cmd mmdebstrap mmdebstrap"
)
readonly LIBBPF=(
  "cmd mmdebstrap mmdebstrap"
)
readonly HOSTS=(
  "cmd mmdebstrap mmdebstrap"
  "cmd systemd-nspawn systemd-container"
)
readonly VM=(
  "cmd qemu-system-x86_64 qemu-system-x86"
  "file /usr/lib/qemu/virtiofsd|/usr/libexec/virtiofsd virtiofsd qemu-system-common"
)
readonly VM_ARM64=(
  "cmd qemu-system-aarch64 qemu-system-arm"
  "file /usr/lib/qemu/virtiofsd|/usr/libexec/virtiofsd virtiofsd qemu-system-common"
  "cmd mmdebstrap mmdebstrap"
  "file /sbin/depmod kmod"
)
# What Compose 1.29 and its tests are written with.
readonly PYTHON=/usr/lib/python3/dist-packages
readonly COMPOSE=(
  "file $PYTHON/compose docker-compose"
  "file $PYTHON/pytest python3-pytest"
  "file $PYTHON/ddt.py python3-ddt"
)
readonly BENCH=(
  "cmd tincd tinc"
  "cmd nebula nebula"
  "cmd nebula-cert nebula"
  "cmd fastd fastd"
  "cmd openvpn openvpn"
  "cmd openssl openssl"
)
# For `npm run bench -- dns` only.
readonly DNS=(
  "cmd dnsmasq dnsmasq-base"
  "cmd unbound unbound"
  "cmd dnsperf dnsperf"
)
readonly VM_DIRECTORY=dist/vm ARM64_VM_DIRECTORY=dist/vm-arm64 HOST_ARCHIVE=dist/hosts/base.tar SERVICES_HOST_ARCHIVE=dist/hosts/services.tar
readonly RESOLVED_DIRECTORY=dist/resolved

needs=()
case "$job" in
  run) needs=("${RUN[@]}") ;;
  build) needs=("${BUILD[@]}") ;;
  demo) needs=("${RUN[@]}" "${BUILD[@]}" "${LAB[@]}") ;;
  test | all) needs=("${RUN[@]}" "${BUILD[@]}" "${LAB[@]}" "${TEST[@]}" "${PACKAGE[@]}" "${HOSTS[@]}") ;;
  package) needs=("${BUILD[@]}" "${PACKAGE[@]}") ;;
  libbpf) needs=("${LIBBPF[@]}") ;;
  hosts | debian11 | debian13 | ubuntu2204 | ubuntu2404) needs=("${HOSTS[@]}") ;;
  vm) needs=("${VM[@]}") ;;
  vm-arm64) needs=("${VM_ARM64[@]}") ;;
  compose) needs=("${COMPOSE[@]}") ;;
  bench) needs=("${BENCH[@]}") ;;
  dns) needs=("${DNS[@]}") ;;
  *)
    echo "setup: unknown job '$job'; use run, build, package, libbpf, test, demo, hosts, debian11, debian13, ubuntu2204, ubuntu2404, vm, vm-arm64, compose, bench or dns" >&2
    exit 2
    ;;
esac

# Administrators' commands are not in everybody's path.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export PATH

libraries=""
multiarch=""
# Is the need met? `$1` kind, `$2` alternatives separated by |.
present() {
  local alternative
  local IFS='|'
  for alternative in $2; do
    case "$1" in
      cmd) command -v "$alternative" >/dev/null 2>&1 && return 0 ;;
      file) [[ -e "$alternative" ]] && return 0 ;;
      python) python3 -c "import $alternative" 2>/dev/null && return 0 ;;
      header)
        [[ -n "$multiarch" ]] || multiarch="$(uname -m)-linux-gnu"
        [[ -e "/usr/include/$alternative" || -e "/usr/include/$multiarch/$alternative" ]] && return 0
        ;;
      lib)
        [[ -n "$libraries" ]] || libraries="$(ldconfig -p)"
        [[ "$libraries" == *"$alternative "* ]] && return 0
        ;;
    esac
  done
  return 1
}

# First of the candidates that the package index offers; nothing when it offers none.
offered() {
  local candidate policy
  for candidate in "$@"; do
    policy="$(apt-cache policy "$candidate" 2>/dev/null)" || continue
    [[ "$policy" == *"  Candidate: "[^\(]* ]] || continue
    echo "$candidate"
    return 0
  done
  return 1
}

# Fills `missing` (texts for people) and `packages` (to install) from what is not there.
missing=()
packages=()
find_missing() {
  missing=()
  packages=()
  local need kind what candidates package
  for need in "${needs[@]}"; do
    read -r kind what candidates <<<"$need"
    present "$kind" "$what" && continue
    missing+=("${what%%|*}")
    command -v apt-get >/dev/null 2>&1 || continue
    # shellcheck disable=SC2086 # candidates is a list of words
    if package="$(offered $candidates)"; then packages+=("$package"); fi
  done
}

fail() {
  echo "setup: $1" >&2
  exit 1
}

# The kernel of the virtual machine: Debian's for clouds, with its modules, and a shell to start it. Unpacked, not installed.
fetch_kernel() {
  [[ -e "$VM_DIRECTORY/release" ]] && return 0
  command -v apt-get >/dev/null 2>&1 && command -v dpkg >/dev/null 2>&1 || fail "this machine has no apt to get a kernel with"
  local kernel release work
  apt-cache policy linux-image-cloud-amd64 2>/dev/null | grep -q "  Candidate: [^(]" || apt-get update -qq >&2 || true
  kernel="$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)"
  [[ -n "$kernel" ]] || fail "this release does not package linux-image-cloud-amd64"
  release="${kernel#linux-image-}"
  echo "setup: fetching $kernel for the virtual machine" >&2
  rm -rf "$VM_DIRECTORY"
  mkdir -p "$VM_DIRECTORY/work"
  work="$(cd "$VM_DIRECTORY/work" && pwd)"
  (cd "$work" && apt-get download -qq -o APT::Sandbox::User=root "$kernel" busybox-static >&2) || fail "apt-get could not download $kernel"
  local package
  for package in "$work"/*.deb; do dpkg -x "$package" "$work"; done
  mv "$work/boot/vmlinuz-$release" "$VM_DIRECTORY/vmlinuz"
  mv "$work/bin/busybox" "$VM_DIRECTORY/busybox" 2>/dev/null || mv "$work/usr/bin/busybox" "$VM_DIRECTORY/busybox"
  mkdir "$VM_DIRECTORY/lib"
  mv "$work/lib/modules" "$VM_DIRECTORY/lib/modules" 2>/dev/null || mv "$work/usr/lib/modules" "$VM_DIRECTORY/lib/modules"
  "$VM_DIRECTORY/busybox" depmod -b "$VM_DIRECTORY" "$release"
  rm -rf "$work"
  echo "$release" >"$VM_DIRECTORY/release"
}

# The same for the virtual machine of arm64, with a Debian for it to live in: unpacked only, because nothing of it runs here.
fetch_arm64() {
  fetch_arm64_runtime || {
    rm -rf "$ARM64_VM_DIRECTORY"
    fail "bun could not get its runtime for arm64"
  }
  [[ ! -e "$ARM64_VM_DIRECTORY/release" ]] || return 0
  echo "setup: fetching a Debian for arm64 for the virtual machine" >&2
  local root="$ARM64_VM_DIRECTORY/root" release
  local include=base-files,base-passwd,bash,busybox-static,coreutils,dash,debianutils,findutils,grep,hostname,iproute2,iputils-ping,libbpf1,libnftables1
  include+=,libpcap0.8,libsodium23,linux-image-cloud-arm64,mawk,mount,nftables,procps,sed,util-linux
  rm -rf "$ARM64_VM_DIRECTORY"
  mkdir -p "$root"
  mmdebstrap --quiet --variant=extract --architectures=arm64 --include="$include" bookworm "$root" || fail "mmdebstrap could not get a Debian for arm64"
  # What the packages' scripts would have made.
  cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
  cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
  mkdir -p "$root/mnt"
  release="$(basename "$root"/lib/modules/*)"
  mkdir "$ARM64_VM_DIRECTORY/lib"
  mv "$root/boot/vmlinuz-$release" "$ARM64_VM_DIRECTORY/vmlinuz"
  mv "$root/lib/modules" "$ARM64_VM_DIRECTORY/lib/modules"
  cp "$root/bin/busybox" "$ARM64_VM_DIRECTORY/busybox"
  /sbin/depmod -b "$ARM64_VM_DIRECTORY" "$release"
  rm -rf "$root"/boot "$root"/usr/share/{doc,locale,man}
  echo "$release" >"$ARM64_VM_DIRECTORY/release"
}

# What `bun build` fetches when it first makes an executable for arm64; tests have no network.
fetch_arm64_runtime() {
  local work
  work="$(mktemp -d)"
  echo "export {}" >"$work/nothing.ts"
  node_modules/.bin/bun build --compile --target=bun-linux-arm64 "$work/nothing.ts" --outfile "$work/nothing" >"$work/said" 2>&1 || {
    cat "$work/said" >&2
    rm -rf "$work"
    return 1
  }
  rm -rf "$work"
}

# Small Debians with systemd and the libraries of weave, which the tests boot as hosts: an archive each of a root file system. The one with Docker,
# firewalld and ufw, which start only when a test wants them, is twice as large, so the others need not unpack it.
make_hosts() {
  local include=systemd,systemd-sysv,dbus,udev,iproute2,libpcap0.8,libsodium23,libbpf1,libnftables1,nftables,iputils-ping,procps,kmod
  make_host "$HOST_ARCHIVE" bookworm --include="$include"
  # The image for containers is busybox; Docker gets it by `docker import`.
  # shellcheck disable=SC2016 # $1 is the root of the new system, which mmdebstrap fills in
  make_host "$SERVICES_HOST_ARCHIVE" bookworm --include="$include,docker.io,iptables,firewalld,ufw,busybox-static" \
    --customize-hook='chroot "$1" systemctl disable --quiet docker.service docker.socket containerd.service firewalld.service ufw.service' \
    --customize-hook='image="$1/usr/share/weave-test/image" && mkdir -p "$image/bin" "$image/tmp" && cp "$1/bin/busybox" "$image/bin/" &&
      chroot "$1" busybox --list | while read -r name; do [ -e "$image/bin/$name" ] || ln -s busybox "$image/bin/$name"; done'
}
# `$1` archive, `$2` release, then mmdebstrap's options; it knows the mirrors of Debian and Ubuntu.
make_host() {
  local archive="$1" release="$2"
  shift 2
  [[ ! -e "$archive" ]] || return 0
  echo "setup: making $archive, a root file system of the test's hosts" >&2
  mkdir -p "$(dirname "$archive")"
  mmdebstrap --quiet --variant=minbase "$@" "$release" "$archive.unfinished.tar" || fail "mmdebstrap could not make a root file system of $release"
  mv "$archive.unfinished.tar" "$archive"
}

# Other releases, for the test that the same package lives there. Debian 13 has rpm too, for the other package; Ubuntu 22.04 and Debian 11 get no libbpf.
make_release() {
  local common=apt,systemd,systemd-sysv,dbus,udev,iproute2,libsodium23,libnftables1,nftables,iputils-ping,procps,kmod archive="dist/hosts/$1.tar"
  case "$1" in
    debian11) make_host "$archive" bullseye --include="$common,libpcap0.8" ;;
    debian13) make_host "$archive" trixie --include="$common,libpcap0.8t64,libbpf1,rpm" ;;
    ubuntu2204) make_ubuntu "$archive" jammy --include="$common,libpcap0.8" ;;
    ubuntu2404) make_ubuntu "$archive" noble --include="$common,libpcap0.8t64,libbpf1" ;;
  esac
}
# Debian 12 has no package of Ubuntu's keys; the next release has.
make_ubuntu() {
  local keys=dist/hosts/ubuntu-keys
  [[ ! -e "$1" ]] || return 0
  if [[ ! -e "$keys" ]]; then
    rm -rf "$keys.work"
    mmdebstrap --quiet --variant=extract --include=ubuntu-archive-keyring trixie "$keys.work" || fail "mmdebstrap could not get ubuntu-archive-keyring"
    mv "$keys.work" "$keys"
  fi
  make_host "$@" --components=main,universe --keyring="$keys/usr/share/keyrings/ubuntu-archive-keyring.gpg"
}

# The libbpf that goes into the executable, for both architectures: Debian 12's, which needs no newer C library than the packages ask for.
fetch_libbpf() {
  local target architecture folder work
  for target in x64 arm64; do
    folder="dist/libbpf/$target" work="dist/libbpf/$target.work"
    [[ ! -e "$folder" ]] || continue
    [[ "$target" == x64 ]] && architecture=amd64 || architecture="$target"
    rm -rf "$work" "$folder.new"
    mkdir -p "$work"
    mmdebstrap --quiet --variant=extract --architectures="$architecture" --include=libbpf1 bookworm "$work" || fail "mmdebstrap could not get libbpf1 for $architecture"
    mkdir -p "$folder.new"
    (cd "$work" && tar -c usr/share/doc/libbpf1 usr/lib/*-linux-gnu/libbpf.so.1*) | tar -C "$folder.new" -x
    rm -rf "$work"
    mv "$folder.new" "$folder"
  done
}

# systemd-resolved for one test. Unpacked, not installed: installed it would take over this machine's resolv.conf.
fetch_resolved() {
  [[ -e "$RESOLVED_DIRECTORY/lib/systemd/systemd-resolved" ]] && return 0
  command -v apt-get >/dev/null 2>&1 && command -v dpkg >/dev/null 2>&1 || return 1
  local work="$RESOLVED_DIRECTORY.new"
  rm -rf "$work" "$RESOLVED_DIRECTORY"
  mkdir -p "$work"
  (cd "$work" && apt-get download -qq -o APT::Sandbox::User=root systemd-resolved >&2 && dpkg -x systemd-resolved_*.deb . && rm -rf systemd-resolved_*.deb sbin etc) || return 1
  mv "$work" "$RESOLVED_DIRECTORY"
}

# An emulator for programs of the other machine. Unpacked, not installed: installed it would change how this machine runs programs.
fetch_emulator() {
  local other=aarch64
  [[ "$(uname -m)" != aarch64 ]] || other=x86_64
  [[ ! -e "dist/qemu/qemu-$other-static" ]] || return 0
  command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1 || return 1
  local work=dist/qemu.new
  rm -rf "$work"
  mkdir -p "$work"
  (cd "$work" && apt-get download -qq -o APT::Sandbox::User=root qemu-user-static >&2 &&
    dpkg-deb --fsys-tarfile qemu-user-static_*.deb | tar -x --strip-components=3 "./usr/bin/qemu-$other-static" && rm qemu-user-static_*.deb) || return 1
  rm -rf dist/qemu
  mv "$work" dist/qemu
}

# The tests of Compose 1.29, from the source of the package that is installed. They are not installed by any package.
fetch_compose() {
  [[ ! -e dist/compose ]] || return 0
  local work=dist/compose.new list
  rm -rf "$work"
  mkdir -p "$work/parts" "$work/lists/partial" "$work/compose"
  # The machine's own places, asked for sources, with an index of their own: the machine's settings stay as they are.
  for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [[ ! -e "$list" ]] || sed 's/^deb /deb-src /' "$list" >"$work/parts/$(basename "$list").list"
  done
  for list in /etc/apt/sources.list.d/*.sources; do
    [[ ! -e "$list" ]] || sed 's/^Types:.*/Types: deb-src/' "$list" >"$work/parts/$(basename "$list")"
  done
  (
    cd "$work"
    apt=(apt-get -qq -o "Dir::Etc::SourceList=/dev/null" -o "Dir::Etc::SourceParts=$PWD/parts" -o "Dir::State::Lists=$PWD/lists"
      -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root)
    "${apt[@]}" update >&2 && "${apt[@]}" source --download-only --tar-only docker-compose >&2 &&
      tar -xf docker-compose_1.29.*.orig.tar.* -C compose --strip-components=1 --wildcards '*/LICENSE' '*/compose/*' '*/tests/*'
  ) || return 1
  mv "$work/compose" dist/compose
  rm -rf "$work"
}

# What the job needs beside packages.
finish() {
  case "$job" in
    vm) fetch_kernel ;;
    vm-arm64) fetch_arm64 ;;
    compose) fetch_compose || fail "the tests of Compose could not be fetched" ;;
    hosts) make_hosts ;;
    libbpf) fetch_libbpf ;;
    package) bash packaging/setup.sh libbpf ;;
    test | all)
      fetch_resolved || echo "setup: the test with systemd-resolved will be skipped" >&2
      fetch_emulator || echo "setup: the waiter for the other machine will not be tested" >&2
      [[ "$(uname -m)" != x86_64 ]] || bash packaging/setup.sh vm || echo "setup: the tests in virtual machines will be skipped" >&2
      bash packaging/setup.sh vm-arm64 || echo "setup: the test in a virtual machine of arm64 will be skipped" >&2
      bash packaging/setup.sh libbpf || echo "setup: packages will have the libbpf of this machine, or cannot be made" >&2
      bash packaging/setup.sh compose || echo "setup: Compose's tests will be skipped" >&2
      bash packaging/setup.sh hosts || echo "setup: the tests on hosts with systemd will be skipped" >&2
      bash packaging/setup.sh debian13 || echo "setup: the test on Debian 13 will be skipped" >&2
      timeout 300 bash packaging/setup.sh ubuntu2204 || echo "setup: the test on Ubuntu 22.04 will be skipped" >&2
      ;;
    debian11 | debian13 | ubuntu2204 | ubuntu2404) make_release "$job" ;;
  esac
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
find_missing
if [[ ${#missing[@]} -eq 0 ]]; then
  finish
  exit 0
fi

command -v apt-get >/dev/null 2>&1 ||
  fail "missing: ${missing[*]}; this machine has no apt, install them with its own package manager"
[[ "$(id -u)" -eq 0 ]] || fail "missing: ${missing[*]}; run 'sudo bash packaging/setup.sh $job' once"

# Tests start Docker daemons of their own, in namespaces. The machine itself must not get one, for it would have a bridge and rules made by it:
# what of Docker is installed here is neither started now (policy-rc.d) nor at the next boot (disable). A Docker that was there is not touched.
readonly POLICY=/usr/sbin/policy-rc.d
idle_services=()
hold_docker() {
  [[ " ${packages[*]} " == *" docker.io "* || " ${packages[*]} " == *" containerd "* || " ${packages[*]} " == *" podman "* ]] || return 0
  local service
  for service in docker.service docker.socket containerd.service podman.service podman.socket podman-restart.service podman-auto-update.timer; do
    [[ -e "/lib/systemd/system/$service" ]] || idle_services+=("$service")
  done
  if [[ -e "$POLICY" ]]; then
    "$POLICY" docker start || [[ $? -ne 101 ]] || return 0
    fail "install ${packages[*]} by hand: $POLICY would let Docker start"
  fi
  trap 'rm -f "$POLICY"' EXIT
  # shellcheck disable=SC2016 # $1 is of the script that is written; it forbids nothing when this one was killed
  printf '#!/bin/sh\n# Of weave, packaging/setup.sh, while it installs.\n[ ! -d /proc/%s ] || case "$1" in docker* | containerd* | podman*) exit 101 ;; esac\n' "$$" >"$POLICY"
  chmod 755 "$POLICY"
}
release_docker() {
  [[ ${#idle_services[@]} -gt 0 ]] || return 0
  systemctl disable --quiet "${idle_services[@]}" 2>/dev/null || true
  echo "setup: Docker is installed for the tests only: it is not running and not started at boot (systemctl enable --now docker changes that)" >&2
}

export DEBIAN_FRONTEND="${DEBIAN_FRONTEND:-noninteractive}"
# Quiet when it works, with all apt has to say when it does not.
install_packages() {
  [[ ${#packages[@]} -gt 0 ]] || return 1
  local said
  hold_docker
  if said="$(apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "${packages[@]}" 2>&1)"; then
    return 0
  fi
  echo "$said" >&2
  return 1
}
echo "setup: installing for '$job': ${packages[*]:-(asking for a newer index first)}" >&2
# A fresh image has no index, an old one names files that are gone: one update, one more try.
if [[ ${#packages[@]} -lt ${#missing[@]} ]] || ! install_packages; then
  apt-get update -qq >&2 || apt-get update -qq >&2 || fail "apt-get update failed; is the network there?"
  find_missing
  if [[ ${#missing[@]} -gt 0 ]]; then
    install_packages || fail "apt-get could not install: ${packages[*]:-${missing[*]}}"
  fi
fi
release_docker
libraries=""
hash -r
find_missing
[[ ${#missing[@]} -eq 0 ]] || fail "still missing after the installation: ${missing[*]}; this release does not package them"
finish
