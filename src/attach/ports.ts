// SPDX-License-Identifier: Apache-2.0
// What attach needs from the machine, as small ports. `host/plumber*.ts` fits the kernel side, `store/` the journal, `docker/` the runtime,
// `host/datapath.ts` the switch; the daemon joins them.
import type { Cidr } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import type { Mac } from "../net/mac.ts";
import type { AddressRequest } from "./address.ts";
import type { Attachment } from "./attachment.ts";

/** Identity of a live network namespace. Never used twice within one boot, unlike its inode or a PID. */
export type NetnsId = string;

export interface NetnsRef {
  /** Can be opened: `/proc/123/ns/net`, `/run/netns/web`, a bind mount. */
  readonly path: string;
  readonly id: NetnsId;
}

/** The machine's network namespaces. */
export interface Namespaces {
  /** The namespace this daemon works in. */
  host(): NetnsRef;
  /** `/run/netns/NAME`; undefined when there is none. */
  named(name: string): NetnsRef | undefined;
  process(pid: number): NetnsRef | undefined;
  /** undefined: no such path, or it is not a network namespace (any more). */
  at(path: string): NetnsRef | undefined;
  /** Looks for a namespace whose known path has gone, through the machine's processes and named namespaces. Slow. */
  search(id: NetnsId): NetnsRef | undefined;
}

/** A container as its runtime describes it. */
export interface Container {
  /** Full id, 64 hex digits. */
  readonly id: string;
  readonly name: string;
  /** 0 when it is not running. */
  readonly pid: number;
  readonly running: boolean;
  readonly hostNetwork: boolean;
  readonly hostname: string;
  readonly domain: string;
  /** The file on this host behind the container's /etc/hosts; undefined when the runtime keeps none. */
  readonly hostsFile: string | undefined;
}

/** Docker, or whatever answers like it. */
export interface ContainerRuntime {
  /** By name or unambiguous id prefix; undefined: it does not know that one.
   *  @throws {UserError} "unavailable": nothing answers; "conflict": the prefix fits several */
  inspect(word: string): Promise<Container | undefined>;
}

/** Who hands out addresses. */
export interface Addresses {
  /** Turns what was asked for into addresses held for `owner`, in order; one that was chosen may bring an IPv6 twin. May have to wait for other
   *  hosts, until `signal` fires. @throws {UserError} then nothing more is held than before */
  claim(owner: string, requests: readonly AddressRequest[], signal?: AbortSignal): Promise<readonly Cidr[]>;
  /** Where addresses are chosen when nothing else is said, for each family; none: there is no allocation here. */
  defaultSubnets(): readonly Cidr[];
  release(owner: string, addresses: readonly Cidr[]): Promise<void>;
}

/** Durable record of what is attached. Every call is on disk when it returns. */
export interface Journal {
  attachments(): readonly Attachment[];
  get(hostLink: string): Attachment | undefined;
  /** Inserts, or replaces the one with the same host link. */
  put(attachment: Attachment): void;
  drop(hostLink: string): void;
}

/** What one attachment should look like in the kernel. */
export type PortPlan = VethPlan | TapPlan | LoosePlan;
export interface VethPlan {
  readonly kind: "veth";
  /** Name of the host end, at most 15 characters. */
  readonly hostLink: string;
  readonly hostMac: Mac;
  readonly netns: NetnsRef;
  /** Name of the container's end. */
  readonly guestLink: string;
  readonly guestMac: Mac;
  readonly addresses: readonly Cidr[];
  /** Addresses that must not be on the guest's link; others it does not name are left alone. */
  readonly absent: readonly Cidr[];
  readonly multicastRoute: boolean;
}
export interface TapPlan {
  readonly kind: "tap";
  readonly hostLink: string;
  readonly hostMac: Mac;
}

/** A pair whose far end somebody else moves into a namespace and sets up. Found again by its near end. */
export interface LoosePlan {
  readonly kind: "loose";
  readonly hostLink: string;
  readonly hostMac: Mac;
  readonly guestLink: string;
  readonly guestMac: Mac;
}

