// SPDX-License-Identifier: Apache-2.0
// The Docker plugins joined to this daemon: two drivers on Docker's plugin sockets, one on ours for the managed plugin of a swarm, and the look at Docker.
import type { PluginStatus } from "../api/status.ts";
import type { DaemonConfig } from "../config/load.ts";
import { isBelow, parseName } from "../dns/name.ts";
import type { ContainerEvent } from "../docker/decode.ts";
import { DockerNetworks, noDocker } from "../docker/networks.ts";
import { settleGuest } from "../host/plugin-guests.ts";
import { HostNamespaces } from "../host/plumber-namespaces.ts";
import type { Lease } from "../ipam/lease.ts";
import { toIp, toNumber } from "../ipam/range.ts";
import { twinOf, untwin, untwinSubnet } from "../ipam/twins.ts";
import { type Cidr, cidrsOverlap, formatCidr } from "../net/cidr.ts";
import { type Ip, isIpv6, parseIp } from "../net/ip.ts";
import { Endpoints } from "../plugin/endpoints.ts";
import { ipamDriver } from "../plugin/ipam-driver.ts";
import { Keeper, MESH_DRIVER } from "../plugin/keeper.ts";
import { type NetworkDriverPorts, networkDriver } from "../plugin/network-driver.ts";
import type { PluginAddresses, PluginNames } from "../plugin/ports.ts";
import { Returning, type ReturningJournal } from "../plugin/returning.ts";
import { servePlugin } from "../plugin/server.ts";
import type { Clock } from "../runtime/clock.ts";
import { UserError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import type { Random } from "../runtime/random.ts";
import type { Store } from "../store/store.ts";
import type { AttachmentParts } from "./attachments.ts";
import type { DnsService } from "./dns.ts";
import type { Ipam } from "./ipam.ts";

/** Where the managed plugin of a swarm forwards to. */
export const SWARM_SOCKET = "/run/weave/plugin.sock";

export interface DockerPlugin extends AsyncDisposable {
  /** Docker's plugin calls are answered from now on. @throws {UserError} another daemon answers them */
  listen(): Promise<void>;
  /** Docker answers, for the first time or again. */
  connected(): void;
  event(event: ContainerEvent): void;
  /** Part of the periodic pass. Returns what was repaired. */
  repair(): readonly string[];
  /** Also what Docker does not have any more. */
  look(): Promise<void>;
  /** Whether a container that had this address from us may come back for it. */
  mayReturn(address: Ip): boolean;
  status(): PluginStatus;
  warnings(): readonly string[];
}

export interface PluginPorts {
  readonly store: Store;
  readonly attachments: AttachmentParts;
  readonly ipam: Ipam | undefined;
  readonly dns: DnsService | undefined;
  readonly hostName: string;
  /** Largest packet of our containers. */
  readonly mtuBytes: () => number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export function createPlugin(config: DaemonConfig, ports: PluginPorts): DockerPlugin {
  const { store, attachments, ipam, clock, random, log } = ports;
  const { docker } = attachments;
  const addresses = ipam && pluginAddresses(ipam);
  const names = ports.dns ? pluginNames(ports.dns) : noNames;
  const returning = new Returning(returningJournal(store), clock);
  const endpoints = new Endpoints(ports.hostName, {
    journal: store.plugin,
    plumber: attachments.plumber,
    switchPorts: attachments.switchPorts,
  });
  const keeper = new Keeper({
    journal: store.plugin,
    endpoints,
    addresses,
    names,
    guests: { settle: (netns, mac, cidrs) => settleGuest(netns, { mac, addresses: cidrs, mtuBytes: ports.mtuBytes() }, log) },
    namespaces: new HostNamespaces(),
    runtime: docker ? new DockerNetworks(docker) : noDocker,
    log,
  });
  const driver: NetworkDriverPorts = { journal: store.plugin, endpoints, addresses, names, returning, log };
  const mesh = {
    ...networkDriver({ scope: "local", multicast: true }, driver),
    ...ipamDriver({ addresses: () => addresses ?? noAllocation(), returning, random, log }),
  };
  const swarm = networkDriver({ scope: "global", multicast: true }, driver);
  const owned = new AsyncDisposableStack();
  const servers = [
    { path: config.pluginMeshSocket, kinds: ["NetworkDriver", "IpamDriver"], methods: mesh },
    { path: config.pluginSocket, kinds: ["NetworkDriver"], methods: swarm },
    {
      path: SWARM_SOCKET,
      kinds: ["NetworkDriver"],
      methods: networkDriver({ scope: "global", multicast: config.pluginV2Multicast }, driver),
    },
  ];
  return {
    async listen() {
      for (const server of servers) owned.use(await servePlugin({ ...server, clock, log }));
    },
    connected: () => void keeper.look(),
    event(event) {
      const { action, id } = event;
      if (action === "create") returning.created(id);
      if (action === "start") returning.started(id);
      if (action === "destroy") returning.destroyed(id);
      if (action === "start") void keeper.look();
    },
    repair() {
      const repaired = endpoints.repair();
      if (repaired.length > 0) keeper.resettle();
      return repaired;
    },
    look: () => keeper.look(true),
    mayReturn: (address) => returning.has(address),
    status: () => ({
      driverName: "weave",
      meshDriverName: MESH_DRIVER,
      socket: config.pluginSocket,
      meshSocket: config.pluginMeshSocket,
      v2Multicast: config.pluginV2Multicast,
      dns: ports.dns !== undefined,
      defaultSubnet: ipam ? formatCidr(ipam.book.defaultSubnet) : "",
      endpoints: endpoints.all().length,
    }),
    warnings: () => (keeper.trouble === "" ? [] : [keeper.trouble]),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Of what containers are called by in names. */
const DOCKER_ID = /^[0-9a-f]{64}$/;
const LEFT_KEY = "plugin-left";

/** Lists of address, container and whether it chose; what is not is left out. */
function returningJournal({ settings }: Store): ReturningJournal {
  return {
    load() {
      const stored: unknown = JSON.parse(settings.get(LEFT_KEY) ?? "[]");
      const rows = Array.isArray(stored) ? stored.filter(Array.isArray) : [];
      const left = rows.flatMap(([ip, container, isChosen]: unknown[]) => {
        const address = parseIp(String(ip));
        return address === undefined ? [] : [[address, { container: String(container), isChosen: isChosen === true }] as const];
      });
      return new Map(left);
    },
    save(left) {
      const rows = [...left].map(([address, { container, isChosen }]) => [address, container, isChosen]);
      settings.set(LEFT_KEY, JSON.stringify(rows));
    },
  };
}

function noAllocation(): never {
  throw new UserError("unavailable", "addresses are not allocated on this host", "see --ipalloc-range of weave launch");
}

function pluginAddresses({ allocator, book, range, range6 }: Ipam): PluginAddresses {
  const place = (ip: Ip): { readonly address: number; readonly family: "v4" | "v6" } | undefined => {
    if (!isIpv6(ip)) return { address: toNumber(ip), family: "v4" };
    const address = range6 && untwin(ip, range6);
    return address === undefined ? undefined : { address, family: "v6" };
  };
  const plain = (subnet: Cidr): Cidr | undefined => {
    const v4 = isIpv6(subnet.address) ? range6 && untwinSubnet(subnet, range6) : subnet;
    return v4 && cidrsOverlap(v4, range) ? v4 : undefined;
  };
  const outside = (subnet: Cidr): UserError =>
    new UserError(
      "bad-request",
      `the subnet ${formatCidr(subnet)} lies outside the range ${formatCidr(range)} of this network`,
      "choose a subnet inside it, or another --ipalloc-range",
    );
  const ipOf = ({ address, family, prefixLength }: Lease): Ip => {
    const v4 = toIp(address);
    return family === "v6" && range6 ? twinOf({ address: v4, prefixLength }, range6).address : v4;
  };
  const explained = async <Result>(signal: AbortSignal, work: Promise<Result>): Promise<Result> => {
    try {
      return await work;
    } catch (thrown) {
      if (!signal.aborted) throw thrown;
      const { status } = allocator.view();
      const why = status === "ready" ? "the host that has it to give has not answered yet" : `addresses wait: ${status}`;
      throw new UserError("unavailable", `no address in time, because ${why}`, "try again, or see 'weave status ipam'", {
        cause: thrown,
      });
    }
  };
  return {
    defaultSubnet(family) {
      if (family === "v4") return book.defaultSubnet;
      if (range6) return twinOf(book.defaultSubnet, range6);
      throw new UserError("unavailable", "this network has no IPv6 addresses", "see --ipalloc-range6 of weave launch");
    },
    checkSubnet(subnet) {
      if (!plain(subnet)) throw outside(subnet);
    },
    async allocate(owner, subnet, signal) {
      const from = plain(subnet);
      if (!from) throw outside(subnet);
      const family = isIpv6(subnet.address) ? "v6" : "v4";
      return ipOf(await explained(signal, allocator.allocate(owner, from, "api", family, signal)));
    },
    async claim(owner, cidr, signal) {
      const here = place(cidr.address);
      if (!here) return;
      const prefixLength = Math.max(1, isIpv6(cidr.address) ? cidr.prefixLength - 96 : cidr.prefixLength);
      await explained(signal, allocator.claim({ ...here, owner, prefixLength, via: "api" }, signal));
    },
    holder(ip) {
      const here = place(ip);
      return here && allocator.leaseAt(here.address)?.owner;
    },
    async release(ip) {
      const here = place(ip);
      const owner = here && allocator.leaseAt(here.address)?.owner;
      if (here && owner !== undefined) await allocator.release(owner, here.address, here.family);
    },
    leases: () =>
      allocator
        .leases()
        .filter(({ owner }) => owner.startsWith("docker:"))
        .map((lease) => ({ owner: lease.owner, address: ipOf(lease) })),
  };
}

function pluginNames(dns: DnsService): PluginNames {
  return {
    register(container, { fqdn, names }, addresses) {
      const isOurs = (text: string): boolean => {
        const name = parseName(text);
        return name !== undefined && isBelow(name.key, dns.domain.key);
      };
      const whole = names.map((name) => (isOurs(name) ? name : `${name}.${dns.domain.text}`));
      return [fqdn, ...whole].filter(isOurs).flatMap((text) => {
        const name = parseName(text);
        return name ? dns.record(name, container, addresses) : [];
      });
    },
    withdraw: (container, addresses) => dns.withdraw(container, addresses),
    clear(addresses) {
      const stale = dns.names.own().filter(({ container, address }) => DOCKER_ID.test(container) && addresses.includes(address));
      for (const { container, address } of stale) dns.withdraw(container, [address]);
    },
  };
}

const noNames: PluginNames = { register: () => [], withdraw: () => {}, clear: () => {} };
