// SPDX-License-Identifier: Apache-2.0
// WireGuard devices: key, port and peers (generic netlink family `wireguard`, linux/wireguard.h). Making and removing the link is
// rtnetlink's. Keys have 32 bytes; addresses 4 or 16, in network order.
import { isSystemError } from "../errno.ts";
import { allocate } from "../ffi.ts";
import { AF, inetAddress, SOCKADDR_IN, SOCKADDR_IN6 } from "../libc/sockaddr.ts";
import { Attributes, type Message, NLM_F } from "./codec.ts";
import { GENLMSGHDR, type GenericFamily, genericRequest } from "./generic.ts";
import type { NetlinkSocket } from "./socket.ts";

export const WG_GENL_NAME = "wireguard";
export const WG_KEY_LEN = 32;
export const WG_CMD = { GET_DEVICE: 0, SET_DEVICE: 1 } as const;
export const WGDEVICE_A = {
  IFINDEX: 1,
  PRIVATE_KEY: 3,
  PUBLIC_KEY: 4,
  FLAGS: 5,
  LISTEN_PORT: 6,
  PEERS: 8,
} as const;
export const WGDEVICE_F = { REPLACE_PEERS: 1 } as const;
export const WGPEER_A = {
  PUBLIC_KEY: 1,
  PRESHARED_KEY: 2,
  FLAGS: 3,
  ENDPOINT: 4,
  PERSISTENT_KEEPALIVE_INTERVAL: 5,
  LAST_HANDSHAKE_TIME: 6,
  RX_BYTES: 7,
  TX_BYTES: 8,
  ALLOWEDIPS: 9,
} as const;
export const WGPEER_F = { REMOVE_ME: 1, REPLACE_ALLOWEDIPS: 2, UPDATE_ONLY: 4 } as const;
export const WGALLOWEDIP_A = { FAMILY: 1, IPADDR: 2, CIDR_MASK: 3 } as const;
/** struct __kernel_timespec, linux/time_types.h: both fields of 8 bytes. */
export const KERNEL_TIMESPEC = { size: 16, seconds: 0, nanoseconds: 8 } as const;

/** A message holds this much of peers at most: well below the 64 KB of one attribute and the socket's buffer. */
const PEERS_BYTES = 32_768;
/** And one entry of a peer this many networks; the rest follows in further entries. */
const ALLOWED_PER_ENTRY = 512;

export interface WireguardEndpoint {
  readonly address: Uint8Array;
  readonly port: number;
}
export interface AllowedNetwork {
  readonly address: Uint8Array;
  readonly prefixLength: number;
}
export interface WireguardPeerRecord {
  readonly publicKey: Uint8Array;
  /** All zero: none. */
  readonly presharedKey: Uint8Array;
  /** Where it was last heard or is presumed; undefined: neither. */
  readonly endpoint: WireguardEndpoint | undefined;
  /** 0: off. */
  readonly keepaliveSeconds: number;
  /** Wall-clock ms; undefined: none yet. */
  readonly handshakeMs: number | undefined;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly allowed: readonly AllowedNetwork[];
}
export interface WireguardRecord {
  /** undefined: it has none yet. */
  readonly privateKey: Uint8Array | undefined;
  readonly port: number;
  readonly peers: readonly WireguardPeerRecord[];
}

/** What is absent stays. None of it ends a running session; a preshared key counts from the next handshake on. */
export interface WireguardPeerChange {
  readonly publicKey: Uint8Array;
  readonly presharedKey?: Uint8Array;
  readonly endpoint?: WireguardEndpoint;
  readonly keepaliveSeconds?: number;
  /** Instead of those it has. A network belongs to one peer: whoever had it loses it. */
  readonly allowed?: readonly AllowedNetwork[];
  /** Only if the kernel has it; otherwise it is made. */
  readonly updateOnly?: boolean;
  readonly remove?: boolean;
}
export interface WireguardChange {
  readonly privateKey?: Uint8Array;
  readonly port?: number;
  /** All the device has go first. */
  readonly replacePeers?: boolean;
  readonly peers?: readonly WireguardPeerChange[];
}

/** undefined: no such link, or one of another kind. Tells the private key, so it needs CAP_NET_ADMIN. @throws {NetlinkError} */
export function readWireguard(socket: NetlinkSocket, family: GenericFamily, linkIndex: number): WireguardRecord | undefined {
  const writer = genericRequest(family, WG_CMD.GET_DEVICE, NLM_F.REQUEST | NLM_F.DUMP);
  writer.attributeU32(WGDEVICE_A.IFINDEX, linkIndex);
  try {
    const subject = { call: "WG_CMD_GET_DEVICE", object: `link ${linkIndex}` };
    return joinDevice(socket.dump(writer, subject, decodeWireguard));
  } catch (thrown) {
    if (isSystemError(thrown, "ENODEV", "EOPNOTSUPP")) return undefined;
    throw thrown;
  }
}

