// SPDX-License-Identifier: Apache-2.0
// Elements of the switch's maps as plain values and back. Layouts: native/bpf/maps.ts.
import {
  COUNT,
  ENDPOINT,
  FANOUT,
  FLOOD,
  MAC_ENTRY,
  NEIGHBOUR,
  NEIGHBOUR_FLAG,
  PEER_COUNTS,
  PORT,
  PORT_ADDRESS,
  PORT_FLAG,
  PORT_IPV4_SLOTS,
  PORT_SUBNET,
  PROBE_ANSWER,
  PROBE_SLOTS,
  SETTINGS,
  TRANSPORT,
} from "../../native/bpf/maps.ts";
import type { ShortId } from "../mesh/peer-name.ts";
import type { Cidr } from "../net/cidr.ts";
import { networkOf } from "../net/cidr.ts";
import { type Ip, ipBytes, ipBytes16, ipFromBytes, isIpv6 } from "../net/ip.ts";
import { type Mac, readMac, writeMac } from "../net/mac.ts";
import type { FloodEntry, Path } from "../overlay/plan.ts";

export interface Settings {
  /** 0: not told yet. */
  readonly self: number;
  readonly vxlanIfindex: number;
  readonly flags: number;
  readonly ttl: number;
  readonly ageNs: bigint;
  readonly stampNs: bigint;
  readonly dataPort: number;
  readonly generation: number;
  /** The switch's end of the sleeve link; 0: there is none. */
  readonly sleeveIfindex: number;
}
/** How the underlay leads to an address, and how frames of others reach it without the stack. */
export interface Way {
  /** Our address towards it; undefined: no route at the moment. */
  readonly local: Ip | undefined;
  readonly via: Ip | undefined;
  /** 0: do not relay by rewriting. */
  readonly relayIfindex: number;
}
/** How frames reach a neighbour. */
export interface Endpoint extends Way {
  readonly path: Path;
  /** For the MSS of connections; 0: leave it. */
  readonly mtuBytes: number;
}
export interface Traffic {
  readonly packets: number;
  readonly bytes: number;
}
export interface PeerTraffic {
  /** Frames that started at the peer and ended here. */
  readonly received: Traffic;
  /** Frames that started here for the peer. */
  readonly sent: Traffic;
  /** Everything it handed to us as a direct neighbour, probes included. */
  readonly fromNeighbour: Traffic;
  /** Everything we handed to it. */
  readonly toNeighbour: Traffic;
}

const TRANSPORT_OF = { fastdp: TRANSPORT.CLEAR, wireguard: TRANSPORT.WIREGUARD, sleeve: TRANSPORT.SLEEVE } as const;

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function encodeU32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  viewOf(bytes).setUint32(0, value, true);
  return bytes;
}
export function decodeU32(bytes: Uint8Array): number {
  return viewOf(bytes).getUint32(0, true);
}

export function encodeSettings(settings: Settings): Uint8Array {
  const bytes = new Uint8Array(SETTINGS.size);
  const view = viewOf(bytes);
  view.setUint32(SETTINGS.self, settings.self, true);
  view.setUint32(SETTINGS.vxlanIfindex, settings.vxlanIfindex, true);
  view.setUint32(SETTINGS.flags, settings.flags, true);
  view.setUint32(SETTINGS.ttl, settings.ttl, true);
  view.setBigUint64(SETTINGS.ageNs, settings.ageNs, true);
  view.setBigUint64(SETTINGS.stampNs, settings.stampNs, true);
  view.setUint32(SETTINGS.dataPort, settings.dataPort, true);
  view.setUint32(SETTINGS.generation, settings.generation, true);
  view.setUint32(SETTINGS.sleeveIfindex, settings.sleeveIfindex, true);
  return bytes;
}
export function decodeSettings(bytes: Uint8Array): Settings {
  const view = viewOf(bytes);
  return {
    self: view.getUint32(SETTINGS.self, true),
    vxlanIfindex: view.getUint32(SETTINGS.vxlanIfindex, true),
    flags: view.getUint32(SETTINGS.flags, true),
    ttl: view.getUint32(SETTINGS.ttl, true),
    ageNs: view.getBigUint64(SETTINGS.ageNs, true),
    stampNs: view.getBigUint64(SETTINGS.stampNs, true),
    dataPort: view.getUint32(SETTINGS.dataPort, true),
    generation: view.getUint32(SETTINGS.generation, true),
    sleeveIfindex: view.getUint32(SETTINGS.sleeveIfindex, true),
  };
}

