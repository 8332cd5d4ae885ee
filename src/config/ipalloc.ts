// SPDX-License-Identifier: Apache-2.0
// Reading the options of address allocation.
import { type Cidr, formatCidr, hasHostBits, networkOf, parseCidr } from "../net/cidr.ts";
import { isIpv6, parseIp } from "../net/ip.ts";
import { badValue } from "./option.ts";
import { readPeerName } from "./values.ts";

export type IpallocInit =
  | { readonly by: "consensus"; readonly electors: number | undefined }
  /** Peer names in their canonical form. */
  | { readonly by: "seed"; readonly founders: readonly string[] }
  | { readonly by: "observer" };

/** As a range: nothing is allocated. */
export const NO_RANGE: Cidr = { address: parseIp("0.0.0.0")!, prefixLength: 0 };
const ELECTORS_MAX = 4096;

/** undefined: left to weave. */
export function readAllocRange(text: string): Cidr | undefined {
  if (text === "auto") return undefined;
  return text === "" ? NO_RANGE : readSubnet("ipalloc-range", text, 30);
}

export function readDefaultSubnet(text: string): Cidr | undefined {
  return text === "" ? undefined : readSubnet("ipalloc-default-subnet", text, 30);
}

function readSubnet(flag: string, text: string, longest: number): Cidr {
  const example = "write for example 10.32.0.0/12";
  const cidr = parseCidr(text.trim());
  if (!cidr || isIpv6(cidr.address)) return badValue(flag, text, "not an IPv4 subnet", example);
  if (cidr.prefixLength < 4 || cidr.prefixLength > longest) {
    return badValue(flag, text, `its prefix length is not from 4 to ${longest}`, example);
  }
  if (!hasHostBits(cidr)) return cidr;
  return badValue(flag, text, "it has host bits set", `the subnet is ${formatCidr({ ...cidr, address: networkOf(cidr) })}`);
}

export function readAllocRange6(text: string): Cidr | undefined {
  if (text === "") return undefined;
  const flag = "ipalloc-range6";
  const example = "write for example fd00:32::/96";
  const cidr = parseCidr(text.trim());
  if (!cidr || !isIpv6(cidr.address)) return badValue(flag, text, "not an IPv6 subnet", example);
  if (cidr.prefixLength > 96) return badValue(flag, text, "it has less room than a /96", example);
  if (!/^f[cd]/.test(cidr.address)) return badValue(flag, text, "not a unique local range (fc00::/7)", example);
  if (!hasHostBits(cidr)) return cidr;
  return badValue(flag, text, "it has host bits set", `the range is ${formatCidr({ ...cidr, address: networkOf(cidr) })}`);
}

export function readInit(text: string): IpallocInit {
  const [mode = "", value] = text.split(/=(.*)/s);
  if (mode === "observer" && value === undefined) return { by: "observer" };
  if (mode === "consensus") {
    if (value === undefined) return { by: "consensus", electors: undefined };
    const electors = Number(value);
    if (/^\d{1,4}$/.test(value) && electors >= 1 && electors <= ELECTORS_MAX) return { by: "consensus", electors };
  }
  const founders = mode === "seed" && value ? value.split(",").filter(Boolean).map(readPeerName) : [];
  if (founders.length > 0) return { by: "seed", founders };
  // A bare number is what Weave Net's oldest spelling took.
  if (/^\d{1,4}$/.test(text) && Number(text) >= 1) return { by: "consensus", electors: Number(text) };
  return badValue("ipalloc-init", text, "no such way", "write consensus, consensus=3, seed=NAME,NAME or observer");
}

export function formatInit(init: IpallocInit): string {
  if (init.by === "seed") return `seed=${init.founders.join(",")}`;
  return init.by === "consensus" && init.electors !== undefined ? `consensus=${init.electors}` : init.by;
}
