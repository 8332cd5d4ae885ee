// SPDX-License-Identifier: Apache-2.0
// What only Docker knows, looked up in the background: which container an endpoint belongs to, hence its names and where its interface is; which
// endpoints and addresses Docker no longer has. Also makes the network `weave`. Docker's absence is normal, and nothing depends on an event: they
// only hasten a look.
import type { Namespaces } from "../attach/ports.ts";
import { errorText, InvariantError, UserError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import { type Endpoints, formatAddresses } from "./endpoints.ts";
import { MULTICAST_OPTION } from "./network-driver.ts";
import type {
  DockerNetwork,
  Endpoint,
  PluginAddresses,
  PluginGuests,
  PluginJournal,
  PluginLease,
  PluginNames,
  PluginRuntime,
} from "./ports.ts";

/** Made by the daemon itself, for `docker run --net=weave`. */
export const NETWORK = "weave";
export const MESH_DRIVER = "weavemesh";

export interface KeeperPorts {
  readonly journal: PluginJournal;
  readonly endpoints: Endpoints;
  readonly addresses: PluginAddresses | undefined;
  readonly names: PluginNames;
  readonly guests: PluginGuests;
  readonly namespaces: Pick<Namespaces, "process">;
  readonly runtime: PluginRuntime;
  readonly log: Log;
}

export class Keeper {
  readonly #ports: KeeperPorts;
  /** Endpoints whose interface was set up by this process; false: it has to be once more. */
  readonly #settled = new Map<string, boolean>();
  /** What Docker did not have in the last look: it may just be making it. */
  #doubtfulEndpoints: ReadonlySet<string> = new Set();
  #doubtfulLeases: ReadonlySet<string> = new Set();
  #trouble = "";
  #pass: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  constructor(ports: KeeperPorts) {
    this.#ports = ports;
  }

  /** Why there is no network `weave`; empty: there is, or Docker is not. */
  get trouble(): string {
    return this.#trouble;
  }

  /** One look at Docker. Calls during a look lead to one more. `thorough`: also at what Docker does not have any more, which two such looks in
   *  a row must say. Never throws but for our own bugs. */
  look(thorough = false): Promise<void> {
    if (thorough) return this.#after(() => this.#look(true));
    this.#next ??= this.#after(() => {
      this.#next = undefined;
      return this.#look(false);
    });
    return this.#next;
  }

  /** The near ends were changed, so the far ends are to be set up once more. */
  resettle(): void {
    for (const id of this.#settled.keys()) this.#settled.set(id, false);
    void this.look();
  }

  #after(work: () => Promise<void>): Promise<void> {
    const pass = this.#pass.then(work);
    this.#pass = pass.catch(() => undefined); // whoever asked for it gets its error; the next pass starts anyway
    return pass;
  }

  async #look(isThorough: boolean): Promise<void> {
    try {
      const networks = await this.#ports.runtime.networks((network) => this.#concerns(network));
      await this.#makeNetwork(networks);
      await this.#nameEndpoints(networks);
      if (isThorough) await this.#dropLost(networks);
    } catch (thrown) {
      if (thrown instanceof InvariantError) throw thrown;
      if (!(thrown instanceof UserError && thrown.code === "unavailable")) {
        this.#ports.log.warn("docker's networks cannot be read", { reason: errorText(thrown) });
      }
    }
  }

  #concerns({ id, name, ipamDriver }: DockerNetwork): boolean {
    return name === NETWORK || ipamDriver === MESH_DRIVER || this.#ports.journal.networks().some((network) => network.id === id);
  }

  async #makeNetwork(networks: readonly DockerNetwork[]): Promise<void> {
    const { addresses, runtime, log } = this.#ports;
    if (!addresses) return;
    const known = networks.find((network) => network.name === NETWORK);
    const subnet = addresses.defaultSubnet("v4");
    const text = `${subnet.address}/${subnet.prefixLength}`;
    if (known) {
      this.#trouble = whyOther(known, text);
      return;
    }
    try {
      const options = { [MULTICAST_OPTION]: "true" };
      await runtime.createNetwork({ name: NETWORK, driver: MESH_DRIVER, subnet: text, options });
      this.#trouble = "";
      log.info("docker network made for containers", { network: NETWORK, subnet: text });
    } catch (thrown) {
      if (!(thrown instanceof UserError)) throw thrown;
      this.#trouble = `docker network '${NETWORK}' could not be made: ${thrown.message}`;
      log.warn("docker network could not be made", { network: NETWORK, reason: thrown.message });
    }
  }

  async #nameEndpoints(networks: readonly DockerNetwork[]): Promise<void> {
    for (const network of networks) {
      for (const { id, container } of network.endpoints) {
        const endpoint = this.#ports.endpoints.get(id);
        if (endpoint) await this.#settle(endpoint, container, network);
      }
    }
    const ids = new Set(this.#ports.endpoints.all().map(({ id }) => id));
    for (const id of this.#settled.keys()) if (!ids.has(id)) this.#settled.delete(id);
  }

  async #settle(endpoint: Endpoint, containerId: string, network: DockerNetwork): Promise<void> {
    const { endpoints, guests, names, namespaces, runtime, log } = this.#ports;
    if (this.#settled.get(endpoint.id) && endpoint.container === containerId) return;
    const container = await runtime.containerOn(containerId, network.id);
    const now = endpoints.get(endpoint.id); // it may have gone while Docker answered
    if (!container || container.pid === 0 || !now) return;
    const named = now.container === containerId ? now : endpoints.setContainer(now, containerId);
    const netns = namespaces.process(container.pid);
    try {
      if (!netns || !guests.settle(netns, named.mac, named.addresses)) return;
    } catch (thrown) {
      if (thrown instanceof UserError) return; // it ended meanwhile
      throw thrown;
    }
    const ips = named.addresses.map(({ address }) => address);
    for (const warning of names.register(containerId, container, ips)) {
      log.warn("name of a container", { container: containerId.slice(0, 12), reason: warning });
    }
    const isNew = !this.#settled.has(endpoint.id);
    this.#settled.set(endpoint.id, true);
    if (isNew)
      log.info("docker container joined", { container: container.names[0] ?? containerId, address: formatAddresses(named) });
  }

  /** Ends what Docker does not have in two looks, such as after its data were deleted. */
  async #dropLost(networks: readonly DockerNetwork[]): Promise<void> {
    const { endpoints, journal, names, addresses, log } = this.#ports;
    const alive = new Set(networks.flatMap((network) => network.endpoints.map(({ id }) => id)));
    const lost = endpoints.all().filter(({ id }) => !alive.has(id));
    for (const endpoint of lost.filter(({ id }) => this.#doubtfulEndpoints.has(id))) {
      log.info("docker has forgotten an endpoint", { address: formatAddresses(endpoint) });
      endpoints.remove(endpoint.id);
      if (endpoint.container !== "")
        names.withdraw(
          endpoint.container,
          endpoint.addresses.map(({ address }) => address),
        );
    }
    this.#doubtfulEndpoints = new Set(lost.map(({ id }) => id));
    const ids = new Set(networks.map(({ id }) => id));
    const used = new Set(endpoints.all().map(({ network }) => network));
    // A swarm's networks are here only while they are in use, and are told anew.
    for (const { id } of journal.networks()) if (!ids.has(id) && !used.has(id)) journal.dropNetwork(id);
    if (addresses) await this.#dropLeases(networks, addresses);
  }

  async #dropLeases(networks: readonly DockerNetwork[], addresses: PluginAddresses): Promise<void> {
    const used = new Set([
      ...networks.flatMap((network) => network.addresses),
      ...this.#ports.endpoints.all().flatMap((endpoint) => endpoint.addresses.map(({ address }) => address)),
    ]);
    const key = ({ owner, address }: PluginLease): string => `${owner} ${address}`;
    const lost = addresses.leases().filter(({ address }) => !used.has(address));
    for (const lease of lost.filter((one) => this.#doubtfulLeases.has(key(one)))) {
      this.#ports.log.info("unused address released", { address: lease.address });
      await addresses.release(lease.address);
    }
    this.#doubtfulLeases = new Set(lost.map(key));
  }
}

/** Why the network of our name is not the one we would make. */
function whyOther(known: DockerNetwork, subnet: string): string {
  if (known.driver !== MESH_DRIVER)
    return `docker has a network '${NETWORK}' of another driver ('${known.driver}'); remove or rename it`;
  if (known.subnets.includes(subnet)) return "";
  return `docker's network '${NETWORK}' has the subnet ${known.subnets.join(", ") || "(none)"}, not ${subnet}: 'docker network rm ${NETWORK}' makes it anew`;
}
