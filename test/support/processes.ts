// SPDX-License-Identifier: Apache-2.0
// Processes as /proc shows them: which live in a lab host's namespaces, which carry the mark of a run, and ending them.
// Nothing is ever killed by name.
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { LAB_MARKER } from "./command.ts";

export interface ProcessInfo {
  readonly pid: number;
  /** Words of the command line. */
  readonly command: readonly string[];
}

/** A file of /proc, or undefined when the process is gone (or is a kernel thread's). */
function read(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return undefined;
  }
}

/** Identity of one of a process's namespaces, like `mnt:[4026532541]`. */
export function namespaceOf(pid: number, kind: "mnt" | "net" | "pid"): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/${kind}`);
  } catch {
    return undefined;
  }
}

export function allPids(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** Is it there and not a zombie? */
export function isAlive(pid: number): boolean {
  const stat = read(pid, "stat");
  return stat !== undefined && stat.charAt(stat.lastIndexOf(")") + 2) !== "Z";
}

export function commandOf(pid: number): string[] {
  return (read(pid, "cmdline") ?? "").split("\0").filter((word) => word !== "");
}

/** Value of a variable in the environment the process was started with. */
export function environmentOf(pid: number, name: string): string | undefined {
  const environment = read(pid, "environ");
  const entry = environment?.split("\0").find((line) => line.startsWith(`${name}=`));
  return entry?.slice(name.length + 1);
}

/** Every live process inside one of these mount namespaces. */
export function processesIn(mountNamespaces: ReadonlySet<string>): ProcessInfo[] {
  return allPids()
    .filter((pid) => mountNamespaces.has(namespaceOf(pid, "mnt") ?? "") && isAlive(pid))
    .map((pid) => ({ pid, command: commandOf(pid) }));
}

/** Processes whose lab is no more. Those in other pid namespaces count their labs by other numbers, so they are left alone. */
export function orphansOfDeadLabs(): ProcessInfo[] {
  const here = namespaceOf(process.pid, "pid");
  return allPids()
    .filter((pid) => {
      const lab = environmentOf(pid, LAB_MARKER);
      return lab !== undefined && !isAlive(Number(lab)) && namespaceOf(pid, "pid") === here && isAlive(pid);
    })
    .map((pid) => ({ pid, command: commandOf(pid) }));
}

export function kill(pid: number, signal: NodeJS.Signals = "SIGKILL"): void {
  try {
    process.kill(pid, signal);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "ESRCH") throw thrown;
  }
}

/** Kills all processes of these mount namespaces, also those born meanwhile, and waits until they are gone. Synchronous, so that
 *  it can run on the way out of a signal. */
export function killAllIn(mountNamespaces: ReadonlySet<string>, deadlineMs = 3_000): ProcessInfo[] {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const left = processesIn(mountNamespaces);
    if (left.length === 0 || performance.now() > end) return left;
    for (const { pid } of left) kill(pid);
    Bun.sleepSync(2);
  }
}
