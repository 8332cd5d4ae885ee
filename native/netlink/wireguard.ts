// SPDX-License-Identifier: Apache-2.0
// WireGuard's devices by generic netlink (linux/wireguard.h). Keys have 32 bytes; addresses 4 or 16, in network order.
import { AF, inetAddress, SOCKADDR_IN, SOCKADDR_IN6 } from "../libc/sockaddr.ts";
import { Attributes, type Message, type MessageWriter, NLM_F } from "./codec.ts";
import { GENLMSGHDR, type GenericFamily, genericRequest, resolveFamily } from "./generic.ts";
import type { NetlinkSocket } from "./socket.ts";

const FAMILY = "wireguard";
export const WG_CMD = { GET_DEVICE: 0, SET_DEVICE: 1 } as const;
export const WGDEVICE_A = { IFINDEX: 1, IFNAME: 2, PRIVATE_KEY: 3, PUBLIC_KEY: 4, FLAGS: 5, LISTEN_PORT: 6, PEERS: 8 } as const;
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
export const WGALLOWEDIP_A = { FAMILY: 1, IPADDR: 2, CIDR_MASK: 3 } as const;
export const WGPEER_F = { REMOVE_ME: 1, REPLACE_ALLOWEDIPS: 2, UPDATE_ONLY: 4 } as const;
/** Peers of one message: the kernel takes at most 64 KiB, and one needs some 160 bytes. */
const PEERS_A_MESSAGE = 128;

export interface WireguardEndpoint {
  readonly address: Uint8Array;
  readonly port: number;
}
export interface WireguardPeerRecord {
  readonly publicKey: Uint8Array;
  readonly presharedKey: Uint8Array;
  readonly endpoint: WireguardEndpoint | undefined;
  readonly keepaliveSeconds: number;
  /** Seconds since 1970, 0: never. */
  readonly lastHandshakeSeconds: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  /** Addresses inside; their prefixes are not told. */
  readonly allowed: readonly Uint8Array[];
}
export interface WireguardRecord {
  /** All zero: none yet. */
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly listenPort: number;
  readonly peers: readonly WireguardPeerRecord[];
}
/** What is absent stays as it is. */
export interface WireguardPeerChange {
  readonly publicKey: Uint8Array;
  readonly isRemoved?: boolean;
  readonly presharedKey?: Uint8Array;
  readonly endpoint?: WireguardEndpoint;
  readonly keepaliveSeconds?: number;
  /** The only address it may have inside, 16 bytes. */
  readonly allowed?: Uint8Array;
}

export class WireguardSocket {
  readonly #socket: NetlinkSocket;
  readonly #family: GenericFamily;

  private constructor(socket: NetlinkSocket, family: GenericFamily) {
    this.#socket = socket;
    this.#family = family;
  }
  /** `socket` is one of NETLINK_GENERIC. undefined: the kernel has no WireGuard. @throws {NetlinkError} */
  static on(socket: NetlinkSocket): WireguardSocket | undefined {
    const family = resolveFamily(socket, FAMILY);
    return family && new WireguardSocket(socket, family);
  }

