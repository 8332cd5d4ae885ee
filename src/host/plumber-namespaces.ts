// SPDX-License-Identifier: Apache-2.0
// The network namespaces of this machine as attach sees them: references with an identity that no later namespace of this boot gets again. The
// inode alone is reused within milliseconds of a container's end; the kernel's cookie (SO_NETNS_COOKIE, Linux 5.14) is not.
import { readdirSync, readFileSync } from "node:fs";
import { isSystemError } from "../../native/errno.ts";
import { close } from "../../native/libc/fd.ts";
import { AF } from "../../native/libc/sockaddr.ts";
import { getOption, SOCK, SOL_SOCKET, socket } from "../../native/libc/socket.ts";
import type { Namespaces, NetnsRef } from "../attach/ports.ts";
import { UserError } from "../runtime/errors.ts";
import { enterNetns, Netns, namedNetns, processesIn } from "./netns.ts";

const SO_NETNS_COOKIE = 71; // asm-generic/socket.h

export class HostNamespaces implements Namespaces {
  /** Where ip-netns(8) keeps its names. */
  readonly #directory: string;
  readonly #home: Netns | undefined;

  /** `home`: the namespace this daemon works in, when that is not the calling thread's. */
  constructor(options: { directory?: string; home?: Netns } = {}) {
    this.#directory = options.directory ?? "/run/netns";
    this.#home = options.home;
  }

  host(): NetnsRef {
    if (this.#home) return referenceTo(this.#home);
    using own = Netns.current();
    return referenceTo(own);
  }

  named(name: string): NetnsRef | undefined {
    return this.at(`${this.#directory}/${name}`);
  }

  process(pid: number): NetnsRef | undefined {
    return this.at(`/proc/${pid}/ns/net`);
  }

  at(path: string): NetnsRef | undefined {
    using opened = openAllowed(path);
    return opened && referenceTo(opened);
  }

  search(id: string): NetnsRef | undefined {
    const inode = Number.parseInt(id, 10);
    for (const path of pathsOf(inode)) {
      const found = this.#look(path);
      if (found?.id === id) return found;
    }
    return undefined;
  }

  /** One path to each namespace that has a process or a name, this one included. Slow: looks at every process. */
  all(): readonly NetnsRef[] {
    const found = new Map<string, NetnsRef>();
    const named = namedNetns(this.#directory).map(({ path }) => path);
    for (const path of [...named, ...mountedNamespaces().map((mount) => mount.path), ...processPaths()]) {
      const reference = this.#look(path);
      if (reference && !found.has(reference.id)) found.set(reference.id, reference);
    }
    return [...found.values()];
  }

  // Some processes are not ours to look into (a hardened service, a container around us); they are no containers of ours either.
  #look(path: string): NetnsRef | undefined {
    try {
      using opened = openIfPresent(path);
      return opened && referenceTo(opened);
    } catch (thrown) {
      if (isSystemError(thrown, "EACCES", "EPERM")) return undefined;
      throw thrown;
    }
  }
}

/** Opens the very namespace `reference` means. @throws {UserError} conflict: it has gone, whatever is at its path now */
export function openReference(reference: NetnsRef): Netns {
  const opened = openIfThere(reference);
  if (opened) return opened;
  throw new UserError("conflict", `the network namespace ${reference.path} has gone`, "its container has ended");
}

/** undefined: it has ended. */
export function openIfThere(reference: NetnsRef): Netns | undefined {
  const opened = openIfPresent(reference.path);
  if (opened && referenceTo(opened).id === reference.id) return opened;
  opened?.[Symbol.dispose]();
  return undefined;
}

function referenceTo(netns: Netns): NetnsRef {
  const cookie = cookieOf(netns);
  return { path: netns.path, id: cookie === undefined ? `${netns.id.inode}` : `${netns.id.inode}.${cookie}` };
}

/** undefined: the kernel has no cookies. */
function cookieOf(netns: Netns): bigint | undefined {
  const fd = openSocketIn(netns);
  try {
    const value = getOption(fd, SOL_SOCKET, SO_NETNS_COOKIE, 8, "SO_NETNS_COOKIE");
    return new DataView(value.buffer).getBigUint64(0, true);
  } catch (thrown) {
    if (isSystemError(thrown, "ENOPROTOOPT")) return undefined;
    throw thrown;
  } finally {
    close(fd);
  }
}

function openSocketIn(netns: Netns): number {
  using _inside = enterNetns(netns);
  return socket(AF.UNIX, SOCK.DGRAM, 0);
}

/** @throws {UserError} forbidden */
function openAllowed(path: string): Netns | undefined {
  try {
    return openIfPresent(path);
  } catch (thrown) {
    if (!isSystemError(thrown, "EACCES", "EPERM")) throw thrown;
    const hint = "weave needs to see it from where it runs; containers around it must be privileged";
    throw new UserError("forbidden", `the network namespace ${path} may not be opened`, hint, { cause: thrown });
  }
}

function openIfPresent(path: string): Netns | undefined {
  try {
    return Netns.open(path);
  } catch (thrown) {
    if (thrown instanceof UserError) return undefined;
    if (isSystemError(thrown, "ENOENT", "ESRCH", "ENXIO")) return undefined; // the process ended between two looks
    throw thrown;
  }
}

function pathsOf(inode: number): string[] {
  const mounted = mountedNamespaces().filter((mount) => mount.inode === inode);
  return [...mounted.map((mount) => mount.path), ...processesIn({ device: 0, inode }).map((pid) => `/proc/${pid}/ns/net`)];
}

function processPaths(): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((name) => `/proc/${name}/ns/net`);
}

/** Bind-mounted network namespaces, from mountinfo (proc_pid_mountinfo(5)): the mount's root reads `net:[INODE]`. */
function mountedNamespaces(): { inode: number; path: string }[] {
  return [...readFileSync("/proc/self/mountinfo", "utf8").matchAll(/^\d+ \d+ \S+ net:\[(\d+)\] (\S+) /gm)].map((match) => ({
    inode: Number(match[1]),
    path: unescapeMount(match[2] ?? ""),
  }));
}

// Space, tab, newline and backslash are written as three octal digits.
function unescapeMount(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
