// SPDX-License-Identifier: Apache-2.0
// The host's packet filter: whether it keeps peers out, or containers from the name server, and whether it drops what the bridge passes on. It is
// read, never written, and judged packet by packet (`firewall/verdict.ts`).
import { type BaseChain, judge, type Packet } from "../firewall/verdict.ts";
import { bridgeIsShown } from "../host/bridge-filter.ts";
import { type PacketFilter, readPacketFilter } from "../host/packet-filter.ts";
import { pathTo } from "../host/underlay.ts";
import { parseIpPort } from "../net/endpoint.ts";
import { type Ip, isIpv6 } from "../net/ip.ts";
import type { Check, Patient } from "./examine.ts";
import { bad, type Finding, ok, unknown } from "./finding.ts";
import { isFirewalld, letContainersAsk, letForward, letPeersIn, type Port } from "./firewall-fixes.ts";
import { underlayAddresses } from "./network-checks.ts";

export const firewall: Check = {
  id: "firewall",
  async look(patient) {
    const filter = await readPacketFilter();
    if (filter === undefined)
      return [unknown("firewall", "it cannot be read without libnftables", "see the finding 'libraries'")];
    const findings = [
      ...filter.hidden.map(({ what, command }) => unknown("firewall", `${what} cannot be seen here`, command)),
      ...keptOut(patient, filter),
      ...withoutNames(patient, filter),
      ...betweenContainers(patient, filter),
    ];
    return findings.length > 0 ? findings : [ok("firewall", `${kindOf(filter)} keeps nothing of weave out`)];
  },
};

function kindOf({ bases }: PacketFilter): string {
  if (bases.some(isFirewalld)) return "firewalld";
  return bases.length === 0 ? "the packet filter, which is empty," : "the host's packet filter";
}

/** What becomes of packets to one port. */
interface Fate extends Port {
  readonly passes: boolean | undefined;
  /** Who drops it, or may. */
  readonly by: BaseChain | undefined;
}

/** The ports other hosts come to. WireGuard's only when data is encrypted. */
function portsOf({ config: { port, passwords } }: Patient): Port[] {
  const udp = [port, port + 1, ...(passwords.length > 0 ? [port + 2] : [])];
  return [{ protocol: "tcp", port }, ...udp.map((number) => ({ protocol: "udp", port: number }) as const)];
}

function keptOut(patient: Patient, filter: PacketFilter): Finding[] {
  const ways = waysIn(patient);
  const fates = portsOf(patient).map((port) => fateOf(filter, ways, port));
  return grouped(fates).map(({ passes, by, ports }) => {
    const words = ports.map(({ protocol, port }) => `${protocol} ${port}`).join(", ");
    if (passes === false)
      return bad("firewall", "warning", `'${by.chain}' drops what peers send to ${words}`, letPeersIn(filter, by, ports));
    const text = `whether '${by.chain}' lets in ${words} cannot be told: its rules ask for more than the port`;
    return unknown("firewall", text, "weave doctor, on the hosts that connect to this one: their finding 'ports' tells");
  });
}

type Way = Omit<Packet, "protocol" | "port">;

/** How peers come: each one that is known by the way that answers take; while none is, anybody to each address of ours. */
function waysIn(patient: Patient): { readonly ways: readonly Way[]; readonly areKnown: boolean } {
  const { daemon, links } = patient;
  const connections = daemon.state === "running" ? daemon.status.router.connections : [];
  const known = connections.flatMap(({ address }): Way[] => {
    const from = parseIpPort(address)?.ip;
    const path = from && pathTo(links, from);
    return path ? [{ family: familyOf(from), link: path.linkName, from, to: path.source }] : [];
  });
  if (known.length > 0) return { ways: known, areKnown: true };
  const all = underlayAddresses(patient);
  const ways = all.map(({ cidr: { address: to }, linkName: link }) => ({ family: familyOf(to), link, to }));
  return { ways, areKnown: false };
}

function familyOf(ip: Ip): 4 | 6 {
  return isIpv6(ip) ? 6 : 4;
}

/** Dropped when a peer's is, or anybody's by every way; where strangers pass by some ways only, it cannot be told which of them matters. */
function fateOf(filter: PacketFilter, { ways, areKnown }: ReturnType<typeof waysIn>, port: Port): Fate {
  const judged = ways.map((way) => judge(filter, { ...way, ...port }));
  const worst = judged.find(({ passes }) => passes === false) ?? judged.find(({ passes }) => passes === undefined);
  if (worst === undefined) return { ...port, passes: true, by: undefined };
  const isShut = areKnown ? worst.passes === false : judged.every(({ passes }) => passes === false);
  return { ...port, passes: isShut ? false : undefined, by: worst.by };
}

/** Those that do not certainly pass, by what becomes of them and whose doing it is. */
function grouped(fates: readonly Fate[]): { passes: false | undefined; by: BaseChain; ports: Port[] }[] {
  const groups = new Map<string, { passes: false | undefined; by: BaseChain; ports: Port[] }>();
  for (const { passes, by, ...port } of fates) {
    if (passes === true || by === undefined) continue;
    const key = `${passes} ${by.chain}`;
    const group = groups.get(key) ?? { passes, by, ports: [] };
    group.ports.push(port);
    groups.set(key, group);
  }
  return [...groups.values()];
}

/** Containers of Docker ask the server on Docker's bridge, so their questions come in like a stranger's packets. */
function withoutNames(patient: Patient, filter: PacketFilter): Finding[] {
  const { daemon, links } = patient;
  const server = daemon.state === "running" && daemon.status.dns ? parseIpPort(daemon.status.dns.address) : undefined;
  const at = server && links.addresses().find(({ cidr }) => cidr.address === server.ip)?.linkIndex;
  const link = at === undefined ? undefined : links.list().find(({ index, loopback }) => index === at && !loopback)?.name;
  if (server === undefined || link === undefined) return [];
  const question = { family: familyOf(server.ip), protocol: "udp", port: server.port, link, to: server.ip } as const;
  const { passes, by } = judge(filter, question);
  if (passes !== false || by === undefined) return [];
  const text = `'${by.chain}' drops what containers ask the name server: udp ${server.port} by ${link}`;
  return [bad("firewall", "warning", text, letContainersAsk(filter, by, question))];
}

/** Group frames and neighbour discovery cross the bridge; the kernel may show them to the chains for what the host forwards. */
function betweenContainers({ config: { weaveBridge: bridge } }: Patient, filter: PacketFilter): Finding[] {
  const shown = bridgeIsShown();
  const closed = ([4, 6] as const).flatMap((family) => {
    if (!shown[family]) return [];
    const { passes, by } = judge(filter, { family, protocol: "udp", port: 5353, link: bridge, out: bridge });
    return passes === false && by !== undefined ? [{ by, what: family === 4 ? "broadcast and multicast" : "IPv6" }] : [];
  });
  return [...Map.groupBy(closed, ({ by }) => by)].map(([by, all]) => {
    const what = all.map((one) => one.what).join(", ");
    const text = `'${by.chain}' drops ${what} between containers: bridged packets are shown to it`;
    return bad("firewall", "warning", text, letForward(filter, by, bridge, [{ in: bridge, out: bridge }]));
  });
}
