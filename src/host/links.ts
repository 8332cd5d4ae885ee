// SPDX-License-Identifier: Apache-2.0
// The links of one network namespace, and their addresses and routes, in the words of the domain. One `Links` holds one netlink socket and
// talks to the namespace it was opened in, wherever the thread is later.
import { type ErrnoName, isSystemError } from "../../native/errno.ts";
import { addAddress, deleteAddress, IFA_F, listAddresses } from "../../native/netlink/address.ts";
import {
  type BridgeRecord,
  getLink,
  type LinkFilter,
  type LinkRecord,
  listLinks,
  type PortRecord,
  type VxlanRecord,
} from "../../native/netlink/link.ts";
import {
  type BridgeOptions,
  changeLink,
  createBridge,
  createExternalVxlan,
  createVeth,
  createWireguardLink,
  deleteLink,
  type LinkChange,
  type PortOptions,
  setAddressless,
  setBridgeOptions,
  setPortOptions,
} from "../../native/netlink/link-change.ts";
import { getNetnsId } from "../../native/netlink/netns-id.ts";
import { deleteQdisc, listQdiscs, TC_H_ROOT } from "../../native/netlink/qdisc.ts";
import { NetlinkSocket } from "../../native/netlink/socket.ts";
import type { Cidr } from "../net/cidr.ts";
import { ipBytes, ipFromBytes } from "../net/ip.ts";
import { type Mac, macFromNumber } from "../net/mac.ts";
import { enterNetns, Netns } from "./netns.ts";
import { Routes } from "./routes.ts";
import { Rules } from "./rules.ts";

export interface Link {
  readonly index: number;
  readonly name: string;
  /** `bridge`, `veth`, `vxlan`, `tun`, …; empty for hardware and loopback. */
  readonly kind: string;
  /** 0 when the link has none. */
  readonly mac: Mac;
  readonly mtuBytes: number;
  /** Switched on by the administrator. */
  readonly up: boolean;
  /** Switched on and with a carrier: of a veth, the other end is on too. */
  readonly running: boolean;
  readonly loopback: boolean;
  /** Index of the bridge it is a port of; undefined for none. */
  readonly master: number | undefined;
  /** Index of the other end of a veth, in its namespace; undefined for other kinds. */
  readonly peerIndex: number | undefined;
  /** This namespace's id for the one the other end is in (`Links.netnsId`); undefined when it is this one. */
  readonly peerNetnsId: number | undefined;
  /** Kind of the root queueing discipline. */
  readonly qdisc: string;
  /** The kernel gives the link no IPv6 address of its own, or has no IPv6 on it. */
  readonly addressless: boolean;
  readonly bridge: BridgeRecord | undefined;
  readonly vxlan: VxlanRecord | undefined;
  readonly port: PortRecord | undefined;
}

/** What a new link is to have. */
export interface LinkPlan {
  readonly name: string;
  readonly mac: Mac;
  /** Default: what the kind of link begins with. */
  readonly mtuBytes?: number;
}
/** One end of a new veth: in which namespace (default: the one of this `Links`), on which bridge. */
export interface VethHostEnd extends LinkPlan {
  readonly master?: number;
  readonly up?: boolean;
}
export interface VethGuestEnd extends LinkPlan {
  readonly netns?: Netns;
}

export interface LinkAddress {
  readonly linkIndex: number;
  readonly cidr: Cidr;
  /** 0 global, 253 link, 254 host. */
  readonly scope: number;
  /** IPv6: not usable yet, or found to be somebody else's. */
  readonly duplicate: "no" | "checking" | "yes";
}
export interface AddressOptions {
  /** No route to the network appears with it. */
  readonly noPrefixRoute?: boolean;
  /** IPv6: usable at once, without duplicate detection. */
  readonly noDuplicateDetection?: boolean;
}

export class Links implements Disposable {
  readonly #socket: NetlinkSocket;
  readonly routes: Routes;
  readonly rules: Rules;

  private constructor(socket: NetlinkSocket) {
    this.#socket = socket;
    this.routes = new Routes(socket);
    this.rules = new Rules(socket);
  }