export function encodeEndpoint(endpoint: Endpoint): Uint8Array {
  const bytes = new Uint8Array(ENDPOINT.size);
  const view = viewOf(bytes);
  const { path } = endpoint;
  view.setUint32(ENDPOINT.transport, TRANSPORT_OF[path.kind], true);
  view.setUint32(ENDPOINT.mtu, endpoint.mtuBytes, true);
  if (path.kind === "sleeve") return bytes;
  bytes.set(ipBytes16(path.address), ENDPOINT.address);
  if (endpoint.local) bytes.set(ipBytes16(endpoint.local), ENDPOINT.local);
  if (endpoint.via) bytes.set(ipBytes16(endpoint.via), ENDPOINT.via);
  if (!isIpv6(path.address)) view.setUint32(ENDPOINT.ipv4, viewOf(ipBytes(path.address)).getUint32(0), true);
  // The device of WireGuard has no Ethernet header to rewrite before.
  if (path.kind === "fastdp") view.setUint32(ENDPOINT.relayIfindex, endpoint.relayIfindex, true);
  return bytes;
}
export function decodeEndpoint(bytes: Uint8Array): { path: Path; mtuBytes: number } {
  const view = viewOf(bytes);
  const address = ipFromBytes(bytes.subarray(ENDPOINT.address, ENDPOINT.address + 16));
  const mtuBytes = view.getUint32(ENDPOINT.mtu, true);
  switch (view.getUint32(ENDPOINT.transport, true)) {
    case TRANSPORT.SLEEVE:
      return { path: { kind: "sleeve" }, mtuBytes };
    case TRANSPORT.WIREGUARD:
      return { path: { kind: "wireguard", address }, mtuBytes };
    default:
      return { path: { kind: "fastdp", address }, mtuBytes };
  }
}

/** `isInside`: its address is one inside WireGuard. */
export function encodeNeighbour(id: ShortId, local: Ip | undefined, isInside: boolean): Uint8Array {
  const bytes = new Uint8Array(NEIGHBOUR.size);
  viewOf(bytes).setUint32(NEIGHBOUR.id, id, true);
  viewOf(bytes).setUint32(NEIGHBOUR.flags, isInside ? NEIGHBOUR_FLAG.WIREGUARD : 0, true);
  if (local) bytes.set(ipBytes16(local), NEIGHBOUR.local);
  return bytes;
}
export function decodeNeighbour(bytes: Uint8Array): { id: ShortId; isInside: boolean } {
  const view = viewOf(bytes);
  const flags = view.getUint32(NEIGHBOUR.flags, true);
  return { id: view.getUint32(NEIGHBOUR.id, true) as ShortId, isInside: (flags & NEIGHBOUR_FLAG.WIREGUARD) !== 0 };
}

/** @param sinceNs on the kernel's monotonic clock: nothing is taken before */
export function encodeFlood(flood: FloodEntry, sinceNs: bigint): Uint8Array {
  const bytes = new Uint8Array(FLOOD.size);
  const view = viewOf(bytes);
  view.setUint16(FLOOD.count, flood.hops.length, true);
  view.setUint16(FLOOD.parent, flood.parent, true);
  flood.hops.forEach((hop, i) => {
    view.setUint16(FLOOD.hop + 2 * i, hop, true);
  });
  view.setBigUint64(FLOOD.since, sinceNs, true);
  return bytes;
}
export function decodeFlood(bytes: Uint8Array): FloodEntry & { readonly sinceNs: bigint } {
  const view = viewOf(bytes);
  const count = Math.min(view.getUint16(FLOOD.count, true), FANOUT);
  const hops = Array.from({ length: count }, (_, i) => view.getUint16(FLOOD.hop + 2 * i, true) as ShortId);
  return { parent: view.getUint16(FLOOD.parent, true), hops, sinceNs: view.getBigUint64(FLOOD.since, true) };
}

/** Key of the MAC table: the address, then two zero bytes. */
export function encodeMacKey(mac: Mac): Uint8Array {
  const bytes = new Uint8Array(8);
  writeMac(viewOf(bytes), 0, mac);
  return bytes;
}
export function decodeMacKey(bytes: Uint8Array, at = 0): Mac {
  return readMac(viewOf(bytes), at);
}
export function readMacEntry(bytes: Uint8Array, at: number): { peer: number; ifindex: number; stampNs: bigint } {
  const view = viewOf(bytes);
  return {
    peer: view.getUint16(at + MAC_ENTRY.peer, true),
    ifindex: view.getUint32(at + MAC_ENTRY.ifindex, true),
    stampNs: view.getBigUint64(at + MAC_ENTRY.stamp, true),
  };
}

