// SPDX-License-Identifier: Apache-2.0
// systemd on both sides: telling it how the daemon is (sd_notify(3), watchdog), and asking it to start and stop our unit.
import { existsSync, fstatSync, readFileSync } from "node:fs";
import { isSystemError } from "../../native/errno.ts";
import { notifyServiceManager } from "../../native/libc/notify.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** The service manager that started this process. */
export class ServiceManager {
  readonly #socket: string;
  /** Within this many ms it wants to hear `alive`, or it kills us; undefined: it does not watch. */
  readonly watchdogMs: number | undefined;

  private constructor(socket: string, watchdogMs: number | undefined) {
    this.#socket = socket;
    this.watchdogMs = watchdogMs;
  }

  /** undefined when nobody waits for our notifications. @param pid of this process */
  static fromEnvironment(env: Environment, pid: number): ServiceManager | undefined {
    const socket = env["NOTIFY_SOCKET"];
    if (socket === undefined || !/^[/@]./.test(socket)) return undefined;
    const microseconds = Number(env["WATCHDOG_USEC"]);
    const watched = env["WATCHDOG_PID"] === undefined || Number(env["WATCHDOG_PID"]) === pid;
    return new ServiceManager(socket, watched && microseconds > 0 ? microseconds / 1000 : undefined);
  }

  /** Start-up is complete. */
  ready(status: string): boolean {
    return this.#send("READY=1", statusLine(status));
  }
  status(status: string): boolean {
    return this.#send(statusLine(status));
  }
  /** The configuration is read again; `ready` follows. */
  reloading(): boolean {
    return this.#send("RELOADING=1");
  }
  stopping(): boolean {
    return this.#send("STOPPING=1");
  }
  /** The daemon's loop still turns. Call it at least twice within `watchdogMs`. */
  alive(): boolean {
    return this.#send("WATCHDOG=1");
  }
  /** Start or stop takes longer than configured; it is given this much more from now. */
  extendTimeout(ms: number): boolean {
    return this.#send(`EXTEND_TIMEOUT_USEC=${Math.round(ms * 1000)}`);
  }

  // A manager that is gone must not bring us down with it.
  #send(...lines: string[]): boolean {
    try {
      return notifyServiceManager(this.#socket, lines);
    } catch (thrown) {
      if (isSystemError(thrown)) return false;
      throw thrown;
    }
  }
}

function statusLine(text: string): string {
  return `STATUS=${text.replaceAll(/\s*\n\s*/g, "; ")}`;
}

/** Whether what we write to `fd` goes straight to the journal, which takes a priority prefix (systemd.exec(5), JOURNAL_STREAM). */
export function writesToJournal(env: Environment, fd = 2): boolean {
  const [device, inode] = (env["JOURNAL_STREAM"] ?? "").split(":");
  if (device === undefined || inode === undefined) return false;
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return String(dev) === device && String(ino) === inode;
}

/** Whether systemd is this machine's first process, sd_booted(3). */
export function isSystemdBooted(): boolean {
  if (!existsSync("/run/systemd/system")) return false;
  try {
    return readFileSync("/proc/1/comm", "utf8").trim() === "systemd";
  } catch {
    return false; // hidden /proc: not ours to command
  }
}

const UNIT_DIRECTORIES = [
  "/etc/systemd/system",
  "/run/systemd/system",
  "/usr/local/lib/systemd/system",
  "/usr/lib/systemd/system",
  "/lib/systemd/system",
];

export function isUnitInstalled(unit: string): boolean {
  return UNIT_DIRECTORIES.some((directory) => existsSync(`${directory}/${unit}`));
}

export interface UnitState {
  /** `active`, `activating`, `inactive`, `failed`, … */
  readonly active: string;
  /** 0: none */
  readonly mainPid: number;
}

export async function unitState(unit: string): Promise<UnitState> {
  const { stdout } = await run(["systemctl", "show", "--property=ActiveState,MainPID", unit]);
  const values = new Map(stdout.split("\n").map((line) => [line.split("=")[0], line.slice(line.indexOf("=") + 1)]));
  return { active: values.get("ActiveState") ?? "", mainPid: Number(values.get("MainPID") ?? 0) };
}

/** As `systemctl show` writes it; empty when there is no such unit. */
export async function unitProperty(unit: string, property: string): Promise<string> {
  return (await run(["systemctl", "show", "--value", `--property=${property}`, unit])).stdout.trim();
}

/** Waits until the job is done; a unit of type notify is then ready, or stopped. Returns what systemd says when it fails. */
export async function startUnit(unit: string): Promise<string | undefined> {
  return failure(await run(["systemctl", "start", unit]));
}
export async function stopUnit(unit: string): Promise<string | undefined> {
  return failure(await run(["systemctl", "stop", unit]));
}

/** The unit's last log lines; none when the journal cannot be read. */
export async function unitLog(unit: string, lines: number): Promise<readonly string[]> {
  const { code, stdout } = await run(["journalctl", "-u", unit, "-n", String(lines), "-o", "cat", "--no-pager"]);
  return code === 0 ? stdout.trimEnd().split("\n") : [];
}

interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(command: readonly string[]): Promise<Finished> {
  const child = Bun.spawn([...command], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, stdout, stderr };
}

function failure({ code, stderr }: Finished): string | undefined {
  return code === 0 ? undefined : stderr.trim() || `exit code ${code}`;
}
