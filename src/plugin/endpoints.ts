// SPDX-License-Identifier: Apache-2.0
// The endpoints of this host: record and kernel kept together. An endpoint is a pair whose far end Docker moves into the container and gives its
// address; the near end is a port of the bridge, checked like that of an attached container. Synchronous, so no two calls interleave.
import { firstFree, linkMacs } from "../attach/link-name.ts";
import type { LoosePlan, Plumber, SwitchPorts } from "../attach/ports.ts";
import { formatCidr } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import { UserError } from "../runtime/errors.ts";
import type { Endpoint, PluginJournal } from "./ports.ts";
import type { EndpointInterface } from "./wire.ts";

/** Hosts' ends; 9 digits of the endpoint's id follow. */
export const PORT_PREFIX = "vethwl";
const GUEST_PREFIX = "vethwg";
const ID_DIGITS = 9;

export const hostLinkOf = (endpointId: string): string => `${PORT_PREFIX}${endpointId.slice(0, ID_DIGITS)}`;
export const guestLinkOf = (endpointId: string): string => `${GUEST_PREFIX}${endpointId.slice(0, ID_DIGITS)}`;

export interface EndpointsPorts {
  readonly journal: PluginJournal;
  readonly plumber: Pick<Plumber, "linkIndex" | "ensureLink" | "ensureGuest" | "silence" | "removeLink">;
  readonly switchPorts: SwitchPorts;
}

export class Endpoints {
  readonly #ports: EndpointsPorts;
  readonly #hostName: string;
  /** Where each port was last seen: when the container's end goes the link goes, and the switch must forget the port. */
  readonly #indexes = new Map<string, number>();

  constructor(hostName: string, ports: EndpointsPorts) {
    this.#hostName = hostName;
    this.#ports = ports;
  }

  all(): readonly Endpoint[] {
    return this.#ports.journal.endpoints();
  }
  get(id: string): Endpoint | undefined {
    return this.#ports.journal.endpoint(id);
  }
  holder(address: Ip): Endpoint | undefined {
    return this.all().find((one) => one.addresses.some((cidr) => cidr.address === address));
  }
  isHere(id: string): boolean {
    return this.#ports.plumber.linkIndex(hostLinkOf(id)) !== undefined;
  }
  setContainer(endpoint: Endpoint, container: string): Endpoint {
    const named = { ...endpoint, container };
    this.#ports.journal.putEndpoint(named);
    return named;
  }

  /** The same request again changes nothing. @throws {UserError} conflict; unavailable. Then nothing is left behind */
  create(id: string, network: { id: string; guarded: boolean }, { addresses, mac }: EndpointInterface): Endpoint {
    const first = addresses[0];
    if (!first) {
      throw new UserError(
        "bad-request",
        "an endpoint without address: a network of weave needs an address driver",
        "leave --ipam-driver out",
      );
    }
    const known = this.get(id);
    if (known) return known;
    for (const { address } of addresses) this.#checkFree(address);
    const others = this.all();
    const twin = others.find((one) => hostLinkOf(one.id) === hostLinkOf(id));
    if (twin) this.remove(twin.id); // of an earlier life: the digits of living ids differ
    const taken = new Set(others.flatMap((one) => [one.mac, one.hostMac]));
    const pick = (end: "guest" | "host") => firstFree(linkMacs(this.#hostName, end, first.address), (one) => taken.has(one));
    const { guarded } = network;
    const macs = { mac: mac ?? pick("guest"), hostMac: pick("host") };
    const endpoint: Endpoint = { id, network: network.id, ...macs, addresses, guarded, container: "" };
    this.#ports.journal.putEndpoint(endpoint);
    try {
      this.#ports.plumber.removeLink(planOf(endpoint)); // of an earlier life, if there is one
      this.#apply(endpoint);
    } catch (thrown) {
      this.remove(id);
      throw thrown;
    }
    return endpoint;
  }

  /** One that is gone already is no error. */
  remove(id: string): Endpoint | undefined {
    const { journal, plumber, switchPorts } = this.#ports;
    const endpoint = this.get(id);
    if (!endpoint) return undefined;
    const index = plumber.linkIndex(hostLinkOf(id)) ?? this.#indexes.get(id);
    if (index !== undefined) {
      plumber.silence(planOf(endpoint));
      switchPorts.detachPort(index);
      plumber.removeLink(planOf(endpoint));
    }
    this.#indexes.delete(id);
    journal.dropEndpoint(id);
    return endpoint;
  }

  /** Makes the near ends what they should be, of endpoints that are here. Returns what had to be changed. */
  repair(): readonly string[] {
    return this.all()
      .filter(({ id }) => this.isHere(id))
      .flatMap((endpoint) => this.#apply(endpoint));
  }

  /** Docker's drivers for addresses do not know of each other, and the network is one. A record whose link has gone is of an earlier life. */
  #checkFree(address: Ip): void {
    const other = this.holder(address);
    if (!other) return;
    if (!this.isHere(other.id)) {
      this.remove(other.id);
      return;
    }
    const who = other.container === "" ? "another container" : `container '${other.container.slice(0, 12)}'`;
    throw new UserError(
      "conflict",
      `address ${address} is held by ${who} on this host`,
      "choose another, or another subnet for the network",
    );
  }

  #apply(endpoint: Endpoint): readonly string[] {
    const { plumber, switchPorts } = this.#ports;
    const plan = planOf(endpoint);
    const link = plumber.ensureLink(plan);
    this.#indexes.set(endpoint.id, link.ifindex);
    // The guard stands before the port can carry a frame.
    switchPorts.attachPort(link.ifindex, { mac: endpoint.guarded ? endpoint.mac : undefined, addresses: endpoint.addresses });
    return [...link.changes, ...plumber.ensureGuest(plan)];
  }
}

function planOf({ id, hostMac, mac }: Endpoint): LoosePlan {
  return { kind: "loose", hostLink: hostLinkOf(id), hostMac, guestLink: guestLinkOf(id), guestMac: mac };
}

export function formatAddresses({ addresses }: Endpoint): string {
  return addresses.map(formatCidr).join(" ");
}
