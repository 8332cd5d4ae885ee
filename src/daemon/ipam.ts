// SPDX-License-Identifier: Apache-2.0
// Address allocation joined to this daemon: its range, its place in the mesh, its disk, and what is attached here.
import type { IpamStatus } from "../api/status.ts";
import { heldAddresses } from "../attach/attachment.ts";
import type { ContainerRuntime, HostRoute, HostRoutes } from "../attach/ports.ts";
import { NO_RANGE } from "../config/ipalloc.ts";
import type { DaemonConfig } from "../config/load.ts";
import { EXPOSE_OWNER } from "../expose/exposure.ts";
import { Allocator } from "../ipam/allocator.ts";
import type { InitMode } from "../ipam/founding.ts";
import type { Lease } from "../ipam/lease.ts";
import { SELF_REASON } from "../mesh/admission.ts";
import type { Mesh } from "../mesh/mesh.ts";
import { formatPeerName, type PeerName, parsePeerName } from "../mesh/peer-name.ts";
import { type Cidr, cidrsOverlap, formatCidr, parseCidr } from "../net/cidr.ts";
import { type Clock, every } from "../runtime/clock.ts";
import { errorText, UserError } from "../runtime/errors.ts";
import type { Log, LogFields } from "../runtime/log.ts";
import { systemRandom } from "../runtime/random.ts";
import type { Store } from "../store/store.ts";
import { AddressBook, type Holding } from "./address-book.ts";

const RANGE_KEY = "ipalloc-range";
const QUARANTINE_MS = 30_000;
/** Leases are compared with what is attached. */
const LEASES_MS = 60_000;
/** In the order in which they are tried on a host whose routes overlap with the first. */
const RANGES = [
  "10.32.0.0/12",
  "10.48.0.0/12",
  "10.64.0.0/12",
  "10.128.0.0/12",
  "10.160.0.0/12",
  "10.208.0.0/12",
  "172.24.0.0/14",
];

export interface Ipam {
  readonly allocator: Allocator;
  readonly book: AddressBook;
  readonly range: Cidr;
  readonly range6: Cidr | undefined;
}

export interface IpamPorts {
  readonly self: PeerName;
  readonly mesh: Mesh;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  describe(owner: string): string;
  /** Whether a lease's owner may come back for its address. */
  readonly mayReturn: (lease: Lease) => boolean;
}

/** @throws {UserError} bad-request: the default subnet has nothing of the range */
export function createIpam(config: DaemonConfig, range: Cidr, ports: IpamPorts): Ipam {
  const { self, mesh, store, clock, log } = ports;
  const defaultSubnet = config.ipallocDefaultSubnet ?? range;
  if (!cidrsOverlap(defaultSubnet, range)) {
    throw new UserError(
      "bad-request",
      `--ipalloc-default-subnet ${formatCidr(defaultSubnet)} lies outside the range ${formatCidr(range)}`,
      "choose a subnet of --ipalloc-range",
    );
  }
  const allocator = new Allocator(
    {
      self,
      nickname: config.nickname,
      range,
      range6: config.ipallocRange6,
      init: initOf(config),
      quarantineMs: QUARANTINE_MS,
      deadlineMs: config.ipallocTimeoutS * 1000,
      reclaimAfterMs: config.reclaimAfterS * 1000,
    },
    {
      clock,
      random: systemRandom,
      log,
      journal: store.leases,
      channel: (handler) => mesh.channel("ipam", handler),
      peers: () => mesh.peers(),
      electors: () => electorsOf(mesh),
      describe: ports.describe,
      mayReturn: ports.mayReturn,
    },
  );
  const book = new AddressBook({ range, range6: config.ipallocRange6, defaultSubnet }, allocator);
  return { allocator, book, range, range6: config.ipallocRange6 };
}

function initOf({ ipallocInit: init }: DaemonConfig): InitMode {
  if (init.by !== "seed") return init;
  return { by: "seed", founders: init.founders.flatMap((name) => parsePeerName(name) ?? []) };
}

/** As many as there are targets, and this host. Targets that turned out to be this host do not count. */
function electorsOf(mesh: Mesh): number {
  const targets = mesh.targets();
  if (targets.length === 0) return 1;
  const ours = mesh.view().connections.filter((one) => one.state === "failed" && one.reason.includes(SELF_REASON)).length;
  return Math.max(1, targets.length + 1 - Math.min(ours, targets.length));
}

/** The range to allocate from; undefined: nothing is to be allocated. The one of the last time stays, whatever routes have come since.
 *  @throws {UserError} conflict: it overlaps with a route of this host */
export function chooseRange(config: DaemonConfig, store: Store, routes: HostRoutes, log: Log): Cidr | undefined {
  const given = config.ipallocRange;
  if (given?.prefixLength === NO_RANGE.prefixLength) return undefined;
  const stored = parseCidr(store.settings.get(RANGE_KEY) ?? "");
  const range = stored && (!given || formatCidr(given) === formatCidr(stored)) ? stored : newRange(config, routes, log);
  const clash = routes.overlapping(range);
  if (clash) log.warn("addresses are allocated from a range that overlaps with a route of this host", routeFields(range, clash));
  store.settings.set(RANGE_KEY, formatCidr(range));
  return range;
}