  /** Those of the calling thread's namespace. @throws {SystemError} */
  static open(): Links {
    return new Links(NetlinkSocket.open());
  }
  /** Those of another one, given open or by its path. @throws {UserError} no such namespace  @throws {SystemError} */
  static openIn(netns: Netns | string): Links {
    if (typeof netns === "string") {
      using opened = Netns.open(netns);
      return Links.openIn(opened);
    }
    using _inside = enterNetns(netns);
    return Links.open();
  }
  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }

  list(filter: LinkFilter = {}): Link[] {
    return listLinks(this.#socket, filter).map(toLink);
  }
  /** By name or index. */
  get(which: string | number): Link | undefined {
    const record = getLink(this.#socket, which);
    return record && toLink(record);
  }
  /** The id by which links of this namespace name that one; undefined when none leads there. */
  netnsId(netns: Netns): number | undefined {
    return getNetnsId(this.#socket, netns.fd);
  }

  /** @throws {SystemError} EEXIST: the name is taken */
  createBridge(plan: LinkPlan, options: BridgeOptions): Link {
    createBridge(this.#socket, plan, options);
    return this.#made(plan.name);
  }
  /** Switched off and without IPv6 address. @throws {SystemError} EEXIST: the name or the port is taken */
  createExternalVxlan(plan: LinkPlan & { readonly master?: number }, port: number): Link {
    createExternalVxlan(this.#socket, plan, port);
    return this.#made(plan.name);
  }
  /** Switched off and without key. @throws {SystemError} EEXIST, EOPNOTSUPP: the kernel has no WireGuard */
  createWireguard(name: string, mtuBytes: number): Link {
    createWireguardLink(this.#socket, name, mtuBytes);
    return this.#made(name);
  }
  /** Returns the host end. The guest end is switched off. @throws {SystemError} EEXIST: one of the names is taken */
  createVeth(host: VethHostEnd, guest: VethGuestEnd): Link {
    const { netns, ...plan } = guest;
    createVeth(this.#socket, host, netns === undefined ? plan : { ...plan, netnsFd: netns.fd });
    return this.#made(host.name);
  }
  /** False: there was no such link. Removing one end of a veth removes the other. */
  delete(which: string | number): boolean {
    const index = typeof which === "number" ? which : getLink(this.#socket, which)?.index;
    return index !== undefined && accepted(() => deleteLink(this.#socket, index), "ENODEV");
  }
  change(index: number, change: LinkChange): void {
    changeLink(this.#socket, index, change);
  }
  setBridgeOptions(index: number, options: BridgeOptions): void {
    setBridgeOptions(this.#socket, index, options);
  }
  setPortOptions(index: number, options: PortOptions): void {
    setPortOptions(this.#socket, index, options);
  }
  /** No IPv6 address of the kernel's own. Nothing to do where IPv6 is switched off. */
  setAddressless(index: number): void {
    accepted(() => setAddressless(this.#socket, index), "EAFNOSUPPORT", "EOPNOTSUPP");
  }

  /** The kind of a root queueing discipline somebody put on the link; undefined when it has its own. */
  foreignQdisc(index: number): string | undefined {
    return listQdiscs(this.#socket, index).find((qdisc) => qdisc.parent === TC_H_ROOT && qdisc.handle !== 0)?.kind;
  }
  /** False: there was none. */
  deleteRootQdisc(index: number): boolean {
    return accepted(() => deleteQdisc(this.#socket, index, TC_H_ROOT), "ENOENT", "EINVAL");
  }

  /** Of all links or one. */
  addresses(linkIndex?: number): LinkAddress[] {
    return listAddresses(this.#socket, linkIndex).map((record) => ({
      linkIndex: record.linkIndex,
      cidr: { address: ipFromBytes(record.address), prefixLength: record.prefixLength },
      scope: record.scope,
      duplicate: record.flags & IFA_F.DADFAILED ? "yes" : record.flags & IFA_F.TENTATIVE ? "checking" : "no",
    }));
  }
  /** False: the link had it already. */
  addAddress(linkIndex: number, cidr: Cidr, options: AddressOptions = {}): boolean {
    return accepted(() => addAddress(this.#socket, { linkIndex, ...bytesOf(cidr), ...options }), "EEXIST");
  }
  /** False: the link did not have it. */
  deleteAddress(linkIndex: number, cidr: Cidr): boolean {
    return accepted(() => deleteAddress(this.#socket, { linkIndex, ...bytesOf(cidr) }), "EADDRNOTAVAIL");
  }

  #made(name: string): Link {
    const link = this.get(name);
    if (link === undefined) throw new Error(`link '${name}' vanished as soon as it was made`);
    return link;
  }
}

/** Runs `change`; false when the kernel refused it with one of `codes`, which say that there was nothing to do. */
function accepted(change: () => void, ...codes: readonly ErrnoName[]): boolean {
  try {
    change();
    return true;
  } catch (thrown) {
    if (isSystemError(thrown, ...codes)) return false;
    throw thrown;
  }
}

function bytesOf({ address, prefixLength }: Cidr): { address: Uint8Array; prefixLength: number } {
  return { address: ipBytes(address), prefixLength };
}

function toLink(record: LinkRecord): Link {
  const { master, peerIndex, mac, ...rest } = record;
  return {
    ...rest,
    mac: macFromNumber(mac),
    master: master === 0 ? undefined : master,
    peerIndex: record.kind === "veth" && peerIndex !== 0 ? peerIndex : undefined,
  };
}