  /** @throws {NetlinkError} ENODEV: no such device */
  read(name: string): WireguardRecord {
    const writer = genericRequest(this.#family, WG_CMD.GET_DEVICE, NLM_F.REQUEST | NLM_F.DUMP);
    writer.attributeText(WGDEVICE_A.IFNAME, name);
    // A device with many peers comes in several messages, the last peer of one perhaps continued in the next.
    const parts = this.#socket.dump(writer, { call: "WG_CMD_GET_DEVICE", object: name }, decodeDevice);
    const peers = new Map<string, WireguardPeerRecord>();
    for (const peer of parts.flatMap((part) => part.peers)) {
      const key = Buffer.from(peer.publicKey).toString("hex");
      const before = peers.get(key);
      peers.set(key, before ? { ...before, allowed: [...before.allowed, ...peer.allowed] } : peer);
    }
    const [first] = parts;
    const nothing = new Uint8Array(32);
    return {
      privateKey: first?.privateKey ?? nothing,
      publicKey: first?.publicKey ?? nothing,
      listenPort: first?.listenPort ?? 0,
      peers: [...peers.values()],
    };
  }

  /** @throws {NetlinkError} EADDRINUSE: the port is taken (and the device up) */
  setDevice(name: string, device: { readonly privateKey?: Uint8Array; readonly listenPort?: number }): void {
    const writer = this.#change(name);
    if (device.privateKey) writer.attribute(WGDEVICE_A.PRIVATE_KEY, device.privateKey);
    if (device.listenPort !== undefined) writer.attributeU16(WGDEVICE_A.LISTEN_PORT, device.listenPort);
    this.#socket.request(writer, { call: "WG_CMD_SET_DEVICE", object: name });
  }
  /** @throws {NetlinkError} */
  changePeers(name: string, changes: readonly WireguardPeerChange[]): void {
    for (let at = 0; at < changes.length; at += PEERS_A_MESSAGE) {
      const writer = this.#change(name);
      writer.nested(WGDEVICE_A.PEERS, () => {
        for (const change of changes.slice(at, at + PEERS_A_MESSAGE)) writer.nested(0, () => writePeer(writer, change));
      });
      this.#socket.request(writer, { call: "WG_CMD_SET_DEVICE", object: name });
    }
  }
  #change(name: string): MessageWriter {
    return genericRequest(this.#family, WG_CMD.SET_DEVICE, NLM_F.REQUEST | NLM_F.ACK).attributeText(WGDEVICE_A.IFNAME, name);
  }
}

function writePeer(writer: MessageWriter, change: WireguardPeerChange): void {
  const { publicKey, isRemoved, presharedKey, endpoint, keepaliveSeconds, allowed } = change;
  writer.attribute(WGPEER_A.PUBLIC_KEY, publicKey);
  const flags = (isRemoved ? WGPEER_F.REMOVE_ME : 0) | (allowed ? WGPEER_F.REPLACE_ALLOWEDIPS : 0);
  if (flags !== 0) writer.attributeU32(WGPEER_A.FLAGS, flags);
  if (presharedKey) writer.attribute(WGPEER_A.PRESHARED_KEY, presharedKey);
  if (endpoint) writer.attribute(WGPEER_A.ENDPOINT, inetAddress(endpoint.address, endpoint.port));
  if (keepaliveSeconds !== undefined) writer.attributeU16(WGPEER_A.PERSISTENT_KEEPALIVE_INTERVAL, keepaliveSeconds);
  if (allowed) {
    writer.nested(WGPEER_A.ALLOWEDIPS, () =>
      writer.nested(0, () => {
        writer.attributeU16(WGALLOWEDIP_A.FAMILY, AF.INET6).attribute(WGALLOWEDIP_A.IPADDR, allowed);
        writer.attributeU8(WGALLOWEDIP_A.CIDR_MASK, 128);
      }),
    );
  }
}

function decodeDevice(message: Message): WireguardRecord {
  const device = Attributes.of(message, GENLMSGHDR.size);
  const nothing = new Uint8Array(32);
  return {
    privateKey: device.bytes(WGDEVICE_A.PRIVATE_KEY) ?? nothing,
    publicKey: device.bytes(WGDEVICE_A.PUBLIC_KEY) ?? nothing,
    listenPort: device.u16(WGDEVICE_A.LISTEN_PORT) ?? 0,
    peers: device.nested(WGDEVICE_A.PEERS).children().map(decodePeer),
  };
}
function decodePeer(peer: Attributes): WireguardPeerRecord {
  const nothing = new Uint8Array(32);
  const allowed = peer.nested(WGPEER_A.ALLOWEDIPS).children();
  return {
    publicKey: peer.bytes(WGPEER_A.PUBLIC_KEY) ?? nothing,
    presharedKey: peer.bytes(WGPEER_A.PRESHARED_KEY) ?? nothing,
    endpoint: decodeEndpoint(peer.bytes(WGPEER_A.ENDPOINT)),
    keepaliveSeconds: peer.u16(WGPEER_A.PERSISTENT_KEEPALIVE_INTERVAL) ?? 0,
    lastHandshakeSeconds: peer.u64(WGPEER_A.LAST_HANDSHAKE_TIME) ?? 0, // struct __kernel_timespec begins with the seconds
    receivedBytes: peer.u64(WGPEER_A.RX_BYTES) ?? 0,
    sentBytes: peer.u64(WGPEER_A.TX_BYTES) ?? 0,
    allowed: allowed.flatMap((address) => address.bytes(WGALLOWEDIP_A.IPADDR) ?? []),
  };
}
function decodeEndpoint(name: Uint8Array | undefined): WireguardEndpoint | undefined {
  if (name === undefined || name.length < SOCKADDR_IN.size) return undefined;
  const view = new DataView(name.buffer, name.byteOffset, name.byteLength);
  const port = view.getUint16(SOCKADDR_IN.port);
  switch (view.getUint16(0, true)) {
    case AF.INET:
      return { address: name.slice(SOCKADDR_IN.address, SOCKADDR_IN.address + 4), port };
    case AF.INET6:
      return name.length < SOCKADDR_IN6.size
        ? undefined
        : { address: name.slice(SOCKADDR_IN6.address, SOCKADDR_IN6.address + 16), port };
    default:
      return undefined;
  }
}
