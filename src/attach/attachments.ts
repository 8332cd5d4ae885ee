// SPDX-License-Identifier: Apache-2.0
// The attachments of this host: journal and kernel kept together. Every method is synchronous, so no two operations interleave; each writes
// its intention before the first kernel step and is idempotent. `Attacher` tells the story around it.
import { type Cidr, formatCidr } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import { errorText, invariant, UserError } from "../runtime/errors.ts";
import {
  type Attachment,
  beginAdding,
  beginRemoving,
  commit,
  GUEST_LINK,
  heldAddresses,
  isUnfinished,
  planGuard,
  planPort,
  settle,
} from "./attachment.ts";
import { firstFree, hostLinkNames, linkMacs } from "./link-name.ts";
import type { GuestLink, Journal, Namespaces, NetnsRef, Plumber, SwitchPorts } from "./ports.ts";
import { ownerOf, type TapTarget, type Target } from "./target.ts";

export interface JoinOptions {
  readonly multicastRoute: boolean;
  readonly guarded: boolean;
}

export interface AttachmentsPorts {
  readonly journal: Journal;
  readonly plumber: Plumber;
  readonly switchPorts: SwitchPorts;
  readonly namespaces: Namespaces;
  /** Called before each step; a test stops the process there. */
  readonly onStep?: (step: string) => void;
}

export class Attachments {
  readonly #ports: AttachmentsPorts;
  readonly #hostName: string;
  readonly #bootId: string;
  /** Index of each port's link when it was last seen: with a container's end the link goes by itself, and the switch must forget the port. */
  readonly #indexes = new Map<string, number>();
  /** Ports without a record whose other end could not be found: not looked for again as long as they are there. */
  #strangers: ReadonlySet<string> = new Set();

  /** `hostName` makes MACs differ from other hosts'; `bootId` tells records of an earlier boot. */
  constructor(identity: { hostName: string; bootId: string }, ports: AttachmentsPorts) {
    this.#ports = ports;
    this.#hostName = identity.hostName;
    this.#bootId = identity.bootId;
  }

  all(): readonly Attachment[] {
    return this.#ports.journal.attachments();
  }

  get(hostLink: string): Attachment | undefined {
    return this.#ports.journal.get(hostLink);
  }

  find(target: Target | TapTarget): Attachment | undefined {
    return this.all().find((known) =>
      "tap" in target ? known.kind === "tap" && known.hostLink === target.tap : known.netnsId === target.netns.id,
    );
  }

  /** The attachment that holds `ip`, unfinished ones included. */
  holder(ip: Ip): Attachment | undefined {
    return this.all().find((known) => [...heldAddresses(known), ...known.removing].some((cidr) => cidr.address === ip));
  }