function newRange({ ipallocRange: given, peers }: DaemonConfig, routes: HostRoutes, log: Log): Cidr {
  const [usual, ...others] = RANGES.map((text) => parseCidr(text)!); // literals above are valid
  const wanted = given ?? usual!;
  const clash = routes.overlapping(wanted);
  if (!clash) return wanted;
  if (given) throw clashes(given, clash, "choose another --ipalloc-range, the same on all hosts");
  const chosen = peers.length > 0 ? undefined : others.find((range) => !routes.overlapping(range));
  const hint = "give --ipalloc-range, the same on all hosts, or an empty text for no allocation";
  if (!chosen) throw clashes(wanted, clash, hint);
  log.warn("the usual range of addresses overlaps with a route; another was chosen", routeFields(chosen, clash));
  return chosen;
}

function routeFields(range: Cidr, { destination, device }: HostRoute): LogFields {
  return { range: formatCidr(range), route: formatCidr(destination), device };
}

function clashes(range: Cidr, route: HostRoute, hint: string): UserError {
  return new UserError(
    "conflict",
    `cannot allocate addresses from ${formatCidr(range)}: it overlaps with this host's route ${formatCidr(route.destination)} on '${route.device}'`,
    hint,
  );
}

/** Keeps leases in step with what is attached and exposed, until disposed. What is in use has its lease when this returns; what is in use no
 *  more is looked for in the background, because Docker is asked then, which while it starts may be waiting for our plugin. */
export function keepLeases(
  { allocator, book }: Ipam,
  ports: { readonly store: Store; readonly runtime: ContainerRuntime; readonly clock: Clock; readonly log: Log },
): Disposable {
  const { store, runtime, clock, log } = ports;
  const runs = async (container: string): Promise<boolean> => {
    try {
      return (await runtime.inspect(container))?.running ?? false;
    } catch (thrown) {
      if (thrown instanceof UserError) return true; // nobody answers: nothing is known
      throw thrown;
    }
  };
  const look = async (): Promise<void> => {
    for (const address of await book.reconcile(holdingsOf(store), runs)) log.info("unused address released", { address });
  };
  const lookSafely = () => void look().catch((thrown: unknown) => log.error("repair failed", { reason: errorText(thrown) }));
  book.adopt(holdingsOf(store));
  allocator.open();
  lookSafely();
  return every(clock, LEASES_MS, lookSafely);
}

function holdingsOf({ attachments, exposures }: Store): readonly Holding[] {
  const attached = attachments
    .attachments()
    .flatMap((one) => [...heldAddresses(one), ...one.removing].map((cidr): Holding => ({ owner: one.owner, cidr })));
  return [...attached, ...exposures.exposures().map(({ cidr }): Holding => ({ owner: EXPOSE_OWNER, cidr }))];
}

export function ipamStatus({ allocator, book, range6 }: Ipam): IpamStatus {
  const view = allocator.view();
  const shares = new Map(view.shares.map((share) => [share.peer, share]));
  return {
    status: view.status,
    range: formatCidr(view.range),
    range6: range6 ? formatCidr(range6) : null,
    rangeSize: view.rangeSize,
    defaultSubnet: formatCidr(book.defaultSubnet),
    active: view.active,
    shares: view.shares.map(({ peer, ...share }) => ({ name: formatPeerName(peer), ...share })),
    entries: view.entries.map(({ peer, ...entry }) => ({
      ...entry,
      name: formatPeerName(peer),
      nickname: shares.get(peer)?.nickname ?? "",
      reachable: shares.get(peer)?.reachable ?? false,
    })),
    consensus: view.consensus ?? null,
    pendingAllocates: view.pendingAllocates,
    pendingClaims: view.pendingClaims,
    waitingFor: view.waitingFor.map(({ peer, nickname }) => ({ name: formatPeerName(peer), nickname })),
    conflicts: view.conflicts.map((one) => ({ ...one, peer: formatPeerName(one.peer) })),
    strangers: view.strangers.map((one) => ({ ...one, peer: formatPeerName(one.peer) })),
    undecided: view.undecided.map(({ peer, nickname }) => ({ name: formatPeerName(peer), nickname })),
    otherTwins: view.otherTwins.map((one) => ({ ...one, peer: formatPeerName(one.peer) })),
  };
}

/** Health warnings. */
export function ipamWarnings(ipam: IpamStatus): string[] {
  return [
    ...ipam.conflicts.map(
      ({ address, owner, peer }) =>
        `${address} of '${owner}' is in use on peer ${peer} too: detach it here and attach again to get another one`,
    ),
    ...ipam.strangers.map(
      ({ peer, why }) =>
        `peer ${peer} shares no addresses with this host: ${why}; 'weave reset' on one side, and launch it with the same options`,
    ),
    ...ipam.undecided.map(
      ({ name, nickname }) =>
        `peer ${name}(${nickname}) is away for longer than --reclaim-after, but not fewer peers are away than here, so it may be this side that is cut off; if it is dead: weave rmpeer ${name}`,
    ),
    ...ipam.otherTwins.map(
      ({ peer, why }) =>
        `peer ${peer} has another IPv6 range: ${why}; launch all hosts with the same --ipalloc-range6, or containers do not reach each other by IPv6`,
    ),
  ];
}
