// SPDX-License-Identifier: Apache-2.0
// What each container port may say, in the switch's maps: `ports` (policy and state), `port_addresses` (every address), `port_subnets` (whose
// multicast reaches it). The maps are also the memory: after a restart the policies are read back from them.
import type { BpfMap } from "../../native/libbpf/map.ts";
import type { BpfObject } from "../../native/libbpf/object.ts";
import { type Cidr, formatCidr, networkOf } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import type { Mac } from "../net/mac.ts";
import {
  decodePort,
  decodePortAddress,
  decodeU32,
  encodePort,
  encodePortAddress,
  encodePortSubnet,
  encodeU32,
} from "./datapath-codec.ts";

/** What may be behind a port. */
export interface PortPolicy {
  /** undefined: any, and any address: not guarded. */
  readonly mac: Mac | undefined;
  readonly addresses: readonly Cidr[];
  /** New MACs per 300 s; without it 1 for a guarded port and 16384 for another. */
  readonly macLimit?: number;
  /** False: everything goes over the bridge, for example because its packet filter has to see it. Default true. */
  readonly bypass?: boolean;
}

const EVERYBODY: Cidr = { address: "0.0.0.0" as Ip, prefixLength: 0 };
const GUARDED_MAC_LIMIT = 1;
const UNGUARDED_MAC_LIMIT = 16_384;

export class PortTables {
  readonly #ports: BpfMap;
  readonly #addresses: BpfMap;
  readonly #subnets: BpfMap;
  readonly #policies = new Map<number, PortPolicy>();

  constructor(object: BpfObject) {
    this.#ports = object.map("ports");
    this.#addresses = object.map("port_addresses");
    this.#subnets = object.map("port_subnets");
    this.#readBack();
  }

  policies(): ReadonlyMap<number, PortPolicy> {
    return this.#policies;
  }

  /** Makes or changes a port. What becomes allowed is written before the policy, what no longer is after it. Returns whether anything
   *  differed. */
  set(ifindex: number, policy: PortPolicy, isPeerDevice: boolean): boolean {
    const before = this.#policies.get(ifindex);
    if (before && policyKey(before) === policyKey(policy)) return false;
    for (const cidr of policy.addresses) {
      this.#addresses.set(encodePortAddress(ifindex, cidr.address), encodeU32(cidr.prefixLength));
    }
    for (const subnet of subnetsOf(policy)) this.#subnets.set(encodePortSubnet(ifindex, subnet), encodeU32(1));
    const { mac, addresses } = policy;
    this.#ports.set(
      encodeU32(ifindex),
      encodePort({ mac, addresses, macLimit: limitOf(policy), isPeerDevice, mayBypass: policy.bypass ?? true }),
    );
    if (before) this.#removeOthers(ifindex, before, policy);
    this.#policies.set(ifindex, { ...policy, addresses: [...policy.addresses] });
    return true;
  }

  /** From now on everything from this port is dropped, as long as the program still sits there. */
  remove(ifindex: number): void {
    this.#ports.delete(encodeU32(ifindex));
    const before = this.#policies.get(ifindex);
    if (before) this.#removeOthers(ifindex, before, { mac: 0 as Mac, addresses: [] });
    this.#policies.delete(ifindex);
  }

  #removeOthers(ifindex: number, before: PortPolicy, after: PortPolicy): void {
    const addresses = new Set<Ip>(after.addresses.map((cidr) => cidr.address));
    for (const { address } of before.addresses)
      if (!addresses.has(address)) this.#addresses.delete(encodePortAddress(ifindex, address));
    const subnets = new Set(subnetsOf(after).map(formatNetwork));
    for (const cidr of subnetsOf(before))
      if (!subnets.has(formatNetwork(cidr))) this.#subnets.delete(encodePortSubnet(ifindex, cidr));
  }

  #readBack(): void {
    const addresses = new Map<number, Cidr[]>();
    for (const [key, value] of this.#addresses.entries()) {
      const { ifindex, address } = decodePortAddress(key);
      const list = addresses.get(ifindex) ?? [];
      list.push({ address, prefixLength: decodeU32(value) });
      addresses.set(ifindex, list);
    }
    for (const [key, value] of this.#ports.entries()) {
      const ifindex = decodeU32(key);
      const { mayBypass, ...policy } = decodePort(value);
      this.#policies.set(ifindex, {
        ...policy,
        ...(mayBypass ? {} : { bypass: false }),
        addresses: addresses.get(ifindex) ?? [],
      });
    }
  }
}

/** Whose IPv4 multicast reaches the port: its own subnets', and everybody's when it is not guarded. */
function subnetsOf(policy: PortPolicy): readonly Cidr[] {
  return policy.mac === undefined ? [EVERYBODY] : policy.addresses;
}
function formatNetwork(cidr: Cidr): string {
  return formatCidr({ address: networkOf(cidr), prefixLength: cidr.prefixLength });
}

function limitOf(policy: PortPolicy): number {
  return policy.macLimit ?? (policy.mac === undefined ? UNGUARDED_MAC_LIMIT : GUARDED_MAC_LIMIT);
}

function policyKey(policy: PortPolicy): string {
  return JSON.stringify([policy.mac, limitOf(policy), policy.bypass ?? true, policy.addresses.map(formatCidr).sort()]);
}
