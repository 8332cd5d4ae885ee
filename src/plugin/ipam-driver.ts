// SPDX-License-Identifier: Apache-2.0
// IpamDriver.*: Docker's requests for addresses, answered by the network's own allocation. A pool is a subnet and the part of it to choose from, both in
// its id, so there is nothing to remember. Docker does not say for whom an address is.
import { type Cidr, cidrContains, formatCidr, hasHostBits, networkOf, parseCidr } from "../net/cidr.ts";
import { type Ip, isIpv6 } from "../net/ip.ts";
import { UserError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import type { Random } from "../runtime/random.ts";
import type { Methods } from "./methods.ts";
import { CHOSEN_OWNER, GIVEN_OWNER } from "./network-driver.ts";
import type { PluginAddresses } from "./ports.ts";
import type { Returning } from "./returning.ts";
import { type Fields, readAddress, readCidr, readText } from "./wire.ts";

const LOCAL_SPACE = "weavelocal";
const GLOBAL_SPACE = "weaveglobal";
/** Docker wants a gateway and asks for one unless it is told; the network has none, so its own address stands for it. */
const GATEWAY_KEY = "com.docker.network.gateway";
/** Pool of networks that Weave Net 1.x made. */
const OLD_POOL = "weavepool";

export interface IpamDriverPorts {
  /** @throws {UserError} addresses are not allocated here */
  addresses(): PluginAddresses;
  readonly returning: Returning;
  readonly random: Random;
  readonly log: Log;
}

interface Pool {
  readonly subnet: Cidr;
  readonly from: Cidr;
}

export function ipamDriver({ addresses, returning, random, log }: IpamDriverPorts): Methods {
  const poolOf = (request: Fields): Pool => parsePool(readText(request, "PoolID"), () => addresses().defaultSubnet("v4"));
  const newOwner = (prefix = GIVEN_OWNER): string =>
    `${prefix}${random
      .below(2 ** 48)
      .toString(16)
      .padStart(12, "0")}`;

  async function choose({ from }: Pool, signal: AbortSignal): Promise<Ip> {
    const before = returning.next(from, (ip) => addresses().holder(ip) === undefined);
    if (before !== undefined) {
      try {
        await addresses().claim(newOwner(), { address: before, prefixLength: from.prefixLength }, signal);
        return before;
      } catch (thrown) {
        if (!(thrown instanceof UserError)) throw thrown; // somebody else has it now; any other will do
      }
    }
    return await addresses().allocate(newOwner(), from, signal);
  }

  return {
    "IpamDriver.GetCapabilities": () => ({ RequiresMACAddress: false, RequiresRequestReplay: false }),
    "IpamDriver.GetDefaultAddressSpaces": () => ({
      LocalDefaultAddressSpace: LOCAL_SPACE,
      GlobalDefaultAddressSpace: GLOBAL_SPACE,
    }),
    "IpamDriver.RequestPool"(request) {
      const subnet = readCidr(request, "Pool") ?? addresses().defaultSubnet(request["V6"] === true ? "v6" : "v4");
      const from = readCidr(request, "SubPool") ?? subnet;
      for (const one of [subnet, from]) {
        if (hasHostBits(one)) throw new UserError("bad-request", `'${formatCidr(one)}' is not a subnet: it has host bits set`);
      }
      if (!cidrContains(subnet, from.address) || from.prefixLength < subnet.prefixLength) {
        throw new UserError("bad-request", `the range ${formatCidr(from)} lies outside the subnet ${formatCidr(subnet)}`);
      }
      addresses().checkSubnet(from);
      const gateway = formatCidr({ ...subnet, address: networkOf(subnet) });
      return {
        PoolID: `weave-${formatCidr(subnet)}-${formatCidr(from)}`,
        Pool: formatCidr(subnet),
        Data: { [GATEWAY_KEY]: gateway },
      };
    },
    "IpamDriver.ReleasePool": () => ({}),
    async "IpamDriver.RequestAddress"(request, signal) {
      const pool = poolOf(request);
      const wanted = readAddress(request, "Address");
      if (wanted !== undefined && !cidrContains(pool.subnet, wanted)) {
        throw new UserError("bad-request", `address ${wanted} lies outside the subnet ${formatCidr(pool.subnet)}`);
      }
      const { prefixLength } = pool.subnet;
      if (wanted !== undefined) {
        await addresses().claim(newOwner(CHOSEN_OWNER), { address: wanted, prefixLength }, signal);
        returning.taken(wanted);
      }
      const address = wanted ?? (await choose(pool, signal));
      log.debug("address given to Docker", { address });
      return { Address: formatCidr({ address, prefixLength }), Data: {} };
    },
    async "IpamDriver.ReleaseAddress"(request) {
      const address = readAddress(request, "Address");
      if (address === undefined) throw new UserError("bad-request", "Docker releases an address and does not say which");
      // Not what somebody else has: the network's own address, which stands for the gateway, is nobody's.
      if (addresses().holder(address)?.startsWith("docker:")) await addresses().release(address);
      return {};
    },
  };
}

function parsePool(id: string, defaultSubnet: () => Cidr): Pool {
  if (id === OLD_POOL) return { subnet: defaultSubnet(), from: defaultSubnet() };
  const [, subnetText = "", fromText = ""] = /^weave-([^-]+)-([^-]*)$/.exec(id) ?? [];
  const subnet = parseCidr(subnetText);
  const from = fromText === "" ? subnet : parseCidr(fromText);
  if (subnet && from && isIpv6(subnet.address) === isIpv6(from.address)) return { subnet, from };
  throw new UserError("bad-request", `'${id.slice(0, 100)}' is not a pool of weave`, "make the network anew");
}
