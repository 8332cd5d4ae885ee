// SPDX-License-Identifier: Apache-2.0
// WireGuard's peers as they should be, and the changes that lead there from what the kernel holds. Only what differs is touched: a peer's session
// goes on while its preshared key is exchanged, and an endpoint that roaming has found is left alone as long as the peer answers there.
import { type Ip, ipBytes, ipFromBytes } from "../../net/ip.ts";
import type { WireguardPeer } from "../carriers.ts";

/** What the kernel holds of one peer. */
export interface SeenPeer {
  readonly publicKey: Uint8Array;
  readonly presharedKey: Uint8Array;
  readonly endpoint: { readonly address: Uint8Array; readonly port: number } | undefined;
  readonly keepaliveSeconds: number;
  /** Wall-clock seconds, 0: never. */
  readonly lastHandshakeSeconds: number;
  readonly allowed: readonly Uint8Array[];
}
export interface PeerChange {
  readonly publicKey: Uint8Array;
  readonly isRemoved?: boolean;
  readonly presharedKey?: Uint8Array;
  readonly endpoint?: { readonly address: Uint8Array; readonly port: number };
  readonly keepaliveSeconds?: number;
  readonly allowed?: Uint8Array;
}

/** Under the 30 s after which common NATs forget. */
const KEEPALIVE_SECONDS = 20;
/** A session older than this is dead (WireGuard's REJECT_AFTER_TIME). */
const SESSION_SECONDS = 180;

/** Empty when nothing is to be done. Removals come first: an address inside belongs to one peer at a time. */
export function planPeers(wanted: readonly WireguardPeer[], seen: readonly SeenPeer[], nowSeconds: number): PeerChange[] {
  const keys = new Set(wanted.flatMap(({ agreed }) => (agreed ? textOf(agreed.publicKey) : [])));
  // Peers that have not spoken to us in this life are known by their address inside only.
  const adopted = new Set(wanted.filter(({ agreed }) => agreed === undefined).map(({ inside }) => inside));
  const isKept = (peer: SeenPeer) => keys.has(textOf(peer.publicKey)) || peer.allowed.some((ip) => adopted.has(ipFromBytes(ip)));
  const removals = seen.filter((peer) => !isKept(peer)).map(({ publicKey }): PeerChange => ({ publicKey, isRemoved: true }));
  const known = new Map(seen.map((peer) => [textOf(peer.publicKey), peer]));
  const changes = wanted.flatMap(({ inside, agreed }) =>
    agreed ? (changeOf(inside, agreed, known.get(textOf(agreed.publicKey)), nowSeconds) ?? []) : [],
  );
  return [...removals, ...changes];
}

type Agreed = NonNullable<WireguardPeer["agreed"]>;

function changeOf(inside: Ip, agreed: Agreed, seen: SeenPeer | undefined, nowSeconds: number): PeerChange | undefined {
  const { publicKey, presharedKey, endpoint, keepalive } = agreed;
  const allowed = ipBytes(inside);
  const keepaliveSeconds = keepalive ? KEEPALIVE_SECONDS : 0;
  const change: Omit<PeerChange, "publicKey"> = {
    ...(presharedKey && !(seen && isSame(seen.presharedKey, presharedKey)) ? { presharedKey } : {}),
    ...(endpoint && mayMove(seen, nowSeconds) && !isThere(seen, endpoint) ? { endpoint: bytesOf(endpoint) } : {}),
    ...(seen?.keepaliveSeconds === keepaliveSeconds ? {} : { keepaliveSeconds }),
    ...(seen?.allowed.length === 1 && isSame(seen.allowed[0]!, allowed) ? {} : { allowed }),
  };
  return Object.keys(change).length === 0 ? undefined : { publicKey, ...change };
}

/** Where it was heard last is better than what we were told, while that is fresh. */
function mayMove(seen: SeenPeer | undefined, nowSeconds: number): boolean {
  return seen?.endpoint === undefined || nowSeconds - seen.lastHandshakeSeconds > SESSION_SECONDS;
}
function isThere(seen: SeenPeer | undefined, endpoint: { readonly address: Ip; readonly port: number }): boolean {
  return seen?.endpoint?.port === endpoint.port && isSame(seen.endpoint.address, ipBytes(endpoint.address));
}
function bytesOf({ address, port }: { readonly address: Ip; readonly port: number }) {
  return { address: ipBytes(address), port };
}
function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
function textOf(key: Uint8Array): string {
  return key.toHex();
}
