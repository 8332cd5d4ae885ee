// SPDX-License-Identifier: Apache-2.0
// WireGuard on this host, as the overlay wants it: our key, our port, and a peer for each neighbour. The private key is made once and never
// written to a disk: it lives in the kernel's link, where a restarted daemon finds it again with all peers and running sessions. The daemon
// keeps a copy, so that a link deleted by hand comes back as the same one and the neighbours only have to shake hands anew.
import { blake2b } from "../../native/libsodium/hash.ts";
import { wipe } from "../../native/libsodium/memory.ts";
import { newSecretKey, publicKeyOf } from "../../native/libsodium/x25519.ts";
import type { WireguardPeerChange, WireguardPeerRecord } from "../../native/netlink/wireguard.ts";
import { formatPeerName } from "../mesh/peer-name.ts";
import { type Ip, ipBytes, ipFromBytes } from "../net/ip.ts";
import type { WireguardCarrier, WireguardPeer } from "../overlay/carriers.ts";
import { insideAddress } from "../overlay/wireguard/inside.ts";
import {
  diffWireguard,
  type HeldPeer,
  NO_PEERS,
  type PeerChange,
  planWireguard,
  type WireguardEndpoint,
  type WireguardPlan,
} from "../overlay/wireguard/peers.ts";
import type { Clock } from "../runtime/clock.ts";
import { errorText, UserError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import type { Links } from "./links.ts";
import type { Netns } from "./netns.ts";
import { WireguardKernel } from "./wireguard-link.ts";
import { WIREGUARD_LINK, type WireguardLinkPlan, wireguardMtu } from "./wireguard-plan.ts";

export interface WireguardOptions {
  readonly links: Links;
  /** The namespace of `links` when that is not the calling thread's. */
  readonly netns?: Netns;
  /** UDP. */
  readonly port: number;
  /** Public key of this host's identity, for its inside address. */
  readonly identity: Uint8Array;
  /** Largest packet that the underlay takes now. */
  underlayMtuBytes(): number;
  readonly clock: Clock;
  readonly log: Log;
  /** The link is there, or there anew under another index. */
  linkChanged(ifindex: number): void;
}

/** What the kernel has counted of one peer. */
export interface WireguardFigures {
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** Wall-clock ms; null: none yet. */
  readonly handshakeMs: number | null;
  /** Where it was last heard or is presumed. */
  readonly endpoint: WireguardEndpoint | undefined;
}

export class Wireguard implements WireguardCarrier, Disposable {
  readonly publicKey: Uint8Array;
  readonly port: number;
  readonly #options: WireguardOptions;
  readonly #kernel: WireguardKernel;
  readonly #privateKey: Uint8Array;
  readonly #inside: Ip;
  #plan: WireguardPlan = NO_PEERS;
  /** Until the overlay has spoken, peers of an earlier daemon stay. */
  #hasPlan = false;
  #ifindex: number | undefined;

  private constructor(options: WireguardOptions, kernel: WireguardKernel, privateKey: Uint8Array) {
    this.#options = options;
    this.#kernel = kernel;
    this.#privateKey = privateKey;
    this.publicKey = publicKeyOf(privateKey);
    this.port = options.port;
    this.#inside = this.insideOf(options.identity);
  }

  /** Takes up what an earlier daemon left, or makes it. A text says why this machine cannot, or who holds the name or the port.
   *  @throws {SystemError} */
  static open(options: WireguardOptions): Wireguard | string {
    const kernel = WireguardKernel.open(options.links, options.netns);
    if (typeof kernel === "string") return kernel;
    using undo = new DisposableStack();
    undo.use(kernel);
    // Not the locks: the switch may still hold what an earlier daemon sent inside.
    if (kernel.link === undefined) undo.defer(() => void options.links.delete(WIREGUARD_LINK));
    const wireguard = new Wireguard(options, kernel, kernel.read()?.privateKey ?? newPrivateKey());
    try {
      wireguard.#ensureLink();
    } catch (thrown) {
      if (thrown instanceof UserError) return thrown.message;
      throw thrown;
    }
    undo.move();
    return wireguard;
  }
  /** The kernel goes on with it. */
  [Symbol.dispose](): void {
    wipe(this.#privateKey);
    this.#kernel[Symbol.dispose]();
  }

  insideOf(identity: Uint8Array): Ip {
    return insideAddress(identity, blake2b);
  }

  /** Never throws: what the kernel refuses is logged, and tried again by the next repair. */
  setPeers(peers: readonly WireguardPeer[]): void {
    const { log } = this.#options;
    const plan = planWireguard({ publicKey: this.publicKey, inside: this.#inside }, peers);
    for (const [peer, reason] of plan.refused) {
      if (!this.#plan.refused.has(peer)) log.warn("peer left out of WireGuard", { peer: formatPeerName(peer), reason });
    }
    const before = this.#plan;
    this.#plan = plan;
    this.#hasPlan = true;
    try {
      const changes = this.#changes(before);
      if (!this.#kernel.change({ peers: changes.map(toNative) })) this.repair();
    } catch (thrown) {
      log.error("WireGuard could not be set up", { reason: errorText(thrown) });
    }
  }

  /** Makes everything what it should be, and tells what was not. @throws {UserError} the name or port is taken  @throws {SystemError} */
  repair(): string[] {
    const repaired = this.#ensureLink();
    if (!this.#hasPlan) return repaired;
    const changed = this.#changes(this.#plan);
    if (changed.length > 0) this.#kernel.change({ peers: changed.map(toNative) });
    return changed.length === 0 ? repaired : [...repaired, `${changed.length} WireGuard peers differed`];
  }

  /** By inside address. */
  figures(): ReadonlyMap<Ip, WireguardFigures> {
    const figures = new Map<Ip, WireguardFigures>();
    for (const { sentBytes, receivedBytes, handshakeMs = null, endpoint, allowed } of this.#held()) {
      for (const { address } of allowed) figures.set(address, { sentBytes, receivedBytes, handshakeMs, endpoint });
    }
    return figures;
  }

  #ensureLink(): string[] {
    const plan: WireguardLinkPlan = {
      port: this.port,
      inside: this.#inside,
      mtuBytes: wireguardMtu(this.#options.underlayMtuBytes()),
    };
    const repaired = this.#kernel.ensure(plan, this.#privateKey);
    const ifindex = this.#kernel.link?.index;
    if (ifindex !== undefined && ifindex !== this.#ifindex) this.#options.linkChanged(ifindex);
    this.#ifindex = ifindex;
    return repaired;
  }

  #changes(before: WireguardPlan): PeerChange[] {
    return diffWireguard(this.#plan, this.#held(), { nowMs: this.#options.clock.wallMs(), before });
  }
  #held(): HeldPeer[] {
    return (this.#kernel.read()?.peers ?? []).map(toHeld);
  }
}

/** As the kernel would make it: X25519 ignores these bits, and setting another one than it has would end all sessions. */
function newPrivateKey(): Uint8Array {
  const key = newSecretKey();
  key[0]! &= 248;
  key[31]! = (key[31]! & 127) | 64;
  return key;
}

function toHeld({ endpoint, allowed, ...rest }: WireguardPeerRecord): HeldPeer {
  return {
    ...rest,
    endpoint: endpoint && { address: ipFromBytes(endpoint.address), port: endpoint.port },
    allowed: allowed.map(({ address, prefixLength }) => ({ address: ipFromBytes(address), prefixLength })),
  };
}

function toNative(change: PeerChange): WireguardPeerChange {
  const { publicKey } = change;
  if (change.do === "remove") return { publicKey, remove: true };
  const { isNew, presharedKey, endpoint, keepaliveSeconds, inside } = change;
  return {
    publicKey,
    updateOnly: !isNew,
    ...(presharedKey && { presharedKey }),
    ...(endpoint && { endpoint: { address: ipBytes(endpoint.address), port: endpoint.port } }),
    ...(keepaliveSeconds !== undefined && { keepaliveSeconds }),
    ...(inside !== undefined && { allowed: [{ address: ipBytes(inside), prefixLength: 128 }] }),
  };
}
