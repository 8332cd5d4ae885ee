// SPDX-License-Identifier: Apache-2.0
// What a test run left behind. `leftovers.ts before FILE` notes what is there, `leftovers.ts after FILE` tells what is there now that
// was not, and ends with 1 if there is anything. It looks only at what can be of this run alone: its temporary files, the processes
// that carry its mark, and all there is in the namespaces that `run.sh` made for it, if it made some.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { run } from "./command.ts";
import { allPids, commandOf, environmentOf, isAlive, kill } from "./processes.ts";

interface Inventory {
  readonly links: readonly string[];
  readonly namespaces: readonly string[];
  readonly mounts: readonly string[];
  readonly pins: readonly string[];
  readonly files: readonly string[];
  readonly processes: readonly string[];
}

function names(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

const MARK = process.env["WEAVE_TEST_RUN"];
/** Are the namespaces the run's own? Then the first process is. */
const OWN_MACHINE = MARK !== undefined && environmentOf(1, "WEAVE_TEST_RUN") === MARK;

/** Processes of this run, those that are asking now excepted. */
function processesOfThisRun(): number[] {
  const own = new Set([1, process.pid, process.ppid]);
  return allPids().filter((pid) => {
    if (MARK === undefined || own.has(pid) || !isAlive(pid)) return false;
    return OWN_MACHINE || environmentOf(pid, "WEAVE_TEST_RUN") === MARK;
  });
}

async function inventory(): Promise<Inventory> {
  const processes = processesOfThisRun().map((pid) => `${pid} ${commandOf(pid).join(" ")}`);
  const files = MARK === undefined ? [] : names(tmpdir());
  if (!OWN_MACHINE) return { links: [], namespaces: [], mounts: [], pins: [], files, processes };
  const links = JSON.parse((await run(["ip", "-j", "link"])).stdout || "[]") as { ifname: string }[];
  return {
    links: links.map(({ ifname }) => ifname),
    namespaces: names("/run/netns"),
    mounts: readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .map((line) => line.split(" ").slice(0, 3).join(" "))
      // iproute2 makes its folder a mount of its own when the first namespace gets a name, and leaves it so.
      .filter((line) => line !== "" && line.split(" ")[1] !== "/run/netns"),
    pins: names("/sys/fs/bpf"),
    files,
    processes,
  };
}

/** What is in `now` and was not `before`. */
function added(before: Inventory, now: Inventory): string[] {
  const kinds = ["links", "namespaces", "mounts", "pins", "files"] as const;
  const things = kinds.flatMap((kind) => {
    const known = new Set(before[kind]);
    return now[kind].filter((name) => !known.has(name)).map((name) => `${kind}: ${name}`);
  });
  return [...things, ...now.processes.map((process) => `process: ${process}`)];
}

const [mode, file = ""] = process.argv.slice(2);
if (mode === "before") {
  writeFileSync(file, JSON.stringify(await inventory()));
} else {
  const before = JSON.parse(readFileSync(file, "utf8")) as Inventory;
  // Namespaces go a moment after their last process.
  const deadline = performance.now() + 3_000;
  let left = added(before, await inventory());
  while (left.length > 0 && performance.now() < deadline) {
    await Bun.sleep(100);
    left = added(before, await inventory());
  }
  for (const line of left) console.log(`left behind: ${line}`);
  // They are ours by their mark, and whoever waits for this run's output waits for them too.
  for (const pid of processesOfThisRun()) kill(pid);
  process.exit(left.length === 0 ? 0 : 1);
}
