// SPDX-License-Identifier: Apache-2.0
// Makes WireGuard's link, its address and the locks around it what `wireguard-plan.ts` says, and removes all of it.
import { isSystemError } from "../../native/errno.ts";
import { type GenericFamily, resolveFamily } from "../../native/netlink/generic.ts";
import { NETLINK_GENERIC, NetlinkSocket } from "../../native/netlink/socket.ts";
import {
  changeWireguard,
  readWireguard,
  WG_GENL_NAME,
  type WireguardChange,
  type WireguardRecord,
} from "../../native/netlink/wireguard.ts";
import { UserError } from "../runtime/errors.ts";
import { type Link, Links } from "./links.ts";
import { enterNetns, type Netns } from "./netns.ts";
import { ensureSysctl, readSysctl } from "./sysctl.ts";
import {
  LOCK_ROUTE,
  LOCK_RULES,
  planWireguardLink,
  WIREGUARD_LINK,
  type WireguardLinkPlan,
  type WireguardSeen,
  type WireguardStep,
  wayThrough,
} from "./wireguard-plan.ts";

/** Why this machine cannot have WireGuard, in words; undefined: it can. Loads the kernel's module where there is one. `netns`: instead of the
 *  calling thread's. @throws {SystemError} */
export function whyNoWireguard(netns?: Netns): string | undefined {
  // Each interface has a switch of its own for IPv6; without this one the kernel has none at all.
  if (readSysctl("net/ipv6/conf/all/disable_ipv6", netns) === undefined)
    return "IPv6, which it needs inside, is off in this kernel";
  using _inside = netns && enterNetns(netns);
  using links = Links.open();
  if (links.rules.list() === undefined) return "this kernel has no policy routing for IPv6";
  using socket = NetlinkSocket.open(NETLINK_GENERIC);
  if (resolveFamily(socket, WG_GENL_NAME) === undefined) {
    return "this kernel has no WireGuard, or its module 'wireguard' cannot be loaded";
  }
  return undefined;
}

/** WireGuard's part of the kernel in one network namespace. */
export class WireguardKernel implements Disposable {
  readonly #links: Links;
  readonly #netns: Netns | undefined;
  readonly #socket: NetlinkSocket;
  readonly #family: GenericFamily;

  private constructor(links: Links, netns: Netns | undefined, socket: NetlinkSocket, family: GenericFamily) {
    this.#links = links;
    this.#netns = netns;
    this.#socket = socket;
    this.#family = family;
  }

