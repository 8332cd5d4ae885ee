// SPDX-License-Identifier: Apache-2.0
// WireGuard on this host: the link `weave-wg`, its key, its address inside and the routes that lead there. The private key is made once and lives
// in the kernel's link, where the next daemon finds it, so sessions go on while none runs.
//
// Nothing for the addresses inside may leave in clear, whatever happens in whatever order. The route to them by the link can vanish with it, by
// hand or by a fault; then packets would follow the host's default route. Therefore a second route refuses the whole prefix, with a worse metric
// and on no link: it is made before the link and removed after it. The link itself sends nothing to an address that no peer has.
import { isSystemError } from "../../native/errno.ts";
import { blake2b } from "../../native/libsodium/hash.ts";
import { newSecretKey, publicKeyOf } from "../../native/libsodium/x25519.ts";
import { NETLINK_GENERIC, NetlinkSocket } from "../../native/netlink/socket.ts";
import { WireguardSocket } from "../../native/netlink/wireguard.ts";
import { concat, utf8 } from "../mesh/secure/sealing.ts";
import type { Cidr } from "../net/cidr.ts";
import { type Ip, ipBytes, ipFromBytes } from "../net/ip.ts";
import type { WireguardCarrier, WireguardPeer } from "../overlay/carriers.ts";
import { planPeers } from "../overlay/wireguard/plan.ts";
import { UserError } from "../runtime/errors.ts";
import type { Link, Links } from "./links.ts";
import { ensureSysctl } from "./sysctl.ts";

export const WIREGUARD_LINK = "weave-wg";
/** Addresses inside: a unique local prefix (RFC 4193) of our own, which says "weave" in ASCII. */
const PREFIX: Cidr = { address: "fd77:6561:7665::" as Ip, prefixLength: 48 };
const PREFIX_BYTES = 6;
const LABEL = utf8("weave inside address");
const METRIC = 512;
const REFUSING_METRIC = 4_096;
/** Outer IPv6 and UDP, header and tag of WireGuard. */
const OVERHEAD_BYTES = 80;

/** Of a peer, from the public key of its identity. */
export function insideOf(identity: Uint8Array): Ip {
  const bytes = new Uint8Array(16);
  bytes.set(ipBytes(PREFIX.address));
  bytes.set(blake2b(concat(LABEL, identity)).subarray(0, 16 - PREFIX_BYTES), PREFIX_BYTES);
  return ipFromBytes(bytes);
}

export interface WireguardOptions {
  readonly links: Links;
  /** UDP port to listen on. */
  readonly port: number;
  /** Our own identity's public key. */
  readonly identity: Uint8Array;
  /** Of the narrowest underlay link. */
  readonly underlayMtuBytes: number;
  wallSeconds(): number;
}

export class Wireguard implements WireguardCarrier, Disposable {
  readonly port: number;
  readonly #options: WireguardOptions;
  readonly #generic: NetlinkSocket;
  readonly #socket: WireguardSocket;
  #privateKey: Uint8Array;
  /** undefined: not told yet. Peers that an earlier daemon left carry on until then. */
  #peers: readonly WireguardPeer[] | undefined;
  #ifindex = 0;

  private constructor(options: WireguardOptions, generic: NetlinkSocket, socket: WireguardSocket) {
    this.port = options.port;
    this.#options = options;
    this.#generic = generic;
    this.#socket = socket;
    this.#privateKey = new Uint8Array(32);
  }

  /** In words why not, when this host cannot. @throws {UserError} the name is taken  @throws {SystemError} */
  static open(options: WireguardOptions): Wireguard | string {
    const generic = NetlinkSocket.open(NETLINK_GENERIC);
    const socket = WireguardSocket.on(generic);
    if (!socket) {
      generic[Symbol.dispose]();
      return "the kernel here has no WireGuard";
    }
    const wireguard = new Wireguard(options, generic, socket);
    try {
      wireguard.repair();
      return wireguard;
    } catch (thrown) {
      wireguard[Symbol.dispose]();
      if (isSystemError(thrown, "EAFNOSUPPORT", "EOPNOTSUPP", "EADDRINUSE", "EACCES")) {
        removeWireguard(options.links);
        return `WireGuard cannot be set up here: ${thrown.message}`;
      }
      throw thrown;
    }
  }
  /** The link stays and carries on. */
  [Symbol.dispose](): void {
    this.#generic[Symbol.dispose]();
  }

