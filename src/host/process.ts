// SPDX-License-Identifier: Apache-2.0
// The daemon as a process, seen from the command line: starting it detached, finding who answers on its socket, ending it; and what this
// process itself is allowed to do.
import { closeSync, fstatSync, mkdirSync, openSync, readFileSync, readSync, renameSync } from "node:fs";
import { dirname } from "node:path";
import { isSystemError } from "../../native/errno.ts";
import { close } from "../../native/libc/fd.ts";
import { type Capability, missingCapabilities } from "../../native/libc/process.ts";
import { AF, unixAddress } from "../../native/libc/sockaddr.ts";
import { connect, peerCredentials, SOCK, socket } from "../../native/libc/socket.ts";
import { fileErrorText, UserError } from "../runtime/errors.ts";

/** A log above this is set aside as `….1` when the next daemon starts. */
const LOG_LIMIT_BYTES = 8 * 1024 * 1024;
/** What the daemon cannot do without, whatever the kernel; CAP_SYS_ADMIN includes what CAP_BPF splits off. */
const NEEDED: readonly Capability[] = ["NET_ADMIN", "NET_RAW", "SYS_ADMIN"];

/** The command that runs this program again: the executable, or Bun with the script when run from the sources. */
export function selfCommand(): readonly string[] {
  return Bun.main.startsWith("/$bunfs/") ? [process.execPath] : [process.execPath, Bun.main];
}

/** Capabilities this process lacks to run the daemon. */
export function missingPrivileges(): readonly string[] {
  return missingCapabilities(NEEDED).map((name) => `CAP_${name}`);
}

export interface DetachedProcess {
  readonly pid: number;
  /** How it ended, in words; undefined while it runs. */
  ended(): string | undefined;
  /** The last lines it wrote, at most `count`. */
  lastLines(count: number): readonly string[];
}

/** Starts a program in a session of its own, so that it outlives the terminal, with its output appended to a log.
 *  @throws {UserError} the log cannot be written @throws {Error} it cannot be started */
export function startDetached(
  command: readonly string[],
  options: { readonly logPath: string; readonly env: Readonly<Record<string, string>> },
): DetachedProcess {
  const log = openLogOrRefuse(options.logPath);
  try {
    const child = Bun.spawn([...command], {
      detached: true,
      stdio: ["ignore", log.fd, log.fd],
      cwd: "/",
      env: { ...options.env },
    });
    child.unref();
    return {
      pid: child.pid,
      ended: () => endOf(child),
      lastLines: (count) => linesFrom(options.logPath, log.size, count),
    };
  } finally {
    closeSync(log.fd);
  }
}

function endOf({ exitCode, signalCode }: Pick<Bun.Subprocess, "exitCode" | "signalCode">): string | undefined {
  if (signalCode !== null) return `signal ${signalCode}`;
  return exitCode === null ? undefined : `exit code ${exitCode}`;
}

function openLogOrRefuse(path: string): ReturnType<typeof openLog> {
  try {
    return openLog(path);
  } catch (thrown) {
    const why = fileErrorText(thrown);
    throw new UserError("unavailable", `cannot write the daemon's log '${path}': ${why}`, "it needs a writable /run", {
      cause: thrown,
    });
  }
}

function openLog(path: string): { readonly fd: number; readonly size: number } {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  const fd = openSync(path, "a", 0o640);
  const { size } = fstatSync(fd);
  if (size <= LOG_LIMIT_BYTES) return { fd, size };
  closeSync(fd);
  renameSync(path, `${path}.1`);
  return { fd: openSync(path, "a", 0o640), size: 0 };
}

const TAIL_BYTES = 16 * 1024;

function linesFrom(path: string, start: number, count: number): readonly string[] {
  const fd = openSync(path, "r");
  try {
    const { size } = fstatSync(fd);
    const bytes = Buffer.alloc(Math.min(TAIL_BYTES, Math.max(0, size - start)));
    readSync(fd, bytes, 0, bytes.length, size - bytes.length);
    return bytes.toString("utf8").trimEnd().split("\n").slice(-count);
  } finally {
    closeSync(fd);
  }
}

/** A process that cannot be mistaken for a later one with the same number. */
export interface ProcessRef {
  readonly pid: number;
  /** Start time in clock ticks since boot, proc(5). */
  readonly start: string;
}

/** Who listens on a unix socket; undefined: nobody. The kernel remembers it, so a daemon that hangs is found too.
 *  @throws {SystemError} we may not connect */
export function listenerOf(socketPath: string): ProcessRef | undefined {
  const fd = socket(AF.UNIX, SOCK.STREAM | SOCK.NONBLOCK, 0);
  try {
    connect(fd, unixAddress(socketPath), socketPath);
    return processRef(peerCredentials(fd).pid);
  } catch (thrown) {
    if (isSystemError(thrown, "ENOENT", "ECONNREFUSED")) return undefined;
    throw thrown;
  } finally {
    close(fd);
  }
}

/** undefined: there is no such process, or only its exit status is left. */
export function processRef(pid: number): ProcessRef | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    return undefined; // gone
  }
  // pid (name) state … starttime is field 22; the name may hold anything, so count from its end.
  const [state, ...fields] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return state === "Z" || state === "X" ? undefined : { pid, start: fields[18] ?? "" };
}

export function isRunning({ pid, start }: ProcessRef): boolean {
  return processRef(pid)?.start === start;
}

/** False: it is gone already. @throws {Error} EPERM */
export function signalProcess(process_: ProcessRef, signal: "SIGTERM" | "SIGKILL"): boolean {
  if (!isRunning(process_)) return false;
  try {
    return process.kill(process_.pid, signal);
  } catch (thrown) {
    if (thrown instanceof Error && "code" in thrown && thrown.code === "ESRCH") return false;
    throw thrown;
  }
}
