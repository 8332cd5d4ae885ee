// SPDX-License-Identifier: Apache-2.0
// NetworkDriver.*: what Docker asks of a network driver while it starts and stops containers. Answers come from our own records and the kernel only.
import { formatMac } from "../net/mac.ts";
import { UserError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import { type Endpoints, formatAddresses, guestLinkOf, hostLinkOf } from "./endpoints.ts";
import type { Methods } from "./methods.ts";
import type { Endpoint, PluginAddresses, PluginJournal, PluginNames, PluginNetwork } from "./ports.ts";
import type { Returning } from "./returning.ts";
import { type Fields, readFlag, readGenericOptions, readId, readInterface } from "./wire.ts";

export const MULTICAST_OPTION = "works.weave.multicast";
const SPOOF_CHECK_OPTION = "works.weave.spoof-check";
const CONNECTED = 1; // RouteType of libnetwork's StaticRoute: by the link, without a gateway
/** Docker adds a number: ethwe0. */
const GUEST_PREFIX = "ethwe";

export interface NetworkDriverPorts {
  readonly journal: PluginJournal;
  readonly endpoints: Endpoints;
  /** undefined: addresses are not allocated here. */
  readonly addresses: PluginAddresses | undefined;
  readonly names: PluginNames;
  readonly returning: Returning;
  readonly log: Log;
}
export interface NetworkDriverOptions {
  /** `global`: networks of a swarm. */
  readonly scope: "local" | "global";
  /** What networks do that do not say it. */
  readonly multicast: boolean;
}

/** Of addresses that somebody asked for by name, such as `docker run --ip`; random digits follow. */
export const CHOSEN_OWNER = "docker:chosen-";
/** Of those that we chose for Docker; random digits follow. */
export const GIVEN_OWNER = "docker:given-";
/** Names under which addresses are held that Docker has, or has given to containers of ours. */
export const ownerOfEndpoint = (endpointId: string): string => `docker:${endpointId}`;

/** A swarm's manager asks what the nodes are to be told: what the user said. */
export function allocateNetwork(request: Fields): object {
  return { Options: Object.fromEntries(readGenericOptions(request)) };
}

export function networkDriver({ scope, multicast }: NetworkDriverOptions, ports: NetworkDriverPorts): Methods {
  const { journal, endpoints, addresses, names, returning, log } = ports;
  const networkOf = (id: string): PluginNetwork =>
    journal.networks().find((network) => network.id === id) ?? { id, multicast, guarded: true };

  /** Of addresses that another driver chose, those in our range must be nobody else's. */
  async function claim(endpointId: string, given: Endpoint["addresses"], signal: AbortSignal): Promise<void> {
    for (const cidr of given) {
      if (!addresses || addresses.holder(cidr.address)?.startsWith("docker:")) continue;
      await addresses.claim(ownerOfEndpoint(endpointId), cidr, signal);
    }
  }
  async function release(endpointId: string, given: Endpoint["addresses"]): Promise<void> {
    for (const { address } of given) {
      if (addresses?.holder(address) === ownerOfEndpoint(endpointId)) await addresses.release(address);
    }
  }

  return {
    "NetworkDriver.GetCapabilities": () => ({ Scope: scope, ...(scope === "global" ? { ConnectivityScope: "global" } : {}) }),
    "NetworkDriver.CreateNetwork"(request) {
      const id = readId(request, "NetworkID");
      const options = readGenericOptions(request);
      const network = {
        id,
        multicast: readFlag(options, MULTICAST_OPTION, multicast),
        guarded: readFlag(options, SPOOF_CHECK_OPTION, true),
      };
      const unknown = [...options.keys()].filter((key) => key !== MULTICAST_OPTION && key !== SPOOF_CHECK_OPTION);
      if (unknown.length > 0)
        log.warn("options of a Docker network mean nothing to weave", { network: id, options: unknown.join(" ") });
      journal.putNetwork(network);
      log.info("docker network made", { network: id });
      return {};
    },
    "NetworkDriver.DeleteNetwork"(request) {
      journal.dropNetwork(readId(request, "NetworkID"));
      return {};
    },
    "NetworkDriver.AllocateNetwork": allocateNetwork,
    "NetworkDriver.FreeNetwork": () => ({}),
    async "NetworkDriver.CreateEndpoint"(request, signal) {
      const id = readId(request, "EndpointID");
      const network = networkOf(readId(request, "NetworkID"));
      const wanted = readInterface(request);
      await claim(id, wanted.addresses, signal);
      let endpoint: Endpoint;
      try {
        endpoint = endpoints.create(id, network, wanted);
      } catch (thrown) {
        await release(id, wanted.addresses);
        throw thrown;
      }
      // After a crash of Docker nobody took back the names of who had the address before.
      names.clear(endpoint.addresses.map(({ address }) => address));
      log.info("docker endpoint made", { link: hostLinkOf(id), address: formatAddresses(endpoint) });
      // Docker refuses a MAC from the driver when it gave one itself.
      return { Interface: wanted.mac === undefined ? { MacAddress: formatMac(endpoint.mac) } : {} };
    },
    async "NetworkDriver.DeleteEndpoint"(request) {
      const endpoint = endpoints.remove(readId(request, "EndpointID"));
      if (!endpoint) return {};
      const { container } = endpoint;
      const ips = endpoint.addresses.map(({ address }) => address);
      if (container !== "") names.withdraw(container, ips);
      const heldAs = (owner: string) => ips.filter((ip) => addresses?.holder(ip)?.startsWith(owner));
      returning.leave(heldAs(GIVEN_OWNER), { container: container || endpoint.id, isChosen: false });
      if (container !== "") returning.leave(heldAs(CHOSEN_OWNER), { container, isChosen: true });
      await release(endpoint.id, endpoint.addresses);
      log.info("docker endpoint gone", { address: formatAddresses(endpoint) });
      return {};
    },
    "NetworkDriver.EndpointOperInfo": () => ({ Value: {} }),
    "NetworkDriver.Join"(request) {
      const id = readId(request, "EndpointID");
      const endpoint = endpoints.get(id);
      if (!endpoint || !endpoints.isHere(id)) {
        throw new UserError("not-found", `there is no endpoint ${id.slice(0, 12)} on this host`, "start the container again");
      }
      const { multicast: hasRoute } = networkOf(endpoint.network);
      return {
        InterfaceName: { SrcName: guestLinkOf(id), DstPrefix: GUEST_PREFIX },
        ...(hasRoute ? { StaticRoutes: [{ Destination: "224.0.0.0/4", RouteType: CONNECTED, NextHop: "" }] } : {}),
      };
    },
    "NetworkDriver.Leave": () => ({}),
    "NetworkDriver.DiscoverNew": () => ({}),
    "NetworkDriver.DiscoverDelete": () => ({}),
    "NetworkDriver.ProgramExternalConnectivity": () => ({}),
    "NetworkDriver.RevokeExternalConnectivity": () => ({}),
  };
}