export interface PortSettings {
  /** undefined: any, not guarded. */
  readonly mac: Mac | undefined;
  readonly addresses: readonly Cidr[];
  readonly macLimit: number;
  /** Its other end is in another namespace, so frames can be put there directly. */
  readonly isPeerDevice: boolean;
  /** Known unicast may skip the bridge, in both directions. */
  readonly mayBypass: boolean;
}
export function encodePort(port: PortSettings): Uint8Array {
  const bytes = new Uint8Array(PORT.size);
  const view = viewOf(bytes);
  const ipv4 = port.addresses.map((cidr) => cidr.address).filter((address) => !isIpv6(address));
  let flags = port.mayBypass ? PORT_FLAG.BYPASS : 0;
  if (port.mac !== undefined) {
    writeMac(view, PORT.mac, port.mac);
    flags |= PORT_FLAG.GUARDED;
  }
  if (port.isPeerDevice) flags |= PORT_FLAG.PEER_DEVICE;
  if (ipv4.length > PORT_IPV4_SLOTS) flags |= PORT_FLAG.MORE_IPV4;
  ipv4.slice(0, PORT_IPV4_SLOTS).forEach((address, i) => {
    bytes.set(ipBytes(address), PORT.ipv4 + 4 * i);
  });
  view.setUint32(PORT.flags, flags, true);
  view.setUint32(PORT.macLimit, port.macLimit, true);
  return bytes;
}
export function decodePort(bytes: Uint8Array): { mac: Mac | undefined; macLimit: number; mayBypass: boolean } {
  const view = viewOf(bytes);
  const flags = view.getUint32(PORT.flags, true);
  return {
    mac: (flags & PORT_FLAG.GUARDED) === 0 ? undefined : readMac(view, PORT.mac),
    macLimit: view.getUint32(PORT.macLimit, true),
    mayBypass: (flags & PORT_FLAG.BYPASS) !== 0,
  };
}

export function encodePortAddress(ifindex: number, address: Ip): Uint8Array {
  const bytes = new Uint8Array(PORT_ADDRESS.size);
  viewOf(bytes).setUint32(PORT_ADDRESS.ifindex, ifindex, true);
  bytes.set(ipBytes16(address), PORT_ADDRESS.address);
  return bytes;
}
export function decodePortAddress(bytes: Uint8Array): { ifindex: number; address: Ip } {
  return {
    ifindex: viewOf(bytes).getUint32(PORT_ADDRESS.ifindex, true),
    address: ipFromBytes(bytes.subarray(PORT_ADDRESS.address, PORT_ADDRESS.address + 16)),
  };
}
export function encodePortSubnet(ifindex: number, cidr: Cidr): Uint8Array {
  const bytes = new Uint8Array(PORT_SUBNET.size);
  const view = viewOf(bytes);
  const mappedBits = isIpv6(cidr.address) ? 0 : 96;
  view.setUint32(PORT_SUBNET.prefixLength, 32 + mappedBits + cidr.prefixLength, true);
  view.setUint32(PORT_SUBNET.ifindex, ifindex, true);
  bytes.set(ipBytes16(networkOf(cidr)), PORT_SUBNET.address);
  return bytes;
}

/** Sums a struct count over all CPUs; `stride` is the bytes of one CPU's value. */
export function sumCounts(value: Uint8Array, stride: number, at = 0): Traffic {
  const view = viewOf(value);
  let packets = 0;
  let bytes = 0;
  for (let cpu = 0; cpu + stride <= value.length; cpu += stride) {
    packets += readCount(view, cpu + at + COUNT.packets);
    bytes += readCount(view, cpu + at + COUNT.bytes);
  }
  return { packets, bytes };
}
/** A 64-bit number, exact up to 2^53, without making a bigint. */
export function readCount(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}
export function decodePeerCounts(value: Uint8Array): PeerTraffic {
  return {
    received: sumCounts(value, PEER_COUNTS.size, PEER_COUNTS.received),
    sent: sumCounts(value, PEER_COUNTS.size, PEER_COUNTS.sent),
    fromNeighbour: sumCounts(value, PEER_COUNTS.size, PEER_COUNTS.fromNeighbour),
    toNeighbour: sumCounts(value, PEER_COUNTS.size, PEER_COUNTS.toNeighbour),
  };
}

export interface ProbeAnswer {
  /** Of the frame, Ethernet header included. */
  readonly bytes: number;
  readonly rttNs: number;
}
/** From a struct probe_state; undefined: probe `sequence` has no answer there. */
export function decodeProbeAnswer(state: DataView, sequence: number): ProbeAnswer | undefined {
  const at = (sequence % PROBE_SLOTS) * PROBE_ANSWER.size;
  if (state.getUint32(at + PROBE_ANSWER.sequence, true) !== sequence || readCount(state, at + PROBE_ANSWER.arrivedNs) === 0) {
    return undefined;
  }
  return { bytes: state.getUint32(at + PROBE_ANSWER.bytes, true), rttNs: readCount(state, at + PROBE_ANSWER.rttNs) };
}
