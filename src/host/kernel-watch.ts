// SPDX-License-Identifier: Apache-2.0
// Notices when somebody changes what we made in the kernel, or the network below us, so that it is looked at at once and not only at the next
// periodic check. It tells that something changed, not what: whoever listens compares plan and kernel anyway.
import { decodeAddress } from "../../native/netlink/address.ts";
import type { Message } from "../../native/netlink/codec.ts";
import { decodeLink, type LinkRecord } from "../../native/netlink/link.ts";
import { Monitor, type MonitorGroup } from "../../native/netlink/monitor.ts";
import { decodeNetconf, NETCONFA_IFINDEX_ALL } from "../../native/netlink/netconf.ts";
import { decodeTableChange } from "../../native/netlink/nftables.ts";
import { decodeQdisc } from "../../native/netlink/qdisc.ts";
import { decodeRoute, type RouteRecord } from "../../native/netlink/route.ts";
import { RTM } from "../../native/netlink/rtnetlink.ts";
import { decodeRule } from "../../native/netlink/rule.ts";
import { TABLE } from "../firewall/ruleset.ts";
import { ipBytes } from "../net/ip.ts";
import { INSIDE_PREFIX } from "../overlay/wireguard/inside.ts";
import { type Clock, every } from "../runtime/clock.ts";
import { BridgeSettings } from "./bridge.ts";
import type { Links } from "./links.ts";
import { CAPTURE_END, SWITCH_END } from "./sleeve-link.ts";
import { WIREGUARD_LINK } from "./wireguard-plan.ts";

/** `ours`: the bridge, one of its ports, WireGuard's or the sleeve's link, our table of the packet filter, an address, route, queueing discipline or setting of these, or what keeps addresses
 *  inside WireGuard inside. `underlay`: a link, address or route of anything else. */
export type KernelChange = "ours" | "underlay";

export interface KernelWatchOptions {
  readonly clock: Clock;
  /** Of the namespace to watch, for what exists at the start; the watch must be opened while the thread is in it. */
  readonly links: Links;
  /** Name of our bridge. */
  readonly bridge: string;
  /** At most once per `delayMs`, at the end of it, with all that changed meanwhile. When notifications were lost, both kinds. */
  onChange(changes: ReadonlySet<KernelChange>): void;
  /** Default 100. */
  readonly delayMs?: number;
}

const DEFAULT_DELAY_MS = 100; // a container's start makes a dozen changes within some milliseconds
/** Of most settings the kernel tells nobody, so these are looked at. What is found is mended within a second; an idle daemon wakes so often anyway. */
const SETTINGS_MS = 750;
const GROUPS: readonly MonitorGroup[] = [
  ...(["LINK", "TC", "IPV4_IFADDR", "IPV6_IFADDR", "IPV4_ROUTE", "IPV6_ROUTE", "IPV6_RULE"] as const),
  ...(["IPV4_NETCONF", "IPV6_NETCONF"] as const),
];

/** Ours although they are no ports of the bridge. */
const BY_NAME: ReadonlySet<string> = new Set([WIREGUARD_LINK, SWITCH_END, CAPTURE_END]);
const TABLE_NAME = TABLE.split(" ")[1];

const INSIDE_BYTES = ipBytes(INSIDE_PREFIX.address).subarray(0, INSIDE_PREFIX.prefixLength / 8);

export class KernelWatch implements Disposable {
  readonly #options: KernelWatchOptions;
  readonly #ours = new Set<number>();
  readonly #changes = new Set<KernelChange>();
  /** 0: there is no bridge; undefined: not looked yet. */
  #bridgeIndex: number | undefined;
  #timer: Disposable | undefined;
  #monitors: readonly Monitor[] = [];
  readonly #settings: BridgeSettings;
  readonly #looks: Disposable;
  /** How often in a row they were wrong. */
  #wrongLooks = 0;

  private constructor(options: KernelWatchOptions) {
    this.#options = options;
    this.#settings = new BridgeSettings(options.bridge);
    this.#settings.areRight(); // while the thread is in the namespace
    this.#looks = every(options.clock, SETTINGS_MS, () => this.#lookAtSettings());
  }

