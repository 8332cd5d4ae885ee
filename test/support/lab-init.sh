# SPDX-License-Identifier: Apache-2.0
# First process of a lab host, run inside fresh network, mount and UTS namespaces: makes them look like a machine of their own,
# says "ready", and stays until the test closes its stdin or dies. Then it ends whatever is left in its mount namespace.
# Arguments: the host's name.
set -eu
trap '' INT TERM HUP
hostname "$1"

# A machine's own view of links, BPF pins, running state, kept state and settings. What lies below stays readable, because the
# executable under test or its libraries may live there; what is written goes to memory and dies with the namespace.
mount -t sysfs sysfs /sys
mount -t bpf bpf /sys/fs/bpf
[ ! -d /sys/fs/cgroup ] || mount -t tmpfs tmpfs /sys/fs/cgroup
mount -t tmpfs tmpfs /mnt
mkdir /mnt/etc /mnt/etc-work /mnt/lib /mnt/lib-work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/etc,workdir=/mnt/etc-work /etc
mount -t overlay overlay -o lowerdir=/var/lib,upperdir=/mnt/lib,workdir=/mnt/lib-work /var/lib
umount -l /mnt
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/netns
rm -rf /etc/weave /var/lib/weave

ip link set lo up
# Addresses are the lab's own, so nobody has to ask whether they are taken: tests need not wait for the answer.
echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad
# A host is no router unless a test says so.
echo 0 >/proc/sys/net/ipv4/ip_forward

echo ready
cat >/dev/null || true

own="$(readlink "/proc/$$/ns/mnt")"
for entry in /proc/[0-9]*; do
  pid="${entry#/proc/}"
  [ "$pid" != "$$" ] && [ "$(readlink "$entry/ns/mnt" 2>/dev/null || true)" = "$own" ] && kill -9 "$pid" 2>/dev/null || true
done
