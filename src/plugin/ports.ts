// SPDX-License-Identifier: Apache-2.0
// What the Docker plugins need: endpoints and networks on disk, addresses, the kernel, names. `daemon/plugin.ts` joins them. Handlers use only what
// answers without Docker, which waits for them; what Docker alone knows is looked up by `keeper.ts`, in the background.
import type { NetnsRef } from "../attach/ports.ts";
import type { Cidr } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import type { Mac } from "../net/mac.ts";

/** A Docker network with our driver, as far as the driver must remember it. */
export interface PluginNetwork {
  readonly id: string;
  /** Containers send multicast to this network. */
  readonly multicast: boolean;
  /** Their MACs and addresses are checked. */
  readonly guarded: boolean;
}

/** One container on one network. */
export interface Endpoint {
  readonly id: string;
  readonly network: string;
  readonly hostMac: Mac;
  readonly mac: Mac;
  readonly addresses: readonly Cidr[];
  readonly guarded: boolean;
  /** Full id of the container; empty: Docker has not told yet. */
  readonly container: string;
}

/** Durable; every call is on disk when it returns. */
export interface PluginJournal {
  networks(): readonly PluginNetwork[];
  putNetwork(network: PluginNetwork): void;
  dropNetwork(id: string): void;
  endpoints(): readonly Endpoint[];
  endpoint(id: string): Endpoint | undefined;
  putEndpoint(endpoint: Endpoint): void;
  dropEndpoint(id: string): void;
}

/** The far end of an endpoint's pair, wherever Docker has put it. */
export interface PluginGuests {
  /** Settings of the container's end, and telling neighbours where it is. False: it is not there (yet).
   *  @throws {UserError} the namespace has ended */
  settle(netns: NetnsRef, mac: Mac, addresses: readonly Cidr[]): boolean;
}

/** An address that Docker has. */
export interface PluginLease {
  readonly owner: string;
  readonly address: Ip;
}

/** Addresses for Docker's requests. */
export interface PluginAddresses {
  /** Where addresses are chosen when Docker names no subnet. @throws {UserError} there is none */
  defaultSubnet(family: "v4" | "v6"): Cidr;
  /** @throws {UserError} no address can be had there */
  checkSubnet(subnet: Cidr): void;
  /** @throws {UserError} */
  allocate(owner: string, subnet: Cidr, signal: AbortSignal): Promise<Ip>;
  /** Just this one; one outside the range is nobody's and taken as it is. @throws {UserError} conflict: somebody has it */
  claim(owner: string, cidr: Cidr, signal: AbortSignal): Promise<void>;
  /** Who has it on this host. */
  holder(address: Ip): string | undefined;
  release(address: Ip): Promise<void>;
  leases(): readonly PluginLease[];
}

/** A container on one of our networks, as Docker describes it. */
export interface PluginContainer {
  /** 0 when it does not run. */
  readonly pid: number;
  /** Its host name with a domain; empty: it has none. */
  readonly fqdn: string;
  /** Its own name and its aliases on that network, to stand in front of our domain. */
  readonly names: readonly string[];
}

export interface DockerEndpoint {
  readonly id: string;
  readonly container: string;
}
/** A network as Docker has it. */
export interface DockerNetwork {
  readonly id: string;
  readonly name: string;
  readonly driver: string;
  readonly ipamDriver: string;
  readonly subnets: readonly string[];
  readonly endpoints: readonly DockerEndpoint[];
  /** All that Docker holds there: of containers, of gateways, set aside. */
  readonly addresses: readonly Ip[];
}

export interface PluginRuntime {
  /** Only those that are wanted are looked at closely. @throws {UserError} unavailable */
  networks(wanted: (network: DockerNetwork) => boolean): Promise<readonly DockerNetwork[]>;
  /** undefined: it has gone. @throws {UserError} */
  containerOn(container: string, network: string): Promise<PluginContainer | undefined>;
  /** @throws {UserError} */
  createNetwork(plan: NetworkPlan): Promise<void>;
}
export interface NetworkPlan {
  readonly name: string;
  /** Of the network and of its addresses. */
  readonly driver: string;
  readonly subnet: string;
  readonly options: Readonly<Record<string, string>>;
}

export interface PluginNames {
  /** What lies outside our domain, or is no host name, is left out. Returns what the operator should know. */
  register(container: string, named: Pick<PluginContainer, "fqdn" | "names">, addresses: readonly Ip[]): readonly string[];
  withdraw(container: string, addresses: readonly Ip[]): void;
  /** What containers were called at these addresses, which somebody else gets now. */
  clear(addresses: readonly Ip[]): void;
}