  /** @throws {SystemError} */
  static async open(options: KernelWatchOptions): Promise<KernelWatch> {
    const watch = new KernelWatch(options);
    const lost = (): void => watch.#lost();
    const filterChanged = (message: Message): void => {
      if (decodeTableChange(message) === TABLE_NAME) watch.#report("ours");
    };
    // Both sockets are made before the first await, while the thread is still in the namespace.
    const opening = [
      Monitor.open(GROUPS, { message: (message) => watch.#notice(message), lost }),
      Monitor.openFilter({ message: filterChanged, lost: () => watch.#report("ours") }),
    ];
    const opened = await Promise.allSettled(opening);
    watch.#monitors = opened.flatMap((one) => (one.status === "fulfilled" && one.value ? [one.value] : []));
    try {
      await Promise.all(opening);
      watch.#learn();
    } catch (thrown) {
      watch[Symbol.dispose]();
      throw thrown;
    }
    return watch;
  }

  [Symbol.dispose](): void {
    for (const monitor of this.#monitors) monitor[Symbol.dispose]();
    this.#looks[Symbol.dispose]();
    this.#settings[Symbol.dispose]();
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  #learn(): void {
    const all = this.#options.links.list();
    this.#bridgeIndex = all.find((link) => link.name === this.#options.bridge)?.index ?? 0;
    this.#ours.clear();
    for (const link of all) if (this.#isOurs(link)) this.#ours.add(link.index);
  }

  #lost(): void {
    this.#learn();
    this.#reportBoth();
  }
  #reportBoth(): void {
    this.#report("ours");
    this.#report("underlay");
  }

  #notice(message: Message): void {
    if (this.#bridgeIndex === undefined) {
      this.#reportBoth(); // came between the opening and the first look, so it cannot be told whose it is
      return;
    }
    const change = this.#classify(message);
    if (change !== undefined) this.#report(change);
  }

  #classify(message: Message): KernelChange | undefined {
    switch (message.type) {
      case RTM.NEWLINK:
      case RTM.DELLINK:
        return this.#classifyLink(decodeLink(message), message.type === RTM.DELLINK);
      case RTM.NEWADDR:
      case RTM.DELADDR:
        return this.#side(decodeAddress(message)?.linkIndex);
      case RTM.NEWROUTE:
      case RTM.DELROUTE:
        return this.#classifyRoute(decodeRoute(message));
      case RTM.NEWRULE:
      case RTM.DELRULE:
        return isInside(decodeRule(message)) ? "ours" : undefined;
      case RTM.NEWNETCONF:
      case RTM.DELNETCONF:
        return this.#classifySettings(decodeNetconf(message));
      case RTM.NEWQDISC:
      case RTM.DELQDISC:
        return this.#side(decodeQdisc(message)?.linkIndex) === "ours" ? "ours" : undefined; // the underlay's are not our business
      default:
        return undefined;
    }
  }

  /** Those of all links are settings of ours too. */
  #classifySettings(linkIndex: number | undefined): KernelChange | undefined {
    return linkIndex === NETCONFA_IFINDEX_ALL || this.#side(linkIndex) === "ours" ? "ours" : undefined;
  }

  #classifyRoute(route: RouteRecord | undefined): KernelChange | undefined {
    return isInside(route) ? "ours" : this.#side(route?.linkIndex);
  }

  #classifyLink(link: LinkRecord | undefined, gone: boolean): KernelChange | undefined {
    if (link === undefined) return undefined;
    const wasOurs = this.#ours.has(link.index);
    if (link.name === this.#options.bridge && !gone) this.#bridgeIndex = link.index;
    // Leaving the bridge is told by a DELLINK of the bridge family with the link still there, and by a NEWLINK without master.
    const isOurs = !gone && this.#isOurs(link);
    if (isOurs) this.#ours.add(link.index);
    else this.#ours.delete(link.index);
    return wasOurs || isOurs ? "ours" : "underlay";
  }

  #isOurs({ index, master, name }: Pick<LinkRecord, "index" | "name"> & { readonly master: number | undefined }): boolean {
    return BY_NAME.has(name) || (!!this.#bridgeIndex && (index === this.#bridgeIndex || master === this.#bridgeIndex));
  }
  #side(linkIndex: number | undefined): KernelChange | undefined {
    if (linkIndex === undefined) return undefined;
    return this.#ours.has(linkIndex) ? "ours" : "underlay";
  }

  /** Ever more rarely while they stay wrong: then they cannot be put right. */
  #lookAtSettings(): void {
    this.#wrongLooks = this.#settings.areRight() ? 0 : this.#wrongLooks + 1;
    if (Number.isInteger(Math.log2(this.#wrongLooks))) this.#report("ours");
  }

  #report(change: KernelChange): void {
    this.#changes.add(change);
    this.#timer ??= this.#options.clock.after(this.#options.delayMs ?? DEFAULT_DELAY_MS, () => this.#fire());
  }
  #fire(): void {
    const changes = new Set(this.#changes);
    this.#changes.clear();
    this.#timer = undefined;
    this.#options.onChange(changes);
  }
}

/** To all inside addresses, or to some of them. */
function isInside(way: Pick<RouteRecord, "destination" | "prefixLength"> | undefined): boolean {
  return (
    way?.destination.length === 16 &&
    way.prefixLength >= INSIDE_PREFIX.prefixLength &&
    INSIDE_BYTES.every((byte, i) => way.destination[i] === byte)
  );
}