  /** The record, following its namespace to another path when the known one has gone; undefined: the namespace has ended. */
  alive(known: Attachment): Attachment | undefined {
    if (known.kind === "tap") return known;
    if (known.bootId !== this.#bootId) return undefined;
    const { namespaces, journal } = this.#ports;
    if (namespaces.at(known.netnsPath)?.id === known.netnsId) return known;
    const found = namespaces.search(known.netnsId);
    const moved = found && { ...known, netnsPath: found.path };
    if (moved) journal.put(moved);
    return moved;
  }

  /** Gives `target` these addresses. What it has already stays; the ones that are new come back.
   *  @throws {UserError} conflict: the namespace has a foreign `ethwe`, or the tap's name is taken. Anything thrown left nothing behind */
  join(target: Target | TapTarget, addresses: readonly Cidr[], options: JoinOptions): readonly Cidr[] {
    const known =
      this.#named(this.find(target), target) ?? this.#adoptGuest(target, options) ?? this.#create(target, addresses, options);
    const held = new Set(known.addresses.map((cidr) => cidr.address));
    const added = addresses.filter((cidr) => !held.has(cidr.address));
    const adding = beginAdding(known, added);
    this.#step("journal");
    if (added.length > 0) this.#ports.journal.put(adding);
    try {
      this.#apply(adding);
      this.#step("journal done");
      if (added.length > 0) this.#ports.journal.put(commit(adding));
    } catch (thrown) {
      if (added.length > 0) this.#undo(adding, thrown);
      throw thrown;
    }
    return added;
  }

  /** Takes addresses away; the link goes with the last one. */
  leave(known: Attachment, gone: readonly Cidr[]): void {
    const removing = beginRemoving(known, gone);
    this.#step("journal");
    this.#ports.journal.put(removing);
    this.#finishRemoval(removing);
  }

  /** Makes the kernel agree with the record. Returns what had to be changed. */
  repair(known: Attachment): readonly string[] {
    if (isUnfinished(known)) {
      this.#finishRemoval(settle(known));
      return [`${known.hostLink}: unfinished work of an earlier run undone`];
    }
    if (known.bootId !== this.#bootId) this.#ports.journal.put({ ...known, bootId: this.#bootId });
    return this.#apply(known);
  }

  /** Drops a record whose namespace has gone, and the link if the kernel still has it. */
  forget(known: Attachment): void {
    this.#remove(known);
  }

  /** Makes records for ports that have lost theirs, for example with the database. Returns the new records. */
  adoptOrphans(): readonly Attachment[] {
    const { plumber, namespaces } = this.#ports;
    const recorded = new Set(this.all().map((known) => known.hostLink));
    const unrecorded = plumber
      .ports()
      .filter((name) => !recorded.has(name))
      .map((name) => ({ name, key: `${name} ${plumber.linkIndex(name)}` }));
    const orphans = unrecorded.filter(({ key }) => !this.#strangers.has(key)).map(({ name }) => name);
    if (orphans.length === 0) return [];
    const host = namespaces.host().id;
    const adopted = plumber.findGuests(orphans, GUEST_LINK).flatMap(({ netns, guest }) => {
      if (netns.id === host) return [];
      const pid = /^\/proc\/(\d+)\//.exec(netns.path)?.[1];
      const owner = pid === undefined ? `netns:${netns.path}` : `pid:${pid}`;
      return this.#adopt({ owner, name: pid ?? netns.path, netns }, guest, true) ?? [];
    });
    const found = new Set(adopted.map((known) => known.hostLink));
    this.#strangers = new Set(unrecorded.filter((port) => !found.has(port.name)).map(({ key }) => key));
    return adopted;
  }

  // What was attached by PID or path is called by its container's name as soon as that is known.
  #named(known: Attachment | undefined, target: Target | TapTarget): Attachment | undefined {
    if (!known || "tap" in target || !target.container || !/^(pid|netns):/.test(known.owner)) return known;
    const named = { ...known, owner: target.owner, name: target.name };
    this.#ports.journal.put(named);
    return named;
  }

  #adoptGuest(target: Target | TapTarget, options: JoinOptions): Attachment | undefined {
    if ("tap" in target) return undefined;
    const guest = this.#ports.plumber.guestLink(target.netns, GUEST_LINK);
    if (!guest) return undefined;
    const adopted = this.#adopt(target, guest, options.guarded);
    if (adopted) return adopted;
    throw new UserError(
      "conflict",
      `cannot attach '${target.name}': it has an interface '${GUEST_LINK}' that weave did not make`,
      "remove or rename that interface",
    );
  }

  #adopt(target: Pick<Target, "owner" | "name" | "netns">, guest: GuestLink, guarded: boolean): Attachment | undefined {
    const hostMac = guest.port === undefined ? undefined : this.#ports.plumber.linkMac(guest.port);
    if (guest.port === undefined || hostMac === undefined) return undefined;
    const adopted: Attachment = {
      hostLink: guest.port,
      kind: "veth",
      owner: target.owner,
      name: target.name,
      netnsPath: target.netns.path,
      netnsId: target.netns.id,
      hostMac,
      mac: guest.mac,
      addresses: guest.addresses,
      adding: [],
      removing: [],
      multicastRoute: guest.multicastRoute,
      guarded,
      bootId: this.#bootId,
    };
    this.#ports.journal.put(adopted);
    return adopted;
  }

