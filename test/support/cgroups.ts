// SPDX-License-Identifier: Apache-2.0
/** Shell words that mount control groups as container managers look for them; the lab hides the machine's. */
export const MOUNT_CGROUPS = `
if [ "$(stat -fc %T /proc/1/root/sys/fs/cgroup)" = cgroup2fs ]; then
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
else
  for controller in $(awk '!/^#/ && $4 == 1 && $2 > 0 { print $1 }' /proc/cgroups); do
    mkdir -p /sys/fs/cgroup/$controller
    mount -t cgroup -o $controller cgroup /sys/fs/cgroup/$controller
  done
fi`;
