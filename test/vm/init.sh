#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# First process of the virtual machine: what a machine has, then the tests named on the kernel's command line (weave.tests=a,b), their outcome on the
# console, and off.
export PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin HOME=/root TMPDIR=/tmp LC_ALL=C NO_COLOR=1
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm /run /tmp /root /var/lib
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /dev/shm
mount -t bpf bpf /sys/fs/bpf
mkdir -p /run/netns /run/lock
# bash redirects from /dev/fd
[[ -e /dev/fd ]] || ln -s /proc/self/fd /dev/fd
echo 3 >/proc/sys/kernel/printk
for module in veth bridge vxlan udp_tunnel ip6_udp_tunnel wireguard sch_ingress cls_bpf sch_netem nf_tables nft_masq nft_chain_nat overlay tun af_packet; do
  modprobe "$module" 2>/dev/null
done
ip link set lo up
cd /weave || echo "VM-OUTCOME: no repository"
tests="$(sed -n 's/.*weave\.tests=\([^ ]*\).*/\1/p' /proc/cmdline)"
status=0
for file in ${tests//,/ }; do
  bun test --timeout 120000 "./test/vm/guest/$file.ts" 2>&1 || status=1
done
echo "VM-OUTCOME: $status"
sync
echo o >/proc/sysrq-trigger
sleep 60