  #create(target: Target | TapTarget, addresses: readonly Cidr[], options: JoinOptions): Attachment {
    const first = addresses[0];
    invariant(first, "attach without an address");
    const taken = new Set(this.all().flatMap((known) => [known.mac, known.hostMac]));
    const isTap = "tap" in target;
    const guestMac = firstFree(linkMacs(this.#hostName, "guest", first.address), (mac) => taken.has(mac));
    const hostMac = firstFree(linkMacs(this.#hostName, "host", first.address), (mac) => taken.has(mac));
    const netns: NetnsRef = isTap ? { path: "", id: "" } : target.netns;
    return {
      hostLink: isTap ? this.#tapName(target.tap) : this.#portName(target),
      kind: isTap ? "tap" : "veth",
      owner: ownerOf(target),
      name: isTap ? target.tap : target.name,
      netnsPath: netns.path,
      netnsId: netns.id,
      hostMac,
      mac: isTap ? hostMac : guestMac,
      addresses: [],
      adding: [],
      removing: [],
      multicastRoute: options.multicastRoute,
      guarded: options.guarded,
      bootId: this.#bootId,
    };
  }

  #portName(target: Target): string {
    const recorded = new Set(this.all().map((known) => known.hostLink));
    return firstFree(hostLinkNames(target), (name) => recorded.has(name) || this.#ports.plumber.linkIndex(name) !== undefined);
  }

  #tapName(name: string): string {
    if (this.#ports.plumber.linkIndex(name) === undefined) return name;
    throw new UserError(
      "conflict",
      `cannot make the tap '${name}': the host already has a link of that name`,
      "choose another name, or delete that link",
    );
  }

  #apply(attachment: Attachment): readonly string[] {
    const { plumber, switchPorts } = this.#ports;
    const plan = planPort(attachment);
    this.#step("link");
    const link = plumber.ensureLink(plan);
    this.#indexes.set(attachment.hostLink, link.ifindex);
    // The guard stands before the port can carry a frame.
    this.#step("guard");
    switchPorts.attachPort(link.ifindex, planGuard(attachment));
    this.#step("guest");
    return [...link.changes, ...plumber.ensureGuest(plan)];
  }

  // When even undoing fails the record stays unfinished, and the next repair tries again.
  #undo(adding: Attachment, cause: unknown): void {
    try {
      this.#finishRemoval(settle(adding));
    } catch (thrown) {
      throw new Error(`${errorText(cause)}; undoing it failed as well: ${errorText(thrown)}`, { cause });
    }
  }

  #finishRemoval(attachment: Attachment): void {
    if (attachment.addresses.length === 0) this.#remove(attachment);
    else {
      this.#apply(attachment);
      this.#step("journal done");
      this.#ports.journal.put(commit(attachment));
    }
  }

  #remove(attachment: Attachment): void {
    const { plumber, switchPorts, journal } = this.#ports;
    const { hostLink } = attachment;
    const ifindex = plumber.linkIndex(hostLink) ?? this.#indexes.get(hostLink);
    if (ifindex !== undefined) {
      // Off, then unguarded, then gone: the guard can be found by the link's index only as long as there is a link.
      this.#step("silence");
      plumber.silence(planPort(attachment));
      this.#step("remove guard");
      switchPorts.detachPort(ifindex);
      this.#step("remove link");
      plumber.removeLink(planPort(attachment));
    }
    this.#indexes.delete(hostLink);
    this.#step("journal drop");
    journal.drop(hostLink);
  }

  #step(step: string): void {
    this.#ports.onStep?.(step);
  }
}

/** `10.32.1.5/24 10.32.2.5/24` */
export function formatAddresses(addresses: readonly Cidr[]): string {
  return addresses.map(formatCidr).join(" ");
}