/** The kernel side. Every call compares first and changes only what differs; what it changed comes back as short sentences. */
export interface Plumber {
  /** Interface index of a link on the host, ours or not; undefined: there is none. */
  linkIndex(name: string): number | undefined;
  /** The link of this name inside the namespace, ours or not; undefined: there is none. */
  guestLink(netns: NetnsRef, name: string): GuestLink | undefined;
  /** The link (or pair) exists, is tuned, is a port of the bridge; it carries no traffic yet when it is new. */
  ensureLink(plan: PortPlan): { readonly ifindex: number; readonly changes: readonly string[] };
  /** The host end is up; in the namespace: addresses, link up, and the multicast route as the last step. */
  ensureGuest(plan: PortPlan): readonly string[];
  /** Whether the bridge takes the port's frames: it does so only after it has seen the carrier, which the kernel tells it a moment later. */
  carries(plan: PortPlan): boolean;
  /** Gratuitous ARP and unsolicited neighbour advertisements. Best effort: a failure is logged, not thrown. */
  announce(plan: VethPlan, addresses: readonly Cidr[]): void;
  /** Switches the host end off, so that nothing passes any more. */
  silence(plan: PortPlan): void;
  /** Removes the link; nothing happens when it is gone already. */
  removeLink(plan: PortPlan): void;
  /** Names of ports of the bridge that look like ours (`vethwepl…`). */
  ports(): readonly string[];
  /** MAC of a link on the host. */
  linkMac(name: string): Mac | undefined;
  /** Finds where the far ends of ports are whose records were lost, by looking into every namespace. Slow. */
  findGuests(hostLinks: readonly string[], guestLink: string): readonly AdoptedPort[];
}
export interface GuestLink {
  /** The other end, when it is a port of our bridge. */
  readonly port: string | undefined;
  readonly mac: Mac;
  readonly addresses: readonly Cidr[];
  readonly multicastRoute: boolean;
}
export interface AdoptedPort {
  readonly netns: NetnsRef;
  readonly guest: GuestLink;
}

/** Pairs between our bridge and other bridges of the host, known by the other's name. */
export interface BridgeJoints {
  /** @throws {UserError} not-found, bad-request: it is not another bridge of this host */
  check(name: string): void;
  /** Our end; undefined: there is no pair. */
  port(name: string): { readonly ifindex: number; readonly mac: Mac } | undefined;
  /** The pair exists, each end on its bridge, and is on. `guard` is called with the index of our end before a frame can pass.
   *  Returns what was changed. @throws {UserError} not-found: the bridge is away */
  ensure(name: string, guard: (ifindex: number) => void): readonly string[];
  /** Nothing happens when it is gone already. */
  remove(name: string): void;
}

/** The switch's view of a bridge port. */
export interface SwitchPorts {
  /** The port's frames are checked against these; called again when they change, and by every repair. */
  attachPort(ifindex: number, guard: PortGuard): void;
  detachPort(ifindex: number): void;
}
export interface PortGuard {
  /** The only source MAC; undefined: nothing is checked, neither MACs nor addresses nor router advertisements. */
  readonly mac: Mac | undefined;
  /** The only IP sources, with the subnets from which the port gets multicast. */
  readonly addresses: readonly Cidr[];
}

/** Routes of the host, those on the weave bridge left out. */
export interface HostRoutes {
  /** A route that overlaps the subnet of `cidr`, default routes left out. */
  overlapping(cidr: Cidr): HostRoute | undefined;
}
export interface HostRoute {
  readonly destination: Cidr;
  readonly device: string;
}

/** Who makes containers known by name. */
export interface ContainerNames {
  /** Returns what the operator should know, as whole sentences. */
  register(target: NamedTarget, addresses: readonly Ip[]): readonly string[];
  /** All names of `owner` at these addresses. */
  withdraw(owner: string, addresses: readonly Ip[]): void;
}
export interface NamedTarget {
  /** Who holds the addresses. */
  readonly owner: string;
  /** What people call it. */
  readonly name: string;
  readonly container: Container | undefined;
}

/** A container's /etc/hosts. */
export interface HostsFile {
  read(path: string): string;
  write(path: string, content: string): void;
}
