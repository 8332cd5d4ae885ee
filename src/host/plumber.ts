// SPDX-License-Identifier: Apache-2.0
// Joins containers to the bridge: a veth pair whose far end is born inside the container's namespace with its final name and MAC, or a tap for a
// VM. Compares first and changes only what differs, so attach, restart and repair are the same call. Fits `attach/ports.ts`.

import { isSystemError } from "../../native/errno.ts";
import { PORT_PREFIX } from "../attach/link-name.ts";
import type { AdoptedPort, GuestLink, NetnsRef, Plumber, PortPlan, VethPlan } from "../attach/ports.ts";
import type { Cidr } from "../net/cidr.ts";
import { isIpv6 } from "../net/ip.ts";
import type { Mac } from "../net/mac.ts";
import { UserError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import { announce } from "./announce.ts";
import { limitOffloads } from "./link-offloads.ts";
import { type Link, Links } from "./links.ts";
import { inNetns, type Netns } from "./netns.ts";
import { announceOrWarn } from "./plumber-announce.ts";
import { describeGuest, ensureAddresses, ensureMulticastRoute, ensureUp, tuneGuest } from "./plumber-guest.ts";
import { type HostNamespaces, openIfThere, openReference } from "./plumber-namespaces.ts";
import { ensureSysctl } from "./sysctl.ts";
import { ensureTap } from "./tap.ts";

export interface PlumberOptions {
  /** Name of the bridge. */
  readonly bridge: string;
  readonly namespaces: HostNamespaces;
  /** The namespace to work in; default the calling thread's. Stays open as long as this is used. */
  readonly home?: Netns;
  readonly log: Log;
  /** Frames may leave by the port they came from: for a container that reaches itself through an address translated on the bridge. Off unless
   *  asked for, because the bridge then also returns every broadcast and multicast frame to its sender. */
  readonly hairpin?: boolean;
  /** Called before each change of the kernel; a test stops the process there. */
  readonly onStep?: (step: string) => void;
}

export class HostPlumber implements Plumber, Disposable {
  readonly #options: PlumberOptions;
  readonly #host: Links;
  readonly #step: (step: string) => void;
  /** Links whose settings were written by this process. They live as long as the link and nobody but the container changes them, so they are not
   *  read again in every pass (a dozen files each, a third of a pass). */
  readonly #tuned = new Map<string, Set<string>>();

  /** @throws {SystemError} */
  constructor(options: PlumberOptions) {
    this.#options = options;
    this.#host = options.home ? Links.openIn(options.home) : Links.open();
    this.#step = options.onStep ?? (() => {});
  }
  [Symbol.dispose](): void {
    this.#host[Symbol.dispose]();
  }

  linkIndex(name: string): number | undefined {
    return this.#host.get(name)?.index;
  }
  linkMac(name: string): Mac | undefined {
    return this.#host.get(name)?.mac;
  }

  guestLink(reference: NetnsRef, name: string): GuestLink | undefined {
    using netns = openReference(reference);
    using guest = Links.openIn(netns);
    const link = guest.get(name);
    return link && describeGuest(guest, link, this.#portOf(netns, link));
  }

  ensureLink(plan: PortPlan): { readonly ifindex: number; readonly changes: readonly string[] } {
    const bridge = this.#bridge();
    const before = this.#host.get(plan.hostLink);
    const changes: string[] = [];
    const link = this.#ensureKind(plan, bridge, before);
    if (link.index !== before?.index) changes.push("made");
    changes.push(...this.#ensurePort(link, bridge));
    return { ifindex: link.index, changes: changes.map((change) => `${plan.hostLink}: ${change}`) };
  }

  #ensureKind(plan: PortPlan, bridge: Link, before: Link | undefined): Link {
    if (plan.kind === "tap") return ensureTap(this.#host, plan, { bridge, home: this.#options.home, step: this.#step });
    if (plan.kind === "veth") return this.#ensurePair(plan, bridge, before);
    const { mtuBytes } = bridge;
    const far = { name: plan.guestLink, mac: plan.guestMac, mtuBytes };
    return before ?? this.#host.createVeth({ name: plan.hostLink, mac: plan.hostMac, mtuBytes }, far);
  }

  ensureGuest(plan: PortPlan): readonly string[] {
    const link = this.#host.get(plan.hostLink);
    if (!link) throw new Error(`link '${plan.hostLink}' vanished while it was set up`);
    const changes = ensureUp(this.#host, link, this.#step);
    if (plan.kind === "veth") changes.push(...this.#ensureInside(plan));
    return changes.map((change) => `${plan.hostLink}: ${change}`);
  }

  announce(plan: VethPlan, addresses: readonly Cidr[]): void {
    using netns = openIfThere(plan.netns);
    if (!netns) return; // what waited for the network may have run to its end by now
    const ips = addresses.map((cidr) => cidr.address);
    announceOrWarn(this.#options.log, plan.hostLink, () => announce(plan.guestLink, plan.guestMac, ips, netns));
  }
  carries(plan: PortPlan): boolean {
    return this.#host.get(plan.hostLink)?.port?.forwarding ?? false;
  }

  silence(plan: PortPlan): void {
    const link = this.#host.get(plan.hostLink);
    if (!link) return;
    try {
      this.#host.change(link.index, { up: false });
    } catch (thrown) {
      if (!isSystemError(thrown, "ENODEV")) throw thrown; // it went with its namespace between the two calls
    }
  }
  removeLink(plan: PortPlan): void {
    this.#tuned.delete(plan.hostLink);
    this.#host.delete(plan.hostLink);
  }

  ports(): readonly string[] {
    const bridge = this.#host.get(this.#options.bridge);
    if (!bridge) return [];
    return this.#host
      .list()
      .filter((link) => link.master === bridge.index && link.kind === "veth" && link.name.startsWith(PORT_PREFIX))
      .map((link) => link.name);
  }

  findGuests(hostLinks: readonly string[], guestLink: string): readonly AdoptedPort[] {
    const wanted = new Set(hostLinks);
    return this.#options.namespaces.all().flatMap((netns) => {
      const guest = this.#guestIfPresent(netns, guestLink);
      return guest?.port !== undefined && wanted.has(guest.port) ? [{ netns, guest }] : [];
    });
  }

  #guestIfPresent(reference: NetnsRef, name: string): GuestLink | undefined {
    try {
      return this.guestLink(reference, name);
    } catch (thrown) {
      if (thrown instanceof UserError) return undefined; // it ended while we looked
      throw thrown;
    }
  }

  #bridge(): Link {
    const bridge = this.#host.get(this.#options.bridge);
    if (bridge?.bridge) return bridge;
    throw new UserError(
      "unavailable",
      `the bridge '${this.#options.bridge}' does not exist`,
      "weave makes it at start; see its log",
    );
  }

  #ensurePair(plan: VethPlan, bridge: Link, before: Link | undefined): Link {
    using netns = openReference(plan.netns);
    using guest = Links.openIn(netns);
    const far = guest.get(plan.guestLink);
    const isPair = before !== undefined && far !== undefined && this.#portOf(netns, far, "any bridge") === before.name;
    const link = isPair ? before : this.#makePair(plan, bridge, netns, before, far);
    const withIpv6 = plan.addresses.some((cidr) => isIpv6(cidr.address));
    this.#tuneOnce(link, `guest ${withIpv6}`, () => {
      this.#step("settings of the guest end");
      inNetns(netns, () => tuneGuest(plan.guestLink, withIpv6));
      const made = guest.get(plan.guestLink);
      if (made) limitOffloads(netns, made.index);
    });
    return link;
  }

  #makePair(plan: VethPlan, bridge: Link, netns: Netns, before: Link | undefined, far: Link | undefined): Link {
    if (far) {
      throw new UserError(
        "conflict",
        `the network namespace ${plan.netns.path} has an interface '${plan.guestLink}' that is not the other end of '${plan.hostLink}'`,
        "remove or rename that interface",
      );
    }
    if (before) {
      this.#step("remove half a pair");
      this.#host.delete(before.index);
    }
    this.#step("make the pair");
    const { mtuBytes } = bridge;
    return this.#host.createVeth(
      { name: plan.hostLink, mac: plan.hostMac, mtuBytes },
      { name: plan.guestLink, mac: plan.guestMac, mtuBytes, netns },
    );
  }

  // A port is not a host of its own: no IPv6 address, no listening to routers, before it is on the bridge and can hear any.
  #ensurePort(link: Link, bridge: Link): string[] {
    const changes: string[] = [];
    this.#tuneOnce(link, "host", () => {
      this.#step("settings of the host end");
      ensureSysctl(`net/ipv6/conf/${link.name}/accept_ra`, 0, this.#options.home);
      ensureSysctl(`net/ipv6/conf/${link.name}/disable_ipv6`, 1, this.#options.home);
    });
    if (link.mtuBytes !== bridge.mtuBytes) {
      this.#step("mtu");
      this.#host.change(link.index, { mtuBytes: bridge.mtuBytes });
      changes.push(`MTU set to ${bridge.mtuBytes}`);
    }
    if (link.master !== bridge.index) {
      this.#step("put on the bridge");
      this.#host.change(link.index, { master: bridge.index });
      changes.push(`put on bridge '${bridge.name}'`);
    }
    const hairpin = this.#options.hairpin ?? false;
    if ((link.port?.hairpin ?? false) !== hairpin) {
      this.#step("hairpin");
      this.#host.setPortOptions(link.index, { hairpin });
    }
    return changes;
  }

  #tuneOnce(link: Link, what: string, tune: () => void): void {
    const done = this.#tuned.get(link.name) ?? new Set<string>();
    this.#tuned.set(link.name, done);
    if (done.has(`${what} ${link.index}`)) return;
    tune();
    done.add(`${what} ${link.index}`);
  }

  #ensureInside(plan: VethPlan): string[] {
    using netns = openReference(plan.netns);
    using guest = Links.openIn(netns);
    const link = guest.get(plan.guestLink);
    if (!link) throw new Error(`link '${plan.guestLink}' in ${plan.netns.path} vanished while it was set up`);
    const host = this.#host.get(plan.hostLink);
    if (host && link.mtuBytes > host.mtuBytes) guest.change(link.index, { mtuBytes: host.mtuBytes });
    return [
      ...ensureAddresses(guest, link, plan, this.#step),
      ...ensureUp(guest, link, this.#step),
      ...ensureMulticastRoute(guest, link, plan, this.#step),
    ];
  }

  /** Name of the host's end of a pair whose other end is `far`; undefined when that is not here, or not on our bridge. */
  #portOf(netns: Netns, far: Link, where: "our bridge" | "any bridge" = "our bridge"): string | undefined {
    const near = far.peerIndex === undefined ? undefined : this.#host.get(far.peerIndex);
    if (!near || near.peerIndex !== far.index || near.peerNetnsId !== this.#host.netnsId(netns)) return undefined;
    if (where === "our bridge" && near.master !== this.#host.get(this.#options.bridge)?.index) return undefined;
    return near.name;
  }
}
