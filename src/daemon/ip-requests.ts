// SPDX-License-Identifier: Apache-2.0
// The IPAM paths of the API over the allocator: texts in, texts out.

import type { IpClaim, IpQuery } from "../api/backend.ts";
import type { IpOwners } from "../api/ipam-contract.ts";
import type { ContainerRuntime } from "../attach/ports.ts";
import type { Allocator } from "../ipam/allocator.ts";
import type { Lease } from "../ipam/lease.ts";
import { includes, rangeOf, toIp, toNumber } from "../ipam/range.ts";
import { type Cidr, cidrsOverlap, formatCidr, hasHostBits, parseCidr } from "../net/cidr.ts";
import { isIpv6, parseIp } from "../net/ip.ts";
import { UserError } from "../runtime/errors.ts";
import { cidrOf } from "./address-book.ts";

/** What Weave Net answered when the container it was asked for does not run. */
const CANCELLED = "cancelled";

export interface IpRequestsOptions {
  readonly range: Cidr;
  readonly defaultSubnet: Cidr;
}

export class IpRequests {
  readonly #options: IpRequestsOptions;
  readonly #allocator: Allocator;
  readonly #runtime: ContainerRuntime;

  constructor(options: IpRequestsOptions, allocator: Allocator, runtime: ContainerRuntime) {
    this.#options = options;
    this.#allocator = allocator;
    this.#runtime = runtime;
  }

  /** `10.32.0.1/12` */
  async allocate({ id, subnet, checkAlive }: IpQuery, signal: AbortSignal): Promise<string> {
    const from = this.#subnet(subnet);
    if (!cidrsOverlap(from, this.#options.range)) {
      throw new UserError("bad-request", `subnet ${formatCidr(from)} lies outside the range ${formatCidr(this.#options.range)}`);
    }
    if (checkAlive && !(await this.#runs(id))) return CANCELLED;
    return formatCidr(cidrOf(await this.#allocator.allocate(id, from, viaOf(checkAlive), "v4", signal)));
  }

  async claim({ id, cidr, checkAlive, noErrorOnUnknown }: IpClaim, signal: AbortSignal): Promise<undefined> {
    const { address, prefixLength } = readSubnet(cidr);
    if (checkAlive && !(await this.#runs(id))) return undefined;
    const lease: Lease = { address: toNumber(address), owner: id, prefixLength, family: "v4", via: viaOf(checkAlive) };
    if (noErrorOnUnknown && this.#allocator.view().consensus) this.#allocator.adopt(lease);
    else await this.#allocator.claim(lease, signal);
    return undefined;
  }

  lookup({ id, subnet }: IpQuery): string {
    const range = rangeOf(this.#subnet(subnet));
    const found = this.#allocator.leasesOf(id).filter((lease) => includes(range, lease.address));
    return found.map((lease) => formatCidr(cidrOf(lease))).join(" ");
  }

  list(): IpOwners {
    const owners = new Map<string, string[]>();
    for (const lease of this.#allocator.leases()) {
      const addresses = owners.get(lease.owner) ?? [];
      addresses.push(formatCidr(cidrOf(lease)));
      owners.set(lease.owner, addresses);
    }
    const owned = Array.from(owners, ([containerid, addrs]) => ({ containerid, addrs }));
    return { owned: owned.length === 0 ? null : owned };
  }

  async release(id: string, ip: string): Promise<void> {
    const address = parseIp(ip);
    if (!address || isIpv6(address)) throw new UserError("bad-request", `invalid address '${ip}'`);
    if (await this.#allocator.release(id, toNumber(address))) return;
    throw new UserError("bad-request", `Delete: ${toIp(toNumber(address))} is not held by ${id}`);
  }

  async releaseAll(id: string): Promise<void> {
    const leases = this.#allocator.leasesOf(id);
    // The CNI plugin knows this text.
    if (leases.length === 0) throw new UserError("bad-request", `Delete: no addresses for ${id}`);
    await Promise.all(leases.map((lease) => this.#allocator.release(id, lease.address)));
  }

  #subnet(text: string | undefined): Cidr {
    if (text === undefined) return this.#options.defaultSubnet;
    const subnet = readSubnet(text);
    if (hasHostBits(subnet)) throw new UserError("bad-request", `'${text}' is not a subnet: it has host bits set`);
    if (subnet.prefixLength <= 30) return subnet;
    throw new UserError("bad-request", `subnet '${text}' is too small`, "the smallest has a prefix length of 30");
  }

  /** As far as one can tell: without an answer it is taken for running. */
  async #runs(id: string): Promise<boolean> {
    try {
      const container = await this.#runtime.inspect(id);
      return container === undefined || container.running;
    } catch (thrown) {
      if (thrown instanceof UserError) return true;
      throw thrown;
    }
  }
}

function viaOf(checkAlive: boolean): Lease["via"] {
  return checkAlive ? "container" : "api";
}

function readSubnet(text: string): Cidr {
  const cidr = parseCidr(text);
  if (cidr && !isIpv6(cidr.address) && cidr.prefixLength > 0) return cidr;
  throw new UserError("bad-request", `invalid address '${text}'`, "write it as A.B.C.D/len");
}
