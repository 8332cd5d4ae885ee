// SPDX-License-Identifier: Apache-2.0
// Network namespaces of this machine: opening one by the path of its file, entering it, naming it, finding who lives in it.
// Entering is for synchronous code that opens a socket and nothing else: whatever is awaited inside, or any thread born meanwhile, ends up
// in the foreign namespace.
import { readdirSync, readlinkSync, statSync } from "node:fs";
import { isSystemError } from "../../native/errno.ts";
import { close, type FileId, fileSystemType, fstat, ioctl, O, open } from "../../native/libc/fd.ts";
import { abort, CLONE, setns } from "../../native/libc/process.ts";
import { UserError } from "../runtime/errors.ts";

const NSFS_MAGIC = 0x6e736673; // linux/magic.h
const NS_GET_NSTYPE = 0xb703; // linux/nsfs.h
const NAMED_DIRECTORY = "/run/netns"; // where ip-netns(8) keeps its names
const HOME_PATH = "/proc/thread-self/ns/net"; // not /proc/self: that is the main thread's, also in a Worker

/** What tells one namespace from another, as long as something keeps it alive. */
export type NetnsId = FileId;

/** An open network namespace: it lives at least as long as this does. */
export class Netns implements Disposable {
  readonly path: string;
  readonly id: NetnsId;
  #fd: number | null;

  private constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
    this.id = identityOf(fd);
  }

  /** Opens the file at `path`: /proc/PID/ns/net, /run/netns/NAME, or any path one is bind-mounted on.
   *  @throws {UserError} it does not exist or is no network namespace  @throws {SystemError} otherwise */
  static open(path: string): Netns {
    const fd = openNamespace(path);
    try {
      return new Netns(path, fd);
    } catch (thrown) {
      close(fd);
      throw thrown;
    }
  }
  /** The namespace the calling thread is in. */
  static current(): Netns {
    return Netns.open(HOME_PATH);
  }

  /** For netlink messages that name a namespace. @throws {TypeError} closed */
  get fd(): number {
    if (this.#fd === null) throw new TypeError(`the namespace ${this.path} is closed`);
    return this.#fd;
  }
  /** For keys of maps and for records: `4:4026531840`. */
  get key(): string {
    return netnsKey(this.id);
  }
  isSame(other: Netns): boolean {
    return this.id.device === other.id.device && this.id.inode === other.id.inode;
  }

  [Symbol.dispose](): void {
    if (this.#fd !== null) close(this.#fd);
    this.#fd = null;
  }
}

export function netnsKey(id: NetnsId): string {
  return `${id.device}:${id.inode}`;
}

/** Moves the thread into `netns` until the returned object is disposed. Use it only as `using _ = enterNetns(netns)` around synchronous
 *  code. If the way back is barred the process ends: going on in a foreign namespace would change the wrong machine. @throws {SystemError} */
export function enterNetns(netns: Netns): Disposable {
  const home = open(HOME_PATH);
  try {
    setns(netns.fd, CLONE.NEWNET, netns.path);
  } catch (thrown) {
    close(home);
    throw thrown;
  }
  return { [Symbol.dispose]: () => leave(home) };
}

/** Runs `work` inside. It must not be asynchronous. @throws whatever `work` throws */
export function inNetns<Result>(netns: Netns, work: () => Result extends Promise<unknown> ? never : Result): Result {
  using _inside = enterNetns(netns);
  return work();
}

/** Names and paths of the namespaces ip-netns(8) knows, sorted; empty when it was never used. */
export function namedNetns(directory = NAMED_DIRECTORY): { name: string; path: string }[] {
  return entriesOf(directory)
    .sort()
    .map((name) => ({ name, path: `${directory}/${name}` }));
}

/** The processes that live in a namespace, ascending. A process that ends while we look is left out. */
export function processesIn(id: NetnsId, proc = "/proc"): number[] {
  const link = `net:[${id.inode}]`;
  return entriesOf(proc)
    .filter((name) => /^\d+$/.test(name) && readNamespaceLink(`${proc}/${name}/ns/net`) === link)
    .map(Number)
    .sort((a, b) => a - b);
}

/** The path of a process's namespace. @throws {UserError} no such process */
export function netnsOfProcess(pid: number): string {
  const path = `/proc/${pid}/ns/net`;
  if (statSync(`/proc/${pid}`, { throwIfNoEntry: false }) === undefined) {
    throw new UserError("not-found", `no process ${pid}`, "name a running process or container");
  }
  return path;
}

function leave(home: number): void {
  try {
    setns(home, CLONE.NEWNET, "home");
  } catch (thrown) {
    console.error(`<2>cannot return to the host's network namespace: ${thrown instanceof Error ? thrown.message : thrown}`);
    abort();
  }
  close(home);
}

// Looked at through O_PATH first, because opening an arbitrary file can block (FIFO) or act (device).
function openNamespace(path: string): number {
  const handle = openPath(path);
  try {
    if (fileSystemType(handle) !== NSFS_MAGIC) throw notANamespace(path);
    const fd = open(`/proc/thread-self/fd/${handle}`, O.RDONLY);
    if (ioctl(fd, NS_GET_NSTYPE, null, "NS_GET_NSTYPE", path) === CLONE.NEWNET) return fd;
    close(fd);
    throw notANamespace(path);
  } finally {
    close(handle);
  }
}

function openPath(path: string): number {
  try {
    return open(path, O.PATH);
  } catch (thrown) {
    if (isSystemError(thrown, "ENOENT", "ENOTDIR", "ESRCH")) {
      throw new UserError("not-found", `no network namespace at '${path}'`, "list them with 'ip netns' or 'lsns -t net'", {
        cause: thrown,
      });
    }
    throw thrown;
  }
}

function notANamespace(path: string): UserError {
  return new UserError(
    "bad-request",
    `'${path}' is not a network namespace`,
    "give a path such as /run/netns/NAME or /proc/PID/ns/net",
  );
}

function identityOf(fd: number): NetnsId {
  const { device, inode } = fstat(fd);
  return { device, inode };
}

function readNamespaceLink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (thrown) {
    if (hasCode(thrown, "ENOENT", "ESRCH", "EACCES", "EPERM")) return undefined; // ended meanwhile, or not ours to look at
    throw thrown;
  }
}

function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (thrown) {
    if (hasCode(thrown, "ENOENT")) return [];
    throw thrown;
  }
}

function hasCode(thrown: unknown, ...codes: readonly string[]): boolean {
  return thrown instanceof Error && "code" in thrown && codes.includes(String(thrown.code));
}