/** In order; in several messages when it is much, of which the first ones hold even if a later one is refused.
 *  @throws {NetlinkError} ENODEV: no such link  EOPNOTSUPP: one of another kind  EADDRINUSE: the port is taken */
export function changeWireguard(socket: NetlinkSocket, family: GenericFamily, linkIndex: number, change: WireguardChange): void {
  const { privateKey, port, replacePeers, peers = [] } = change;
  const batches = batchesOf(peers.flatMap(entriesOf));
  for (const [i, batch] of (batches.length === 0 ? [[]] : batches).entries()) {
    const writer = genericRequest(family, WG_CMD.SET_DEVICE, NLM_F.REQUEST | NLM_F.ACK);
    writer.attributeU32(WGDEVICE_A.IFINDEX, linkIndex);
    if (i === 0) {
      if (privateKey) writer.attribute(WGDEVICE_A.PRIVATE_KEY, privateKey);
      if (port !== undefined) writer.attributeU16(WGDEVICE_A.LISTEN_PORT, port);
      if (replacePeers) writer.attributeU32(WGDEVICE_A.FLAGS, WGDEVICE_F.REPLACE_PEERS);
    }
    if (batch.length > 0) {
      writer.nested(WGDEVICE_A.PEERS, () => {
        for (const entry of batch) writer.nested(0, () => writeEntry(writer, entry));
      });
    }
    socket.request(writer, { call: "WG_CMD_SET_DEVICE", object: `link ${linkIndex}` });
  }
}

type Writer = ReturnType<typeof genericRequest>;
interface Entry {
  readonly change: WireguardPeerChange;
  readonly flags: number;
}

function entriesOf(change: WireguardPeerChange): Entry[] {
  if (change.remove) return [{ change: { publicKey: change.publicKey }, flags: WGPEER_F.REMOVE_ME }];
  const { allowed } = change;
  const flags = (change.updateOnly ? WGPEER_F.UPDATE_ONLY : 0) | (allowed ? WGPEER_F.REPLACE_ALLOWEDIPS : 0);
  if (allowed === undefined || allowed.length <= ALLOWED_PER_ENTRY) return [{ change, flags }];
  const entries: Entry[] = [{ change: { ...change, allowed: allowed.slice(0, ALLOWED_PER_ENTRY) }, flags }];
  for (let at = ALLOWED_PER_ENTRY; at < allowed.length; at += ALLOWED_PER_ENTRY) {
    const more = { publicKey: change.publicKey, allowed: allowed.slice(at, at + ALLOWED_PER_ENTRY) };
    entries.push({ change: more, flags: WGPEER_F.UPDATE_ONLY });
  }
  return entries;
}

// Rough and never too low: 148 bytes of attributes, 36 for each network.
function batchesOf(entries: readonly Entry[]): Entry[][] {
  const batches: Entry[][] = [];
  let room = 0;
  for (const entry of entries) {
    const bytes = 148 + 36 * (entry.change.allowed?.length ?? 0);
    if (bytes > room) {
      batches.push([]);
      room = PEERS_BYTES;
    }
    batches.at(-1)?.push(entry);
    room -= bytes;
  }
  return batches;
}

function writeEntry(writer: Writer, { change, flags }: Entry): void {
  const { publicKey, presharedKey, endpoint, keepaliveSeconds, allowed } = change;
  writer.attribute(WGPEER_A.PUBLIC_KEY, publicKey);
  if (flags !== 0) writer.attributeU32(WGPEER_A.FLAGS, flags);
  if (presharedKey) writer.attribute(WGPEER_A.PRESHARED_KEY, presharedKey);
  if (endpoint) writer.attribute(WGPEER_A.ENDPOINT, inetAddress(endpoint.address, endpoint.port));
  if (keepaliveSeconds !== undefined) writer.attributeU16(WGPEER_A.PERSISTENT_KEEPALIVE_INTERVAL, keepaliveSeconds);
  if (!allowed?.length) return;
  writer.nested(WGPEER_A.ALLOWEDIPS, () => {
    for (const { address, prefixLength } of allowed) {
      writer.nested(0, () => {
        writer.attributeU16(WGALLOWEDIP_A.FAMILY, address.length === 16 ? AF.INET6 : AF.INET);
        writer.attribute(WGALLOWEDIP_A.IPADDR, address).attributeU8(WGALLOWEDIP_A.CIDR_MASK, prefixLength);
      });
    }
  });
}