  /** `netns` is the one of `links` when that is not the calling thread's. A text says why this kernel cannot. @throws {SystemError} */
  static open(links: Links, netns?: Netns): WireguardKernel | string {
    const reason = whyNoWireguard(netns);
    if (reason !== undefined) return reason;
    using _inside = netns && enterNetns(netns);
    using undo = new DisposableStack();
    const socket = undo.use(NetlinkSocket.open(NETLINK_GENERIC));
    const family = resolveFamily(socket, WG_GENL_NAME);
    if (family === undefined) return "the module 'wireguard' was unloaded just now";
    undo.move();
    return new WireguardKernel(links, netns, socket, family);
  }
  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }

  get link(): Link | undefined {
    return this.#links.get(WIREGUARD_LINK);
  }
  /** undefined: there is no such link. */
  read(): WireguardRecord | undefined {
    const { link } = this;
    return link && readWireguard(this.#socket, this.#family, link.index);
  }
  /** False: there is no such link. @throws {SystemError} */
  change(change: WireguardChange): boolean {
    const { link } = this;
    if (link === undefined) return false;
    try {
      changeWireguard(this.#socket, this.#family, link.index, change);
      return true;
    } catch (thrown) {
      if (isSystemError(thrown, "ENODEV", "EOPNOTSUPP")) return false;
      throw thrown;
    }
  }

  /** Returns what was not as it should be, in words. The key has 32 bytes, clamped.
   *  @throws {UserError} the name or the UDP port is taken by something else  @throws {SystemError} */
  ensure(plan: WireguardLinkPlan, privateKey: Uint8Array): string[] {
    const steps = planWireguardLink(plan, this.#look(plan, privateKey));
    for (const step of steps) this.#apply(plan, privateKey, step);
    return [...new Set(steps.map(({ why }) => why))];
  }

  #look(plan: WireguardLinkPlan, privateKey: Uint8Array): WireguardSeen {
    const { link } = this;
    const record = link && readWireguard(this.#socket, this.#family, link.index);
    const hasKey = record?.privateKey !== undefined && Buffer.compare(record.privateKey, privateKey) === 0;
    return {
      link,
      rules: this.#links.rules.list() ?? [],
      routes: this.#links.routes.list(),
      addresses: link === undefined ? [] : this.#links.addresses(link.index).map(({ cidr }) => cidr),
      isLocal: this.#links.routes.towards(plan.inside)?.local ?? false,
      device: record && { hasKey, port: record.port },
    };
  }

  #apply(plan: WireguardLinkPlan, privateKey: Uint8Array, step: WireguardStep): void {
    const links = this.#links;
    const { port, mtuBytes } = plan;
    switch (step.do) {
      case "lock-rule":
        links.rules.add(step.rule);
        break;
      case "lock-route":
        links.routes.replace(LOCK_ROUTE);
        break;
      case "create":
        links.createWireguard(WIREGUARD_LINK, mtuBytes);
        break;
      case "key":
        this.change({ privateKey });
        break;
      case "port":
        explained(port, () => this.change({ port }));
        break;
      case "mtu":
        links.change(this.#index(), { mtuBytes });
        break;
      case "addressless":
        links.setAddressless(this.#index());
        break;
      case "up":
        explained(port, () => links.change(this.#index(), { up: true })); // opens its sockets
        break;
      case "remove-address":
        links.deleteAddress(this.#index(), step.cidr);
        break;
      case "address":
        this.#allowIpv6();
        links.deleteAddress(this.#index(), step.cidr); // it may be there without what the kernel adds to it
        links.addAddress(this.#index(), step.cidr, { noPrefixRoute: true, noDuplicateDetection: true });
        break;
      case "way":
        this.#allowIpv6();
        links.routes.replace(wayThrough(this.#index()));
        break;
      default:
        step satisfies never;
    }
  }

  /** Hosts that switch IPv6 off for new links mean their own network; inside there is nothing else. */
  #allowIpv6(): void {
    ensureSysctl(`net/ipv6/conf/${WIREGUARD_LINK}/disable_ipv6`, 0, this.#netns);
    ensureSysctl(`net/ipv6/conf/${WIREGUARD_LINK}/accept_ra`, 0, this.#netns);
  }

  #index(): number {
    const { link } = this;
    if (link !== undefined) return link.index;
    throw new UserError("unavailable", `link '${WIREGUARD_LINK}' was removed while it was set up`, "try again");
  }
}

/** Takes all of it from the host; the locks last. Nothing may use inside addresses any more. Returns what there was, in words. */
export function removeWireguard(links: Links): string[] {
  const removed: string[] = [];
  if (links.get(WIREGUARD_LINK)?.kind === "wireguard" && links.delete(WIREGUARD_LINK)) removed.push(WIREGUARD_LINK);
  if (links.rules.list() === undefined) return removed; // on such a kernel there never were any locks
  if (links.routes.delete(LOCK_ROUTE)) removed.push("its unreachable route");
  const rules = LOCK_RULES.filter((rule) => links.rules.delete(rule));
  return [...removed, ...rules.map(({ priority }) => `its routing rule ${priority}`)];
}

function explained(port: number, change: () => unknown): void {
  try {
    change();
  } catch (thrown) {
    if (!isSystemError(thrown, "EADDRINUSE")) throw thrown;
    const message = `cannot set up '${WIREGUARD_LINK}': UDP port ${port} is in use by another program`;
    throw new UserError("conflict", message, "find it with 'ss -lunp', or choose another --port", { cause: thrown });
  }
}
