#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Everything that can be checked on this machine: build, lint, then the tests from the quickest kind to the slowest, and last
# whether anything was left behind. Arguments select test files by parts of their path: `bash test/run.sh lab/chain unit/net`.
# Every file runs in a process of its own, so that one which crashes or hangs takes nothing with it.
# The last line is `N passed, N failed` with `, N skipped` when there are any; the exit code is 1 when anything failed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

PATH="$PWD/node_modules/.bin:$PATH:/usr/sbin:/sbin"
export PATH

# The run itself is a child of this script. As root it gets a machine of its own: new network, mount and pid namespaces. What it
# makes disturbs nobody and cannot be taken for other people's, and all of it ends when this script ends, however that comes.
if [[ -z "${WEAVE_TEST_RUN:-}" ]]; then
  # The name marks every process of the run, whoever starts it; results and temporary files go below it.
  WEAVE_TEST_RUN="$(mktemp -d "${TMPDIR:-/tmp}/weave-test-XXXXXX")" || exit 1
  export WEAVE_TEST_RUN TMPDIR="$WEAVE_TEST_RUN/tmp"
  mkdir "$TMPDIR"
  machine=()
  if [[ "$(id -u)" -eq 0 ]]; then
    machine=(setpriv --pdeathsig KILL unshare --net --pid --fork --kill-child --mount-proc --propagation private)
    "${machine[@]}" true || {
      echo "run.sh: this machine lets root make no namespaces (a container must be privileged for that): no lab" >&2
      machine=()
    }
  fi
  # In the background, because bash hears signals while it waits for a job, but not while it runs a command.
  env --default-signal=INT,QUIT "${machine[@]}" bash test/run.sh "$@" </dev/null &
  inner="$!"
  trap '[[ -z "$inner" ]] || { kill -KILL "$inner"; wait "$inner"; } 2>/dev/null; rm -rf "$WEAVE_TEST_RUN"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  wait "$inner"
  status="$?"
  inner=""
  exit "$status"
fi
trap 'exit 130' INT TERM
results="$WEAVE_TEST_RUN"
export results

# Is this the first process of a machine of the run's own? Then it needs what a machine has.
own_machine=0
if [[ "$$" -eq 1 ]]; then
  own_machine=1
  ip link set lo up
  mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns
  mount -t bpf bpf /sys/fs/bpf
fi

# Limits in seconds: one file of the quick kinds, one file of the lab, the whole.
readonly QUICK_LIMIT="${WEAVE_TEST_QUICK_LIMIT:-180}" LAB_LIMIT="${WEAVE_TEST_LAB_LIMIT:-600}" TOTAL_LIMIT="${WEAVE_TEST_TOTAL_LIMIT:-3000}"
export QUICK_LIMIT LAB_LIMIT TOTAL_LIMIT
began="$(date +%s)"
export began

# Notes an outcome: name, passed, failed, skipped, seconds.
note() { echo "$2 $3 $4 $5 $1" >"$results/$(echo "$1" | tr '/ ' '__').count"; }
export -f note

# Runs one step that is not a test file; it counts as one test.
step() {
  local name="$1" log="$results/step.log" at="$SECONDS"
  shift
  if "$@" >"$log" 2>&1; then
    note "$name" 1 0 0 "$((SECONDS - at))"
    printf 'ok    %-52s %3ss\n' "$name" "$((SECONDS - at))"
  else
    note "$name" 0 1 0 "$((SECONDS - at))"
    printf 'FAIL  %-52s %3ss\n' "$name" "$((SECONDS - at))"
    sed 's/^/      /' "$log"
    return 1
  fi
}

