// SPDX-License-Identifier: Apache-2.0
// The API's view of the running daemon: each request becomes a call of a use case or a snapshot of the parts. Decides nothing itself.
import type { AddressesResponse, Backend, RefusedTarget } from "../api/backend.ts";
import type { DnsBackend } from "../api/dns.ts";
import {
  API_VERSION,
  type DnsStatus,
  type Health,
  type PluginStatus,
  type ProxyStatus,
  type PsEntry,
  type StatusModel,
} from "../api/status.ts";
import type { Attacher } from "../attach/attacher.ts";
import type { JoinedBridges } from "../attach/joined-bridges.ts";
import type { ContainerRuntime } from "../attach/ports.ts";
import { type DaemonConfig, shownConfig } from "../config/load.ts";
import type { Exposer } from "../expose/exposer.ts";
import type { Mesh } from "../mesh/mesh.ts";
import { formatPeerName } from "../mesh/peer-name.ts";
import type { MeshView } from "../mesh/ports.ts";
import { renderMetrics } from "../metrics/render.ts";
import type { TransportStats } from "../metrics/transport-stats.ts";
import { type Cidr, formatCidr } from "../net/cidr.ts";
import { parseHostPort } from "../net/endpoint.ts";
import type { Ip } from "../net/ip.ts";
import { formatMac, type Mac } from "../net/mac.ts";
import type { PeerPing } from "../overlay/peer-ping.ts";
import { errorText, UserError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import { IpRequests } from "./ip-requests.ts";
import { type Ipam, ipamStatus, ipamWarnings } from "./ipam.ts";
import type { PasswordSet } from "./password-set.ts";
import { findPeer, pingResponse } from "./ping.ts";
import type { Reloader } from "./reload.ts";
import { type RouterParts, routerStatus } from "./status-model.ts";

export interface BackendParts {
  readonly config: DaemonConfig;
  readonly version: string;
  readonly startedAtMs: number;
  readonly mesh: Mesh;
  readonly attacher: Attacher;
  readonly exposer: Exposer;
  readonly bridges: JoinedBridges;
  readonly passwords: PasswordSet;
  readonly reloader: Reloader;
  readonly ping: PeerPing;
  /** undefined: addresses are not allocated here. */
  readonly ipam: Ipam | undefined;
  readonly runtime: ContainerRuntime;
  readonly log: Log;
  /** Everything the status shows besides the mesh's own view. */
  router(): Omit<RouterParts, "mesh">;
  warnings(): readonly string[];
  notes(): readonly string[];
  /** null: there is no Docker API proxy on this host. */
  proxy(): ProxyStatus | null;
  /** null: there is none. */
  plugin(): PluginStatus | null;
  ready(): boolean;
  /** @throws {Error} the name has no address now */
  resolves(host: string): Promise<unknown>;
  /** `connect` or `forget` changed them: they are kept for the next start. */
  targetsChanged(): void;
  /** undefined: there is no name service on this host. */
  readonly dns: DnsParts | undefined;
  readonly counters: Parameters<typeof renderMetrics>[1];
  /** As of now; undefined: nothing is counted. */
  transports(): Promise<TransportStats>;
}

export interface DnsParts {
  readonly backend: DnsBackend;
  status(): DnsStatus;
  /** @throws {UserError} it is no host name */
  check(fqdn: string): void;
  /** The host's own addresses are called that. Returns what the operator should know. */
  name(fqdn: string, addresses: readonly Ip[]): readonly string[];
  hidden(addresses: readonly Ip[]): void;
}

export function createBackend(parts: BackendParts): Backend {
  const { mesh, attacher, exposer, bridges, passwords, reloader, config } = parts;
  const { ipam } = parts;
  const allocation = (): Ipam => ipam ?? noAllocation();
  const requests = (): IpRequests => {
    const { allocator, range, book } = allocation();
    return new IpRequests({ range, defaultSubnet: book.defaultSubnet }, allocator, parts.runtime);
  };
  const status = (): StatusModel => {
    const view = mesh.view();
    const allocated = ipam ? ipamStatus(ipam) : null;
    return {
      apiVersion: API_VERSION,
      version: parts.version,
      pid: process.pid,
      startedAtMs: parts.startedAtMs,
      ready: parts.ready(),
      warnings: [...parts.warnings(), ...view.warnings, ...(allocated ? ipamWarnings(allocated) : [])],
      notes: parts.notes(),
      router: routerStatus({ ...parts.router(), mesh: view }),
      dns: parts.dns?.status() ?? null,
      ipam: allocated,
      proxy: parts.proxy(),
      plugin: parts.plugin(),
      config: shownConfig({ ...reloader.config, passwords: passwords.texts }),
    };
  };
  return {
    status,
    dns: parts.dns?.backend,
    health: (): Health => ({
      apiVersion: API_VERSION,
      ready: parts.ready(),
      version: parts.version,
      pid: process.pid,
      name: formatPeerName(mesh.view().self.name),
      nickname: config.nickname,
    }),
    async connect(peers, { replace }) {
      const refused = (await Promise.all(peers.map((peer) => refusalOf(peer, parts.resolves)))).filter(
        (one) => one !== undefined,
      );
      const bad = new Set(refused.map((one) => one.peer));
      mesh.connect(
        peers.filter((peer) => !bad.has(peer)),
        { replace },
      );
      parts.targetsChanged();
      return refused;
    },
    async forget(peers) {
      mesh.forget(peers);
      parts.targetsChanged();
    },
    async attach(request, signal) {
      const { noMulticastRoute, noSpoofCheck, ...rest } = request;
      return attacher.attach({ ...rest, multicastRoute: !noMulticastRoute, spoofCheck: !noSpoofCheck }, signal);
    },
    async detach(request) {
      return attacher.detach(request);
    },
    async expose(request, signal): Promise<AddressesResponse> {
      const { fqdn, ...rest } = request;
      if (fqdn !== undefined && !parts.dns) {
        throw new UserError(
          "unavailable",
          "cannot register a name: there is no name service on this host",
          "it runs with --no-dns",
        );
      }
      if (fqdn !== undefined) parts.dns?.check(fqdn);
      const exposed = await exposer.expose(rest, signal);
      const named = fqdn === undefined ? [] : parts.dns?.name(fqdn, exposed.addresses);
      return { ...exposed, warnings: [...exposed.warnings, ...(named ?? [])] };
    },
    async hide(addresses) {
      const hidden = await exposer.hide({ addresses });
      if (hidden.addresses.length > 0) parts.dns?.hidden(hidden.addresses);
      return hidden;
    },
    async joinBridge(name) {
      bridges.join(name);
      return { bridges: bridges.list() };
    },
    async leaveBridge(name) {
      bridges.leave(name);
      return { bridges: bridges.list() };
    },
    async ps(words) {
      const all = psEntries(parts);
      if (words.length === 0) return all;
      const found = await Promise.all(words.map((word) => namedEntries(parts, all, word)));
      return found.flat();
    },
    async leave() {
      if (ipam && !(await ipam.allocator.leave())) {
        parts.log.warn("nobody took this host's addresses over", { hint: "weave rmpeer on another host" });
      }
      mesh.stop("leaving");
    },
    async removePeer(id, { revoke }) {
      if (revoke) mesh.revoke(peerIdOf(mesh.view(), id));
      if (!ipam) return { revoked: revoke };
      return { revoked: revoke, addressesTakenOver: await takeOver(ipam, mesh, id, revoke) };
    },
    ring: (signal) => allocation().allocator.ready(signal),
    ipAllocate: (query, signal) => requests().allocate(query, signal),
    ipClaim: (claim, signal) => requests().claim(claim, signal),
    ipLookup: (query) => requests().lookup(query),
    ipList: () => requests().list(),
    ipRelease: (id, ip) => (ip === undefined ? requests().releaseAll(id) : requests().release(id, ip)),
    defaultSubnet: () => formatCidr(allocation().book.defaultSubnet),
    async ping({ peer: word, count, sizeBytes }, signal) {
      const peer = findPeer(mesh.view(), word);
      const result = await parts.ping.ping(peer.name, count, signal, sizeBytes);
      return pingResponse(mesh.view(), peer, result, sizeBytes);
    },
    reload: async () => reloader.reload(),
    passwords: () => passwords.fingerprints(),
    addPassword: async (password) => passwords.add(password),
    removePassword: async (password, { force }) => passwords.remove(password, { force }),
    metrics: async () => renderMetrics(status(), parts.counters, await parts.transports()),
  };
}

/** Why a peer cannot be a target; undefined: it can. Later lookups may fail and are tried again, the first one tells of a misspelt name. */
async function refusalOf(peer: string, resolves: BackendParts["resolves"]): Promise<RefusedTarget | undefined> {
  const parsed = parseHostPort(peer);
  if (parsed === undefined) return { peer, reason: `'${peer}' is not a host name or address with an optional port` };
  try {
    await resolves(parsed.host);
    return undefined;
  } catch (thrown) {
    return { peer, reason: errorText(thrown) };
  }
}

function noAllocation(): never {
  throw new UserError("not-found", "404 page not found: addresses are not allocated here", "see --ipalloc-range");
}

/** Several dead peers may have had one nickname. @throws {UserError} conflict: a peer of that name is alive */
async function takeOver({ allocator }: Ipam, mesh: Mesh, id: string, isRevoked: boolean): Promise<number> {
  let taken = 0;
  for (const peer of allocator.ownersCalled(id)) {
    if (!isRevoked && mesh.peers().has(peer)) {
      throw new UserError(
        "conflict",
        `cannot take over from '${id}': that peer is alive`,
        "on it run 'weave reset', which hands its addresses over, or use --revoke",
      );
    }
    taken += await allocator.takeOver(peer);
  }
  return taken;
}

/** A nickname that one peer has means that peer; anything else is a name or a key. */
function peerIdOf(view: MeshView, id: string): string {
  const isHere = id === view.self.nickname || id === formatPeerName(view.self.name);
  const named = view.peers.filter((peer) => peer.nickname === id && peer.name !== view.self.name);
  if (isHere && named.length === 0) {
    throw new UserError("bad-request", `'${id}' is this host`, "to give it a new key run 'weave reset', and launch it again");
  }
  if (named.length > 1) {
    const names = named.map((peer) => formatPeerName(peer.name)).join(", ");
    throw new UserError("conflict", `nickname '${id}' is used by several peers: ${names}`, "give the name of one");
  }
  return named[0] ? formatPeerName(named[0].name) : id;
}

function psEntries({ attacher, exposer, bridges }: BackendParts): PsEntry[] {
  const host = exposer.list();
  const own = host.mac === undefined || host.addresses.length === 0 ? [] : [entry(host.owner, host.mac, host.addresses)];
  const joined = bridges.present().map(({ owner, mac }) => entry(owner, mac, []));
  return [...own, ...attacher.list().map((one) => entry(one.owner, one.mac, one.addresses)), ...joined];
}

async function namedEntries(parts: BackendParts, all: readonly PsEntry[], word: string): Promise<PsEntry[]> {
  const owner = all.find((one) => one.id === word)?.id ?? (await parts.attacher.find(word))?.owner;
  return all.filter((one) => one.id === owner).map((one) => ({ ...one, asked: word }));
}

function entry(id: string, mac: Mac, addresses: readonly Cidr[]): PsEntry {
  return { id, asked: null, mac: formatMac(mac), addresses: addresses.map(formatCidr) };
}
