// SPDX-License-Identifier: Apache-2.0
// Which peers WireGuard should have, and what has to change in the kernel for that. Pure; `host/wireguard.ts` reads and writes.
//
// Nothing here ends a running session: a new preshared key counts from the next handshake on, and both ends get theirs from the same
// connection, well within the three minutes a session lasts. Where a peer really is WireGuard learns from its authentic packets; what the
// control connection says is only a first guess (behind a NAT it has the wrong port), so it never replaces what was learnt while the peer is alive.
import type { PeerName } from "../../mesh/peer-name.ts";
import type { Cidr } from "../../net/cidr.ts";
import type { Ip } from "../../net/ip.ts";
import type { WireguardPeer } from "../carriers.ts";

/** Below the 30 s after which common NATs forget a UDP mapping. */
export const KEEPALIVE_SECONDS = 20;
/** A session that is used is renewed every two minutes and ends after three (REKEY_AFTER_TIME, REJECT_AFTER_TIME of the protocol). */
const SESSION_MS = 180_000;
const INSIDE_BITS = 128;

export interface WireguardEndpoint {
  readonly address: Ip;
  readonly port: number;
}
/** A peer as the kernel has it. */
export interface HeldPeer {
  readonly publicKey: Uint8Array;
  readonly presharedKey: Uint8Array;
  readonly endpoint: WireguardEndpoint | undefined;
  readonly keepaliveSeconds: number;
  /** Wall-clock ms of the last handshake; undefined: none yet. */
  readonly handshakeMs: number | undefined;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly allowed: readonly Cidr[];
}
/** A peer as it should be. */
export interface PlannedPeer {
  readonly name: PeerName;
  readonly publicKey: Uint8Array;
  /** undefined: the one it has stays. */
  readonly presharedKey: Uint8Array | undefined;
  /** undefined: the one it has stays, or it is learnt. */
  readonly endpoint: WireguardEndpoint | undefined;
  readonly keepaliveSeconds: number;
  /** The only address whose packets are taken from it and sent to it. */
  readonly inside: Ip;
}
export interface WireguardPlan {
  /** By public key, in hex. */
  readonly peers: ReadonlyMap<string, PlannedPeer>;
  /** Inside addresses whose peers stay as they are: an earlier daemon agreed with them, this one has not spoken to them yet. */
  readonly kept: ReadonlySet<Ip>;
  /** Who is left out, and why. */
  readonly refused: ReadonlyMap<PeerName, string>;
}

/** What is absent stays as it is. */
export type PeerChange =
  | {
      readonly do: "set";
      readonly publicKey: Uint8Array;
      readonly isNew: boolean;
      readonly presharedKey?: Uint8Array;
      readonly endpoint?: WireguardEndpoint;
      readonly keepaliveSeconds?: number;
      readonly inside?: Ip;
    }
  | { readonly do: "remove"; readonly publicKey: Uint8Array };

export const NO_PEERS: WireguardPlan = { peers: new Map(), kept: new Set(), refused: new Map() };

export function planWireguard(
  own: { readonly publicKey: Uint8Array; readonly inside: Ip },
  neighbours: readonly WireguardPeer[],
): WireguardPlan {
  const peers = new Map<string, PlannedPeer>();
  const kept = new Set<Ip>();
  const refused = new Map<PeerName, string>();
  const taken = new Set<Ip>([own.inside]);
  for (const { name, inside, agreed } of neighbours) {
    const key = agreed && keyText(agreed.publicKey);
    // A peer's key and address are its own: whoever claims another's would cut that one off.
    if (taken.has(inside)) refused.set(name, `its inside address ${inside} is another peer's`);
    else if (key === keyText(own.publicKey)) refused.set(name, "it offers this host's own WireGuard key");
    else if (key !== undefined && peers.has(key)) refused.set(name, "it offers another peer's WireGuard key");
    else {
      taken.add(inside);
      if (agreed === undefined || key === undefined) kept.add(inside);
      else peers.set(key, toPlanned(name, inside, agreed));
    }
  }
  return { peers, kept, refused };
}

function toPlanned(name: PeerName, inside: Ip, agreed: NonNullable<WireguardPeer["agreed"]>): PlannedPeer {
  const { publicKey, presharedKey, endpoint, keepalive } = agreed;
  return { name, publicKey, presharedKey, endpoint, keepaliveSeconds: keepalive ? KEEPALIVE_SECONDS : 0, inside };
}

export interface DiffContext {
  /** Wall-clock time. */
  readonly nowMs: number;
  /** What was planned before, in this daemon's life. */
  readonly before: WireguardPlan;
}

/** What to tell the kernel, in this order; nothing when it holds what it should. */
export function diffWireguard(plan: WireguardPlan, held: readonly HeldPeer[], context: DiffContext): PeerChange[] {
  const heldByKey = new Map(held.map((peer) => [keyText(peer.publicKey), peer]));
  const changes: PeerChange[] = [];
  for (const [key, peer] of plan.peers) {
    const change = changeOf(peer, heldByKey.get(key), context);
    if (change) changes.push(change);
  }
  // Removed last: a neighbour with a new key takes its address over from its old key before that goes, so no packet is without a peer.
  for (const [key, { publicKey, allowed }] of heldByKey) {
    const isKept = allowed.some(({ address }) => plan.kept.has(address));
    if (!plan.peers.has(key) && !isKept) changes.push({ do: "remove", publicKey });
  }
  return changes;
}

function changeOf(peer: PlannedPeer, held: HeldPeer | undefined, context: DiffContext): PeerChange | undefined {
  const { publicKey, presharedKey, endpoint, keepaliveSeconds, inside } = peer;
  if (held === undefined) {
    // Never without a preshared key: it is what stands for the password.
    if (presharedKey === undefined) return undefined;
    return { do: "set", publicKey, isNew: true, presharedKey, keepaliveSeconds, inside, ...(endpoint && { endpoint }) };
  }
  const differing = {
    ...(presharedKey && !isSame(presharedKey, held.presharedKey) && { presharedKey }),
    ...(endpoint && movesEndpoint(peer, endpoint, held, context) && { endpoint }),
    ...(keepaliveSeconds !== held.keepaliveSeconds && { keepaliveSeconds }),
    ...(!hasOnly(held.allowed, inside) && { inside }),
  };
  return Object.keys(differing).length === 0 ? undefined : { do: "set", publicKey, isNew: false, ...differing };
}

function movesEndpoint(peer: PlannedPeer, wanted: WireguardEndpoint, held: HeldPeer, context: DiffContext): boolean {
  if (held.endpoint === undefined) return true;
  if (isSameEndpoint(wanted, held.endpoint)) return false;
  const isAlive = held.handshakeMs !== undefined && context.nowMs - held.handshakeMs < SESSION_MS;
  if (!isAlive) return true;
  // What it has is what we once said, and we know better now.
  const said = context.before.peers.get(keyText(peer.publicKey))?.endpoint;
  return said !== undefined && isSameEndpoint(said, held.endpoint);
}

function hasOnly(allowed: readonly Cidr[], inside: Ip): boolean {
  return allowed.length === 1 && allowed[0]?.address === inside && allowed[0].prefixLength === INSIDE_BITS;
}
function isSameEndpoint(a: WireguardEndpoint, b: WireguardEndpoint): boolean {
  return a.address === b.address && a.port === b.port;
}
function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
function keyText(key: Uint8Array): string {
  return key.toHex();
}
