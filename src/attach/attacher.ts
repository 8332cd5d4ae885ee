// SPDX-License-Identifier: Apache-2.0
// The story of a container (or VM) joining and leaving: find it, get its addresses, plumb, guard, announce, record. Waiting happens before and after,
// never inside a change of state: `Attachments` does the change in one go. Called by the API and the reconciler.
import { type Cidr, formatCidr } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import type { Mac } from "../net/mac.ts";
import type { Clock } from "../runtime/clock.ts";
import { errorText, InvariantError, UserError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import { type AddressRequest, parseAddressRequests } from "./address.ts";
import { isMeant } from "./addresses.ts";
import { type Attachment, planPort } from "./attachment.ts";
import { Attachments, type AttachmentsPorts, formatAddresses } from "./attachments.ts";
import { checkFree, checkHostsFile, describe, describeTarget } from "./checks.ts";
import { type HostsEntry, parseHostsEntry, renderHostsFile } from "./hosts-file.ts";
import { checkTapName } from "./link-name.ts";
import type { Addresses, ContainerNames, ContainerRuntime, HostRoutes, HostsFile } from "./ports.ts";
import { Reconciler } from "./reconciler.ts";
import { findTarget, type Idle, ownerOf, type TapTarget, type Target } from "./target.ts";

export interface AttachRequest {
  /** Container name or id, PID, namespace name or path (see `target.ts`); with `tap`, the name of the tap to make. */
  readonly target: string;
  readonly tap?: boolean;
  /** As typed, see `address.ts`. */
  readonly addresses: readonly string[];
  /** Default true: 224.0.0.0/4 goes to the weave interface. */
  readonly multicastRoute?: boolean;
  /** Default true: only the port's own MAC and addresses may send. */
  readonly spoofCheck?: boolean;
  readonly rewriteHosts?: boolean;
  /** `name:ip`, for the rewritten hosts file. */
  readonly addHosts?: readonly string[];
  /** Do not make it known by name. */
  readonly withoutDns?: boolean;
}
export interface AttachResult {
  /** All that were asked for, in order, also those it had before. */
  readonly addresses: readonly Ip[];
  readonly warnings: readonly string[];
}

export interface DetachRequest {
  readonly target: string;
  readonly tap?: boolean;
  /** Empty: all it has. `net:A.B.C.D/len`: those in that subnet. */
  readonly addresses: readonly string[];
}
export interface DetachResult {
  /** Those taken away; empty when it had none of them. */
  readonly addresses: readonly Ip[];
}

/** One line of `weave ps`. */
export interface AttachmentView {
  /** Full container id, `netns:/run/netns/web`, `pid:123`, `tap:vm1`. */
  readonly owner: string;
  readonly name: string;
  readonly hostLink: string;
  readonly mac: Mac;
  readonly addresses: readonly Cidr[];
}

export interface AttacherPorts extends AttachmentsPorts {
  readonly runtime: ContainerRuntime;
  readonly addresses: Addresses;
  readonly hostRoutes: HostRoutes;
  readonly hostsFile: HostsFile;
  readonly names: ContainerNames;
  /** Whether the host itself has this address on the bridge. */
  readonly isExposed: (ip: Ip) => boolean;
  readonly clock: Clock;
  readonly log: Log;
}

export class Attacher {
  readonly #attachments: Attachments;
  readonly #ports: AttacherPorts;
  readonly #reconciler: Reconciler;

  constructor(identity: { hostName: string; bootId: string }, ports: AttacherPorts) {
    this.#attachments = new Attachments(identity, ports);
    this.#ports = ports;
    this.#reconciler = new Reconciler(this.#attachments, { ...ports, forget: (known) => this.#forget(known) });
  }

  /** Attaches, or adds addresses to what is attached; the same request again changes nothing.
   *  @throws {UserError} bad-request, not-found, conflict, unavailable. Nothing is left half done */
  async attach(request: AttachRequest, signal?: AbortSignal): Promise<AttachResult> {
    const requests = parseAddressRequests(request.addresses);
    const extraHosts = (request.addHosts ?? []).map(parseHostsEntry);
    const target = await this.#liveTarget(request);
    if (request.rewriteHosts) checkHostsFile(target);
    const owner = ownerOf(target);
    await this.#dropEarlier(target, owner);
    await this.#dropDeadHolders(requests.flatMap((one) => (one.kind === "address" ? [one.cidr] : [])));
    const cidrs = await this.#ports.addresses.claim(owner, requests, signal);
    try {
      for (const cidr of cidrs) checkFree(target, cidr, this.#attachments, this.#ports.isExposed);
      const warnings = this.#overlapWarnings(target, cidrs);
      warnings.push(...this.#joinKnown(target, owner, cidrs, request, extraHosts));
      return { addresses: cidrs.map((cidr) => cidr.address), warnings };
    } catch (thrown) {
      await this.#releaseUnheld(target, owner, cidrs);
      throw thrown;
    }
  }

  /** Takes addresses away, and the interface with the last one. Something not attached is no error: the result is empty.
   *  @throws {UserError} bad-request, not-found (nothing of that name exists), unavailable */
  async detach(request: DetachRequest): Promise<DetachResult> {
    const requests = request.addresses.length === 0 ? undefined : parseAddressRequests(request.addresses);
    const hostLink = await this.#knownLink(request);
    const known = hostLink === undefined ? undefined : this.#attachments.get(hostLink);
    if (!known) return { addresses: [] };
    const gone = requests ? selected(known.addresses, requests, this.#ports.addresses.defaultSubnets()) : known.addresses;
    if (gone.length === 0) return { addresses: [] };
    this.#attachments.leave(known, gone);
    this.#ports.names.withdraw(known.owner, ipsOf(gone));
    this.#ports.log.info("detached", { container: known.name, address: formatAddresses(gone) });
    await this.#ports.addresses.release(known.owner, gone);
    return { addresses: gone.map((cidr) => cidr.address) };
  }

  /** What is attached now, oldest first. */
  list(): readonly AttachmentView[] {
    return this.#attachments.all().filter((known) => known.addresses.length > 0);
  }

  /** What is attached by that name, or is what `attach` would take the word for; undefined: nothing. */
  async find(word: string): Promise<AttachmentView | undefined> {
    const named = this.list().find((known) => [known.name, known.owner].includes(word));
    if (named) return named;
    try {
      const found = await findTarget(word, this.#ports);
      const hostLink = "netns" in found ? this.#attachments.find(found)?.hostLink : undefined;
      return this.list().find((known) => known.hostLink === hostLink);
    } catch (thrown) {
      if (thrown instanceof UserError) return undefined;
      throw thrown;
    }
  }

  /** Who on this host holds `ip`, for messages; undefined: nobody. */
  holderOf(ip: Ip): string | undefined {
    const holder = this.#attachments.holder(ip);
    return holder && describe(holder);
  }

  /** Makes kernel and records agree, see `Reconciler`. Returns what was repaired, for counter and log. */
  reconcile(): Promise<string[]> {
    return this.#reconciler.reconcile();
  }

  async #forget(known: Attachment): Promise<void> {
    this.#attachments.forget(known);
    this.#ports.names.withdraw(known.owner, ipsOf(known.addresses));
    this.#ports.log.info("attachment dropped", { container: known.name, address: formatAddresses(known.addresses) });
    await this.#ports.addresses.release(known.owner, known.addresses);
  }

  async #liveTarget(request: AttachRequest): Promise<Target | TapTarget> {
    if (request.tap) return { tap: checkTapName(request.target) };
    const found = await findTarget(request.target, this.#ports);
    if ("netns" in found) return found;
    throw new UserError(
      "conflict",
      `cannot attach container '${found.name}': it ${found.why}`,
      `start it first: docker start ${found.name}`,
    );
  }

  /** Host link of the attachment that is meant. Not its record: that may change while the caller waits for this. */
  async #knownLink(request: DetachRequest): Promise<string | undefined> {
    if (request.tap) return this.#attachments.find({ tap: checkTapName(request.target) })?.hostLink;
    let found: Target | Idle;
    try {
      found = await findTarget(request.target, this.#ports);
    } catch (thrown) {
      // A namespace may have lost its name, or Docker its socket, while the attachment still stands.
      const named = this.#attachments.all().find((known) => [known.name, known.owner].includes(request.target));
      if (named && thrown instanceof UserError && thrown.code === "not-found") return named.hostLink;
      throw thrown;
    }
    if ("netns" in found) return this.#attachments.find(found)?.hostLink;
    const { owner } = found;
    const stopped = this.#attachments.all().find((known) => known.owner === owner);
    if (stopped && !this.#attachments.alive(stopped)) await this.#forget(stopped);
    return undefined;
  }

  /** Names and hosts file come first: a program that waits for the interface finds them. */
  #joinKnown(
    target: Target | TapTarget,
    owner: string,
    cidrs: readonly Cidr[],
    request: AttachRequest,
    extraHosts: readonly HostsEntry[],
  ): readonly string[] {
    using undo = new DisposableStack();
    const held = new Set(this.#attachments.find(target)?.addresses.map((cidr) => cidr.address));
    const added = ipsOf(cidrs).filter((ip) => !held.has(ip));
    const warnings: string[] = [];
    if (!request.withoutDns) {
      undo.defer(() => this.#ports.names.withdraw(owner, added));
      warnings.push(...this.#register(target, owner, cidrs));
    }
    if (request.rewriteHosts)
      warnings.push(...this.#rewriteHosts(target, [...new Set([...held, ...ipsOf(cidrs)])], extraHosts, undo));
    this.#join(target, cidrs, request);
    undo.move();
    return warnings;
  }

  #join(target: Target | TapTarget, cidrs: readonly Cidr[], request: AttachRequest): void {
    const { log, plumber } = this.#ports;
    const options = { multicastRoute: request.multicastRoute ?? true, guarded: request.spoofCheck ?? true };
    let added: readonly Cidr[];
    try {
      added = this.#attachments.join(target, cidrs, options);
    } catch (thrown) {
      throw this.#explain(target, thrown);
    }
    const known = this.#attachments.find(target);
    if (!known || added.length === 0) return;
    log.info("attached", { container: known.name, link: known.hostLink, address: formatAddresses(added) });
    const plan = planPort(known);
    if (plan.kind === "veth") plumber.announce(plan, added);
  }

  #register(target: Target | TapTarget, owner: string, cidrs: readonly Cidr[]): readonly string[] {
    const [name, container] = "tap" in target ? [target.tap, undefined] : [target.name, target.container];
    return this.#ports.names.register({ owner, name, container }, ipsOf(cidrs));
  }

  #explain(target: Target | TapTarget, thrown: unknown): unknown {
    if (thrown instanceof UserError || thrown instanceof InvariantError) return thrown;
    const what = describeTarget(target);
    if ("netns" in target && this.#ports.namespaces.at(target.netns.path)?.id !== target.netns.id) {
      return new UserError("conflict", `cannot attach ${what}: it ended while it was being attached`, "", { cause: thrown });
    }
    return new UserError(
      "internal",
      `cannot attach ${what}: ${errorText(thrown)}`,
      "nothing was left behind; see the log of weave",
      {
        cause: thrown,
      },
    );
  }

  /** What the same container had before it was restarted: released first, so that its addresses can be its again. */
  async #dropEarlier(target: Target | TapTarget, owner: string): Promise<void> {
    if ("tap" in target) return;
    for (const known of this.#attachments.all()) {
      const isEarlier = known.owner === owner && known.netnsId !== target.netns.id;
      if (isEarlier && !this.#attachments.alive(known)) await this.#forget(known);
    }
  }

  async #dropDeadHolders(cidrs: readonly Cidr[]): Promise<void> {
    for (const cidr of cidrs) {
      const holder = this.#attachments.holder(cidr.address);
      if (holder && !this.#attachments.alive(holder)) await this.#forget(holder);
    }
  }

  async #releaseUnheld(target: Target | TapTarget, owner: string, cidrs: readonly Cidr[]): Promise<void> {
    const held = new Set(this.#attachments.find(target)?.addresses.map((cidr) => cidr.address));
    await this.#ports.addresses.release(
      owner,
      cidrs.filter((cidr) => !held.has(cidr.address)),
    );
  }

  #overlapWarnings(target: Target | TapTarget, cidrs: readonly Cidr[]): string[] {
    return cidrs.flatMap((cidr) => {
      const route = this.#ports.hostRoutes.overlapping(cidr);
      if (!route) return [];
      const range = formatCidr(route.destination);
      this.#ports.log.warn("attached address lies in a route of this host", {
        address: formatCidr(cidr),
        route: range,
        device: route.device,
      });
      return [`${formatCidr(cidr)} of ${describeTarget(target)} overlaps with this host's route ${range} on '${route.device}'`];
    });
  }

  #rewriteHosts(
    target: Target | TapTarget,
    addresses: readonly Ip[],
    extra: readonly HostsEntry[],
    undo: DisposableStack,
  ): string[] {
    const container = "tap" in target ? undefined : target.container;
    if (!container?.hostsFile) return [];
    const { hostsFile: path } = container;
    const { hostsFile } = this.#ports;
    try {
      const before = hostsFile.read(path);
      hostsFile.write(path, renderHostsFile({ ...container, addresses, extra }));
      undo.defer(() => hostsFile.write(path, before));
      return [];
    } catch (thrown) {
      return [`the hosts file of ${describeTarget(target)} could not be written: ${errorText(thrown)}`];
    }
  }
}

function ipsOf(cidrs: readonly Cidr[]): Ip[] {
  return cidrs.map((cidr) => cidr.address);
}

function selected(held: readonly Cidr[], requests: readonly AddressRequest[], defaultSubnets: readonly Cidr[]): readonly Cidr[] {
  return held.filter((cidr) => requests.some((request) => isMeant(request, cidr, defaultSubnets)));
}