interface Part {
  readonly privateKey: Uint8Array | undefined;
  readonly port: number | undefined;
  readonly peers: readonly WireguardPeerRecord[];
}

/** One message of an answer; undefined: not one. */
export function decodeWireguard(message: Message): Part | undefined {
  if (message.end - message.start < GENLMSGHDR.size) return undefined;
  const attributes = Attributes.of(message, GENLMSGHDR.size);
  return {
    privateKey: fixed(attributes.bytes(WGDEVICE_A.PRIVATE_KEY)),
    port: attributes.u16(WGDEVICE_A.LISTEN_PORT),
    peers: attributes
      .nested(WGDEVICE_A.PEERS)
      .children()
      .flatMap((peer) => decodePeer(peer) ?? []),
  };
}

/** A long list is told in several messages, a peer with many networks in several entries one after the other: all but the first have only its
 *  key and further networks. */
export function joinDevice(parts: readonly Part[]): WireguardRecord {
  const peers: WireguardPeerRecord[] = [];
  for (const peer of parts.flatMap((part) => part.peers)) {
    const before = peers.at(-1);
    const isContinued = before !== undefined && Buffer.compare(before.publicKey, peer.publicKey) === 0;
    if (isContinued) peers[peers.length - 1] = { ...before, allowed: [...before.allowed, ...peer.allowed] };
    else peers.push(peer);
  }
  return { privateKey: parts[0]?.privateKey, port: parts[0]?.port ?? 0, peers };
}

function decodePeer(attributes: Attributes): WireguardPeerRecord | undefined {
  const publicKey = fixed(attributes.bytes(WGPEER_A.PUBLIC_KEY));
  if (publicKey === undefined) return undefined;
  return {
    publicKey,
    presharedKey: fixed(attributes.bytes(WGPEER_A.PRESHARED_KEY)) ?? allocate(WG_KEY_LEN),
    endpoint: decodeEndpoint(attributes.bytes(WGPEER_A.ENDPOINT)),
    keepaliveSeconds: attributes.u16(WGPEER_A.PERSISTENT_KEEPALIVE_INTERVAL) ?? 0,
    handshakeMs: decodeTime(attributes.bytes(WGPEER_A.LAST_HANDSHAKE_TIME)),
    receivedBytes: attributes.u64(WGPEER_A.RX_BYTES) ?? 0,
    sentBytes: attributes.u64(WGPEER_A.TX_BYTES) ?? 0,
    allowed: attributes
      .nested(WGPEER_A.ALLOWEDIPS)
      .children()
      .flatMap((item) => decodeAllowed(item) ?? []),
  };
}

function decodeAllowed(attributes: Attributes): AllowedNetwork | undefined {
  const address = attributes.bytes(WGALLOWEDIP_A.IPADDR);
  const prefixLength = attributes.u8(WGALLOWEDIP_A.CIDR_MASK);
  if ((address?.length !== 4 && address?.length !== 16) || prefixLength === undefined) return undefined;
  return { address, prefixLength };
}

function decodeEndpoint(bytes: Uint8Array<ArrayBuffer> | undefined): WireguardEndpoint | undefined {
  if (bytes === undefined || bytes.length < SOCKADDR_IN.size) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const isV6 = view.getUint16(0, true) === AF.INET6;
  if (isV6 && bytes.length < SOCKADDR_IN6.size) return undefined;
  const layout = isV6 ? SOCKADDR_IN6 : SOCKADDR_IN;
  return { address: bytes.slice(layout.address, layout.address + (isV6 ? 16 : 4)), port: view.getUint16(layout.port) };
}

function decodeTime(bytes: Uint8Array<ArrayBuffer> | undefined): number | undefined {
  if (bytes?.length !== KERNEL_TIMESPEC.size) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const seconds = Number(view.getBigInt64(KERNEL_TIMESPEC.seconds, true));
  const ms = seconds * 1000 + Math.floor(view.getInt32(KERNEL_TIMESPEC.nanoseconds, true) / 1e6);
  return ms === 0 ? undefined : ms;
}

function fixed(bytes: Uint8Array | undefined): Uint8Array | undefined {
  return bytes?.length === WG_KEY_LEN ? bytes : undefined;
}
