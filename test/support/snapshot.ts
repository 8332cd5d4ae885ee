// SPDX-License-Identifier: Apache-2.0
// All a program can leave on a host, as sorted lines: links, addresses, routes, rules, filters, firewall, settings, files, BPF objects.
import { readdirSync, readFileSync } from "node:fs";
import type { Host, Place } from "./lab-host.ts";

/** Settings of the network that belong to no link. Counters are left out. */
const SETTINGS = "^net\\.(ipv4|ipv6)\\.(conf\\.|ip_forward|neigh\\.)|^net\\.bridge\\.|^net\\.core\\.(bpf|rmem_max|wmem_max)";

function lines(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trimEnd())
    .filter((line) => line !== "")
    .sort();
}

/** JSON of `ip` without what changes by itself. */
function stable(text: string): string[] {
  const isVolatile = (key: string) => key.endsWith("_timer") || key.endsWith("_life_time");
  const records = JSON.parse(text || "[]", (key, value: unknown) => (isVolatile(key) ? undefined : value)) as unknown[];
  return records.map((record) => JSON.stringify(record)).sort();
}

export type Snapshot = Readonly<Record<string, readonly string[]>>;

/** Links, addresses, routes and rules of a place. */
export async function networkOf(place: Place): Promise<Snapshot> {
  const [link, address, route4, route6, rules, qdiscs] = await Promise.all(
    [
      ["ip", "-d", "-j", "link"],
      ["ip", "-j", "address"],
      ["ip", "-j", "-4", "route", "show", "table", "all"],
      ["ip", "-j", "-6", "route", "show", "table", "all"],
      ["ip", "-j", "rule"],
      ["tc", "qdisc", "show"],
    ].map((command) => place.must(command)),
  );
  return {
    links: stable(link ?? ""),
    addresses: stable(address ?? ""),
    routes: [...stable(route4 ?? ""), ...stable(route6 ?? "")],
    rules: stable(rules ?? ""),
    qdiscs: lines(qdiscs ?? ""),
  };
}

/** Everything of a host. */
export async function snapshot(host: Host): Promise<Snapshot> {
  const [network, ruleset, attached, settings, files] = await Promise.all([
    networkOf(host),
    host.must(["nft", "list", "ruleset"]),
    host.must(["bpftool", "net", "list"]),
    host.must(["sysctl", "-a", "-r", SETTINGS]),
    // Directories change their time and size when something in them came and went; files must not.
    host.must([
      "sh",
      "-c",
      "find /run /var/lib /etc /sys/fs/bpf \\( -type d -printf '%p %y %m %u\\n' -o -printf '%p %y %m %u %s %T@\\n' \\)",
    ]),
  ]);
  return {
    ...network,
    ruleset: lines(ruleset),
    attached: lines(attached),
    settings: lines(settings),
    files: lines(files),
    processes: host.processes().map(({ command }) => command.join(" ")),
  };
}

type BpfKind = "map" | "prog" | "link";
export interface BpfObject {
  readonly kind: BpfKind;
  readonly id: number;
}

/** Every BPF object a host's pins and processes hold now. BPF objects have no namespace, so they are noted while somebody holds them. */
export async function bpfObjectsOf(host: Host): Promise<BpfObject[]> {
  const found = new Map<string, BpfObject>();
  const add = (kind: BpfKind, id: number) => found.set(`${kind} ${id}`, { kind, id });
  const pins = lines((await host.run(["find", "/sys/fs/bpf", "-type", "f"])).stdout);
  for (const pin of pins) {
    for (const kind of ["map", "prog", "link"] as const) {
      const { code, stdout } = await host.run(["bpftool", "-j", kind, "show", "pinned", pin]);
      const shown = code === 0 ? (JSON.parse(stdout || "{}") as { id?: number }) : {};
      if (shown.id !== undefined) add(kind, shown.id);
    }
  }
  for (const { pid } of host.processes()) {
    for (const fd of readdirSync(`/proc/${pid}/fdinfo`)) {
      const text = readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8");
      for (const [, kind, id] of text.matchAll(/^(map|prog|link)_id:\s*(\d+)$/gm)) add(kind as BpfKind, Number(id));
    }
  }
  return [...found.values()];
}

/** Which of these the kernel still has. */
export async function stillThere(host: Host, objects: readonly BpfObject[]): Promise<BpfObject[]> {
  const shown = await Promise.all(objects.map(({ kind, id }) => host.run(["bpftool", "-j", kind, "show", "id", `${id}`])));
  return objects.filter((_, index) => shown[index]?.code === 0);
}