  get publicKey(): Uint8Array {
    return publicKeyOf(this.#privateKey);
  }
  get ifindex(): number {
    return this.#ifindex;
  }
  insideOf(identity: Uint8Array): Ip {
    return insideOf(identity);
  }

  setPeers(peers: readonly WireguardPeer[]): void {
    this.#peers = peers;
    this.#apply();
  }

  /** Makes everything what it should be. Names what was not. */
  repair(): string[] {
    const { links, port, identity } = this.#options;
    const repaired: string[] = [];
    if (!links.routes.list().some(isRefusing)) {
      links.routes.refuse(PREFIX, REFUSING_METRIC);
      repaired.push("the refusing route of WireGuard's addresses was missing");
    }
    const link = this.#ensureLink(repaired);
    this.#ifindex = link.index;
    const device = this.#socket.read(WIREGUARD_LINK);
    const hasKey = device.privateKey.some((byte) => byte !== 0);
    if (this.#privateKey.every((byte) => byte === 0)) this.#privateKey = hasKey ? device.privateKey : newSecretKey();
    const isOurs = hasKey && Buffer.compare(device.privateKey, this.#privateKey) === 0;
    if (!isOurs) this.#socket.setDevice(WIREGUARD_LINK, { privateKey: this.#privateKey });
    if (device.listenPort !== port) this.#socket.setDevice(WIREGUARD_LINK, { listenPort: port });
    if (!link.up) links.change(link.index, { up: true });
    if (links.addAddress(link.index, { address: insideOf(identity), prefixLength: 128 }, { noDuplicateDetection: true }))
      repaired.push("WireGuard's link had lost its address");
    if (!links.routes.list().some((route) => route.linkIndex === link.index && route.metric === METRIC)) {
      links.routes.replace({ destination: PREFIX, linkIndex: link.index, metric: METRIC });
      repaired.push("the route to WireGuard's addresses was missing");
    }
    if (this.#apply() > 0) repaired.push("peers of WireGuard differed");
    return repaired;
  }

  /** Of each peer, by its address inside, what the kernel has counted. */
  figures(): ReadonlyMap<Ip, { readonly sentBytes: number; readonly receivedBytes: number; readonly handshakeSeconds: number }> {
    const { peers } = this.#socket.read(WIREGUARD_LINK);
    return new Map(
      peers.flatMap(({ allowed, sentBytes, receivedBytes, lastHandshakeSeconds }) =>
        allowed.map((ip) => [ipFromBytes(ip), { sentBytes, receivedBytes, handshakeSeconds: lastHandshakeSeconds }] as const),
      ),
    );
  }

  #ensureLink(repaired: string[]): Link {
    const { links, underlayMtuBytes } = this.#options;
    const mtuBytes = underlayMtuBytes - OVERHEAD_BYTES;
    let link = links.get(WIREGUARD_LINK);
    if (link && link.kind !== "wireguard") {
      throw new UserError(
        "conflict",
        `cannot set up '${WIREGUARD_LINK}': a link of kind '${link.kind}' has that name`,
        `rename it, or remove it with 'ip link delete ${WIREGUARD_LINK}'`,
      );
    }
    if (!link) {
      link = links.createWireguard(WIREGUARD_LINK, mtuBytes);
      // Where IPv6 is off by default it is on for this link.
      ensureSysctl(`net/ipv6/conf/${WIREGUARD_LINK}/disable_ipv6`, 0);
      links.setAddressless(link.index);
      repaired.push("WireGuard's link was missing");
    }
    if (link.mtuBytes !== mtuBytes) links.change(link.index, { mtuBytes });
    return link;
  }

  #apply(): number {
    if (this.#peers === undefined) return 0;
    const { peers } = this.#socket.read(WIREGUARD_LINK);
    const changes = planPeers(this.#peers, peers, this.#options.wallSeconds());
    if (changes.length > 0) this.#socket.changePeers(WIREGUARD_LINK, changes);
    return changes.length;
  }
}

/** For `reset`. Harmless when there is nothing. */
export function removeWireguard(links: Links): void {
  if (links.get(WIREGUARD_LINK)?.kind === "wireguard") links.delete(WIREGUARD_LINK);
  links.routes.unrefuse(PREFIX, REFUSING_METRIC);
}

function isRefusing({ destination, metric }: { readonly destination: Cidr; readonly metric: number }): boolean {
  return destination.address === PREFIX.address && destination.prefixLength === PREFIX.prefixLength && metric === REFUSING_METRIC;
}
