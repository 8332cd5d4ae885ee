// SPDX-License-Identifier: Apache-2.0
// Who hands out addresses on this host, for attach and expose: words of a request become leases of the allocator, with their IPv6 twins. Also keeps
// leases and what is attached in step.
import type { AddressRequest } from "../attach/address.ts";
import type { Addresses } from "../attach/ports.ts";
import type { Allocator } from "../ipam/allocator.ts";
import type { Lease } from "../ipam/lease.ts";
import { toIp, toNumber } from "../ipam/range.ts";
import { twinOf, untwin, untwinSubnet } from "../ipam/twins.ts";
import { type Cidr, cidrsOverlap, formatCidr } from "../net/cidr.ts";
import { type Ip, isIpv6 } from "../net/ip.ts";
import { UserError } from "../runtime/errors.ts";

export interface AddressBookOptions {
  readonly range: Cidr;
  readonly range6: Cidr | undefined;
  readonly defaultSubnet: Cidr;
}

/** An address somebody on this host has now. */
export interface Holding {
  readonly owner: string;
  readonly cidr: Cidr;
}

export class AddressBook implements Addresses {
  readonly #options: AddressBookOptions;
  readonly #allocator: Allocator;
  /** Leases for which nothing was found in the last look: an attach may be under way. */
  #idle: ReadonlySet<number> = new Set();
  /** Owners of requests under way: their leases are in use, although nothing has them yet. */
  readonly #claiming: string[] = [];

  constructor(options: AddressBookOptions, allocator: Allocator) {
    this.#options = options;
    this.#allocator = allocator;
  }

  get defaultSubnet(): Cidr {
    return this.#options.defaultSubnet;
  }
  defaultSubnets(): readonly Cidr[] {
    const { defaultSubnet, range6 } = this.#options;
    return range6 ? [defaultSubnet, twinOf(defaultSubnet, range6)] : [defaultSubnet];
  }

  async claim(owner: string, requests: readonly AddressRequest[], signal?: AbortSignal): Promise<readonly Cidr[]> {
    const cidrs: Cidr[] = [];
    const before = new Set(this.#allocator.leasesOf(owner).map((lease) => lease.address));
    const given: Lease[] = [];
    this.#claiming.push(owner);
    try {
      for (const request of requests) cidrs.push(...(await this.#one(owner, request, signal, given)));
    } catch (thrown) {
      for (const { address } of given) if (!before.has(address)) await this.#allocator.release(owner, address);
      throw thrown;
    } finally {
      this.#claiming.splice(this.#claiming.indexOf(owner), 1);
    }
    return unique(cidrs);
  }

  async #one(owner: string, request: AddressRequest, signal: AbortSignal | undefined, given: Lease[]): Promise<readonly Cidr[]> {
    if (request.kind === "address") return [await this.#exactly(owner, request.cidr, signal, given)];
    const subnet = request.kind === "subnet" ? request.subnet : this.#options.defaultSubnet;
    const { range6 } = this.#options;
    const isTwin = isIpv6(subnet.address);
    const family = isTwin ? "v6" : range6 ? "both" : "v4";
    const lease = await this.#allocator.allocate(owner, this.#checked(subnet), "attach", family, signal);
    given.push(lease);
    const cidr = cidrOf(lease);
    if (!range6) return [cidr];
    return isTwin ? [twinOf(cidr, range6)] : [cidr, twinOf(cidr, range6)];
  }

  /** The IPv4 subnet to choose from. */
  #checked(subnet: Cidr): Cidr {
    const { range, range6 } = this.#options;
    const plain = isIpv6(subnet.address) ? range6 && untwinSubnet(subnet, range6) : subnet;
    if (plain && cidrsOverlap(plain, range)) return plain;
    const where = isIpv6(subnet.address) && range6 ? `${formatCidr(range6)} (--ipalloc-range6)` : formatCidr(range);
    throw new UserError(
      "bad-request",
      `cannot choose an address in ${formatCidr(subnet)}: it lies outside the range ${where}`,
      "choose a subnet inside it, or give the address itself: ip:A.B.C.D/len",
    );
  }

  async #exactly(owner: string, cidr: Cidr, signal: AbortSignal | undefined, given: Lease[]): Promise<Cidr> {
    const place = this.#numberOf(cidr.address);
    if (!place) return cidr; // IPv6 outside the range: nothing is known of it
    const prefixLength = place.family === "v6" ? Math.max(1, cidr.prefixLength - 96) : cidr.prefixLength;
    given.push(await this.#allocator.claim({ ...place, owner, prefixLength, via: "attach" }, signal));
    return cidr;
  }

  #numberOf(ip: Ip): { readonly address: number; readonly family: "v4" | "v6" } | undefined {
    if (!isIpv6(ip)) return { address: toNumber(ip), family: "v4" };
    const address = this.#options.range6 && untwin(ip, this.#options.range6);
    return address === undefined ? undefined : { address, family: "v6" };
  }

  async release(_owner: string, addresses: readonly Cidr[]): Promise<void> {
    for (const cidr of addresses) {
      const place = this.#numberOf(cidr.address);
      const lease = place && this.#allocator.leaseAt(place.address);
      // By its lease: what was attached by PID may be called by its container's name meanwhile.
      if (lease && lease.via !== "api") await this.#allocator.release(lease.owner, lease.address, place?.family);
    }
  }

  /** What is in use gets a lease. Returns all that is in use. */
  adopt(holdings: readonly Holding[]): Set<number> {
    const used = new Set<number>();
    for (const { owner, cidr } of holdings) {
      const place = this.#numberOf(cidr.address);
      if (!place) continue;
      used.add(place.address);
      const lease = this.#allocator.leaseAt(place.address);
      if (lease?.family === "both" || lease?.family === place.family) continue;
      const prefixLength = place.family === "v6" ? Math.max(1, cidr.prefixLength - 96) : cidr.prefixLength;
      this.#allocator.adopt({ ...place, owner: lease?.owner ?? owner, prefixLength: Math.min(32, prefixLength), via: "attach" });
    }
    return used;
  }

  /** Makes leases and `holdings` agree: what is in use gets a lease, a lease that nothing has used in two looks ends. Returns what ended.
   *  @param runs whether a container runs, as far as one can tell */
  async reconcile(holdings: readonly Holding[], runs: (container: string) => Promise<boolean>): Promise<readonly Ip[]> {
    const used = this.adopt(holdings);
    for (const owner of this.#claiming) for (const { address } of this.#allocator.leasesOf(owner)) used.add(address);
    const idle: Lease[] = [];
    for (const lease of this.#allocator.leases()) {
      if (lease.via === "attach" && !used.has(lease.address)) idle.push(lease);
      if (lease.via === "container" && !used.has(lease.address) && !(await runs(lease.owner))) idle.push(lease);
    }
    const ended = idle.filter((lease) => this.#idle.has(lease.address));
    this.#idle = new Set(idle.map((lease) => lease.address));
    for (const lease of ended) await this.#allocator.release(lease.owner, lease.address);
    return ended.map((lease) => toIp(lease.address));
  }
}

export function cidrOf(lease: Lease): Cidr {
  return { address: toIp(lease.address), prefixLength: lease.prefixLength };
}

function unique(cidrs: readonly Cidr[]): readonly Cidr[] {
  return [...new Map(cidrs.map((cidr) => [cidr.address, cidr])).values()];
}
