// SPDX-License-Identifier: Apache-2.0
// The rules of this machine's packet filter, whoever made them, for judging: through libnftables, and for what only iptables can tell through its own
// iptables-save. Read, never written.
import { existsSync, readFileSync } from "node:fs";
import { isSystemError } from "../../native/errno.ts";
import { MissingLibraryError } from "../../native/ffi.ts";
import { Nft } from "../../native/libnftables/nft.ts";
import { parseIptablesSave } from "../firewall/iptables-save.ts";
import { type NftFilter, parseNftJson } from "../firewall/nft-json.ts";
import { type Filter, tableOf } from "../firewall/verdict.ts";

export interface PacketFilter extends Filter {
  /** Rules that cannot be read, with what would show them. */
  readonly hidden: readonly { readonly what: string; readonly command: string }[];
}

const FAMILIES = [
  { family: 4, kind: "ip", tool: "iptables", names: "/proc/net/ip_tables_names" },
  { family: 6, kind: "ip6", tool: "ip6tables", names: "/proc/net/ip6_tables_names" },
] as const;

const NOTHING: NftFilter = { bases: [], chains: new Map(), foreign: new Set() };

/** undefined: libnftables is not installed. */
export async function readPacketFilter(): Promise<PacketFilter | undefined> {
  const modern = readNft();
  if (modern === undefined) return undefined;
  const hidden: PacketFilter["hidden"][number][] = [];
  if (modern === "unreadable") hidden.push({ what: "nftables' rules", command: "nft -j list ruleset" });
  const { foreign, ...seen } = modern === "unreadable" ? NOTHING : modern;
  const filters = [keep(seen, (table) => !foreign.has(table))];
  for (const { family, kind, tool, names } of FAMILIES) {
    const isForeign = (table: string): boolean => foreign.has(table) && table.startsWith(`${kind} `);
    if ([...foreign].some(isForeign)) {
      const saved = await save(`${tool}-nft-save`);
      // Without the command its chains stay as JSON shows them, with rules that are doubtful.
      filters.push(keep(saved === undefined ? seen : parseIptablesSave(saved, family, kind), isForeign));
    }
    if (existsSync(names) && readFileSync(names, "utf8").trim() !== "") {
      const saved = await save(`${tool}-legacy-save`);
      if (saved === undefined) hidden.push({ what: `rules of ${tool}-legacy`, command: `${tool}-legacy -S` });
      else filters.push(parseIptablesSave(saved, family, `${tool}-legacy`));
    }
  }
  return {
    bases: filters.flatMap(({ bases }) => bases),
    chains: new Map(filters.flatMap(({ chains }) => [...chains])),
    hidden,
  };
}

function readNft(): NftFilter | "unreadable" | undefined {
  try {
    using nft = Nft.open("json");
    return parseNftJson(nft.run("list ruleset").output) ?? "unreadable";
  } catch (thrown) {
    if (thrown instanceof MissingLibraryError) return undefined;
    if (isSystemError(thrown, "EPROTONOSUPPORT")) return NOTHING; // a kernel without nf_tables has no rules of it
    throw thrown;
  }
}

function keep({ bases, chains }: Filter, isKept: (table: string) => boolean): Filter {
  return {
    bases: bases.filter(({ chain }) => isKept(tableOf(chain))),
    chains: new Map([...chains].filter(([chain]) => isKept(tableOf(chain)))),
  };
}

/** undefined: the command is not here, or fails. */
async function save(command: string): Promise<string | undefined> {
  const path = Bun.which(command, { PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` });
  if (path === null) return undefined;
  const child = Bun.spawn([path], { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
  const [text, code] = await Promise.all([child.stdout.text(), child.exited]);
  return code === 0 ? text : undefined;
}
