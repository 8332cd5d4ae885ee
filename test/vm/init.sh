#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# First process of the virtual machine, in its initial RAM disk: loads what it takes to see the host's files, lays a writable layer in memory
# over them, and goes on there with guest.sh. Whatever is written inside is gone with the machine; the host's files are never touched.
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do insmod "/modules/$module" || echo "cannot load $module"; done </modules/order
mount -t virtiofs -o ro host /host || poweroff -f
mount -t tmpfs -o size=75% tmpfs /layer
mkdir /layer/upper /layer/work
mount -t overlay -o lowerdir=/host,upperdir=/layer/upper,workdir=/layer/work overlay /root || poweroff -f
# One that has a root of its own gets the repository beside it.
repository="$(sed -n 's/.*weave\.repository=\([^ ]*\).*/\1/p' /proc/cmdline)"
if [ -n "$repository" ]; then
  mkdir -p "/root$repository"
  mount -t virtiofs -o ro repository "/root$repository" || poweroff -f
fi
for mount in proc sys dev; do mount --move "/$mount" "/root/$mount"; done
cp /job /root/.weave-vm-job
# By the process with number 1 itself: the kernel's own helpers, as modprobe, then see the same files.
exec switch_root /root /bin/sh "$(cat /guest)"
