# SPDX-License-Identifier: Apache-2.0
# Goes on in the virtual machine with the host's files below it: makes a machine of it, runs the tests that the job names, tells what
# came out over the second serial line, and switches the machine off.
#   line: `result FILE EXIT-CODE JUNIT-XML LOG`, the last two in base64; then `end`
set -u
cd "${0%/*}/../.." || exit 1
PATH="$PWD/node_modules/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
export PATH HOME=/root NO_COLOR=1 TMPDIR=/run/tmp WEAVE_TEST_PATIENCE=4

argument() { sed -E "s/.*weave\.$1=([^ ]+).*/\1/" /proc/cmdline; }
results="/dev/$(argument results)"
vm="$PWD/dist/vm"
say() { echo "[$(cut -d' ' -f1 /proc/uptime)] $*"; }
finish() {
  echo end >"$results"
  echo o >/proc/sysrq-trigger
  sleep 60
}
trap finish EXIT

mkdir -p /dev/shm /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mkdir -p /run/netns /run/tmp /run/results
hostname vm
ip link set lo up
stty -F "$results" raw -echo

# The executable is its own runtime where the one of node_modules is for another machine; from memory, because it is read again and again.
if [ "$(uname -m)" = aarch64 ]; then
  vm="$PWD/dist/vm-arm64"
  cp dist/weave-arm64 /run/weave
  mount --bind /run/weave dist/weave
  mkdir /run/bin
  printf '#!/bin/sh\nBUN_BE_BUN=1 exec /run/weave "$@"\n' >/run/bin/bun
  chmod 755 /run/bin/bun
  PATH="/run/bin:$PATH"
fi

# The kernel asks for modules by this name; the host's own ones are another kernel's.
rm -f /sbin/modprobe
printf '#!/bin/sh\nexec %s/busybox modprobe "$@"\n' "$vm" >/sbin/modprobe
chmod 755 /sbin/modprobe
rm -rf /lib/modules
ln -s "$vm/lib/modules" /lib/modules

# Two hosts that are plugged in at once would load it twice, and busybox takes a module that is still being loaded for a loaded one.
modprobe veth

say "Linux $(uname -r)"
limit="$(argument limit)"
number=0
while read -r file; do
  number=$((number + 1))
  say "$file"
  timeout --kill-after=10 "$limit" bun test --timeout 180000 --test-name-pattern="$(argument only)" --reporter=junit --reporter-outfile="/run/results/$number.xml" "./$file" \
    </dev/null >"/run/results/$number.log" 2>&1
  code=$?
  say "ended with $code"
  touch "/run/results/$number.xml"
  echo "result $file $code $(base64 -w0 "/run/results/$number.xml") $(tail -c 20000 "/run/results/$number.log" | base64 -w0)" >"$results"
done </.weave-vm-job