# Runs one test file in a process of its own and notes its counts.
one_file() {
  local file="$1" limit="$2" at="$SECONDS" key status passed=0 failed=0 skipped=0 tests header why=""
  key="$(echo "$file" | tr '/ ' '__')"
  if (($(date +%s) - began > TOTAL_LIMIT)); then
    note "$file" 0 1 0 0
    printf 'FAIL  %-52s not run: the whole took more than %s s\n' "$file" "$TOTAL_LIMIT"
    return
  fi
  timeout --kill-after=10 "$limit" bun test --timeout 60000 --reporter=junit --reporter-outfile="$results/$key.xml" "./$file" \
    >"$results/$key.log" 2>&1 </dev/null
  status=$?
  # <testsuites name="bun test" tests="3" assertions="3" failures="1" skipped="0" time="0.01">
  if header="$(grep -m1 '<testsuites ' "$results/$key.xml" 2>/dev/null)"; then
    tests="$(sed -E 's/.* tests="([0-9]+)".*/\1/' <<<"$header")"
    failed="$(sed -E 's/.* failures="([0-9]+)".*/\1/' <<<"$header")"
    skipped="$(sed -E 's/.* skipped="([0-9]+)".*/\1/' <<<"$header")"
    passed=$((tests - failed - skipped))
  fi
  if ((status == 124 || status == 137)); then
    why=" (killed: still running after $limit s)"
    failed=$((failed + 1))
  elif ((status != 0 && failed == 0)); then
    why=" (the file itself failed, exit code $status)"
    failed=1
  elif ((passed + failed + skipped == 0)); then
    why=" (no test in it)"
    failed=1
  fi
  note "$file" "$passed" "$failed" "$skipped" "$((SECONDS - at))"
  local counts="$passed passed"
  ((failed > 0)) && counts+=", $failed failed"
  ((skipped > 0)) && counts+=", $skipped skipped"
  if ((failed > 0)); then
    # One write, so that files running beside each other do not mix their words.
    printf '%s\n' "$(printf 'FAIL  %-52s %3ss  %s%s\n' "$file" "$((SECONDS - at))" "$counts" "$why" && sed 's/^/      /' "$results/$key.log")"
  else
    printf 'ok    %-52s %3ss  %s\n' "$file" "$((SECONDS - at))" "$counts"
    # What was skipped, and what the kernel of a virtual machine said.
    ((skipped > 0)) && grep -E '^(\(skip\)|\[ *[0-9]+\.[0-9]+\])' "$results/$key.log" | sed 's/^/      /'
  fi
  return 0
}
export -f one_file

# Is the file asked for? Without arguments every one is.
wanted() {
  local file="$1" filter
  shift
  (($# == 0)) && return 0
  for filter in "$@"; do [[ "$file" == *"$filter"* ]] && return 0; done
  return 1
}

# All wanted test files of these kinds, one on a line.
files_of() {
  local kind file
  for kind in $kinds; do
    [[ -d "test/$kind" ]] || continue
    while IFS= read -r file; do
      wanted "$file" "$@" && echo "$file"
    done < <(find "test/$kind" -name '*.test.ts' | sort)
  done
}

bun test/support/leftovers.ts before "$results/leftovers.json" || exit 1

built=0
step "build" bun packaging/build.ts && built=1
if (($# == 0)); then
  step "lint: biome" biome check .
  step "lint: tsc" tsc --noEmit
fi

kinds="unit property script sim" files_of "$@" | xargs -r -d '\n' -P 2 -I '{}' bash -c 'one_file "$1" "$QUICK_LIMIT"' _ '{}'

# One file that needs the executable, and root with namespaces.
machine_file() {
  if ((!own_machine)); then
    note "$1" 0 0 1 0
    printf 'skip  %-52s needs root and namespaces\n' "$1"
  elif ((!built)) && [[ "$1" != test/lab/harness/* ]]; then
    note "$1" 0 1 0 0
    printf 'FAIL  %-52s not run: the executable was not built\n' "$1"
  else
    one_file "$1" "$LAB_LIMIT"
  fi
}
export -f machine_file
export own_machine built

# One file after the other.
in_turn() {
  local file
  while IFS= read -r file; do machine_file "$file"; done
}

# The lab mostly waits, so two files run beside each other, but not those which need all of the machine. Hosts with systemd wait too, while
# the virtual machine computes, so each kind is a queue of its own.
readonly ALONE='^test/lab/(twenty|restart|ipam-lasting|sleeve/restart)\.test\.ts$'
kinds="lab" files_of "$@" | grep -Ev "$ALONE" | xargs -r -d '\n' -P 2 -I '{}' bash -c 'machine_file "$1"' _ '{}'
kinds="lab" files_of "$@" | grep -E "$ALONE" | in_turn
kinds="hosts" files_of "$@" | in_turn &
kinds="vm" files_of "$@" | in_turn &
wait

step "nothing is left behind" bun test/support/leftovers.ts after "$results/leftovers.json"

printf '\nthe slowest of %s s:\n' "$SECONDS"
sort -k4,4nr "$results"/*.count | head -n 12 | while read -r _ _ _ seconds name; do printf '%5s s  %s\n' "$seconds" "$name"; done
echo
cat "$results"/*.count | awk '
  { passed += $1; failed += $2; skipped += $3 }
  END {
    printf "%d passed, %d failed", passed, failed
    if (skipped > 0) printf ", %d skipped", skipped
    print ""
    exit failed > 0 ? 1 : 0
  }'
