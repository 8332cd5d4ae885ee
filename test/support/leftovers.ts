// SPDX-License-Identifier: Apache-2.0
// What a test run left on this machine. `leftovers.ts before FILE` notes what is there, `leftovers.ts after FILE` tells what is
// there now that was not, and ends with 1 if there is anything. Things of other runs on the same machine do not count: names carry
// the pid of their maker, and processes the mark of their run.
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { run } from "./command.ts";
import { EXECUTABLE } from "./lab-host.ts";
import { allPids, commandOf, environmentOf, isAlive, kill, namespaceOf, processesIn } from "./processes.ts";

interface Inventory {
  readonly links: readonly string[];
  readonly namespaces: readonly string[];
  readonly mounts: readonly string[];
  readonly pins: readonly string[];
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

/** Processes of this run: they inherited its mark, the ones that are asking now excepted; and daemons of the executable under test,
 *  whose environment is their own, that have been left alone in their host. */
function processesOfThisRun(): number[] {
  const own = new Set([process.pid, process.ppid, Number(MARK)]);
  return allPids().filter((pid) => {
    if (MARK === undefined || own.has(pid) || !isAlive(pid)) return false;
    return environmentOf(pid, "WEAVE_TEST_RUN") === MARK || isLonelyDaemon(pid);
  });
}

function executableOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return undefined;
  }
}

/** A process of the executable under test in a mount namespace in which only such processes are left. */
function isLonelyDaemon(pid: number): boolean {
  if (executableOf(pid) !== EXECUTABLE) return false;
  const place = namespaceOf(pid, "mnt");
  return place !== undefined && processesIn(new Set([place])).every((other) => executableOf(other.pid) === EXECUTABLE);
}

async function inventory(): Promise<Inventory> {
  const links = JSON.parse((await run(["ip", "-j", "link"])).stdout || "[]") as { ifname: string }[];
  return {
    links: links.map(({ ifname }) => ifname),
    namespaces: names("/run/netns"),
    mounts: readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .map((line) => line.split(" ").slice(0, 3).join(" "))
      .filter((line) => line !== ""),
    pins: names("/sys/fs/bpf"),
    processes: processesOfThisRun().map((pid) => `${pid} ${commandOf(pid).join(" ")}`),
  };
}

/** Does the name carry the pid of a live process that is not of this run? */
function belongsToOthers(name: string): boolean {
  return (name.match(/\d{3,}/g) ?? []).some((digits) => {
    const pid = Number(digits);
    return isAlive(pid) && environmentOf(pid, "WEAVE_TEST_RUN") !== MARK;
  });
}

/** What is in `now` and was not `before`. */
function added(before: Inventory, now: Inventory): string[] {
  const kinds = ["links", "namespaces", "mounts", "pins"] as const;
  const things = kinds.flatMap((kind) => {
    const known = new Set(before[kind]);
    return now[kind].filter((name) => !known.has(name) && !belongsToOthers(name)).map((name) => `${kind}: ${name}`);
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
