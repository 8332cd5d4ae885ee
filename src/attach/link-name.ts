// SPDX-License-Identifier: Apache-2.0
// Names and MACs of the links we make. The name of a host end says whose it is: `vethwepl<pid>` where a process is known, else the
// namespace's inode in base 36. MACs are derived from this host's name and the first address, so a container that comes back with its
// address comes back with its MAC, and neighbours' ARP tables stay right.
import type { Ip } from "../net/ip.ts";
import { localUnicastMac, type Mac } from "../net/mac.ts";
import { UserError } from "../runtime/errors.ts";
import type { Target } from "./target.ts";

export const PORT_PREFIX = "vethwepl";
/** IFNAMSIZ in linux/if.h is 16 with the final NUL. */
const LINK_NAME_LENGTH = 15;

/** Names for the host end, best first; a name that is taken is passed over. Endless. */
export function* hostLinkNames(target: Pick<Target, "pid" | "netns">): Generator<string, never> {
  const room = LINK_NAME_LENGTH - PORT_PREFIX.length;
  if (target.pid !== undefined) yield `${PORT_PREFIX}${target.pid}`.slice(0, LINK_NAME_LENGTH);
  const inode = Number.parseInt(target.netns.id, 10);
  if (Number.isSafeInteger(inode)) yield `${PORT_PREFIX}${inode.toString(36).slice(-room)}`;
  for (let attempt = 0; ; attempt++) {
    yield `${PORT_PREFIX}${hash48(`${target.netns.id} ${attempt}`).toString(36).slice(-room)}`;
  }
}

/** MACs for one end of a link, best first; one that is taken on this host is passed over. Endless. */
export function* linkMacs(hostName: string, end: "guest" | "host", address: Ip): Generator<Mac, never> {
  for (let attempt = 0; ; attempt++) yield localUnicastMac(hash48(`${hostName} ${end} ${address} ${attempt}`));
}

/** The pair between our bridge and another: our end and the other's. */
export function bridgePair(hostName: string, bridge: string): Readonly<Record<"near" | "far", { name: string; mac: Mac }>> {
  const room = LINK_NAME_LENGTH - "vethwebl".length;
  const suffix = bridge.length <= room ? bridge : hash48(bridge).toString(36).slice(-room);
  const end = (prefix: string): { name: string; mac: Mac } => {
    return { name: `${prefix}${suffix}`, mac: localUnicastMac(hash48(`${hostName} ${prefix} ${bridge}`)) };
  };
  return { near: end("vethwebl"), far: end("vethwebg") };
}

/** The first of an endless list that is free. */
export function firstFree<Item>(candidates: Generator<Item, never>, isTaken: (candidate: Item) => boolean): Item {
  for (;;) {
    const candidate = candidates.next().value;
    if (!isTaken(candidate)) return candidate;
  }
}

const RESERVED_LINK = /^(weave|vxlan-|vethwe|lo$|datapath$)/;

/** @throws {UserError} bad-request: the kernel, or we, would not take it as the name of a tap */
export function checkTapName(name: string): string {
  if (!/^[^\s/:%]{1,15}$/.test(name) || name === "." || name === "..") {
    throw new UserError(
      "bad-request",
      `'${name}' cannot be the name of a tap`,
      "an interface name has 1 to 15 characters, no space, slash, colon or percent sign",
    );
  }
  if (RESERVED_LINK.test(name)) {
    throw new UserError(
      "bad-request",
      `'${name}' cannot be the name of a tap: weave names its own links so`,
      "choose a name such as tap-vm1",
    );
  }
  return name;
}

// Two rounds of FNV-1a (32 bits, Noll) with different starts, mixed: spread evenly enough for 46 bits of a MAC; nothing depends on secrecy.
function hash48(text: string): number {
  return (mix(fnv(text, 0x811c9dc5)) & 0xffff) * 2 ** 32 + mix(fnv(text, 0x01000193));
}

function fnv(text: string, start: number): number {
  let hash = start;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}

// Finaliser of MurmurHash3 (Appleby), so that near texts end far apart.
function mix(hash: number): number {
  let word = hash ^ (hash >>> 16);
  word = Math.imul(word, 0x85ebca6b);
  word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
  return (word ^ (word >>> 16)) >>> 0;
}
