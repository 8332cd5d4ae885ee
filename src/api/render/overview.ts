// SPDX-License-Identifier: Apache-2.0
// `weave status`: health warnings and notes, then one section per service, labels right-aligned so that the colon stands in column 16.
import { CONNECTION_STATES, type IpamStatus, type PluginStatus, type RouterStatus, type StatusModel } from "../status.ts";
import { peerText } from "./text.ts";

const LABEL_WIDTH = 15;

export function renderOverview(status: StatusModel): string {
  const services = [ipamLines(status.ipam), dnsLines(status.dns), proxyLines(status.proxy), pluginLines(status.plugin)];
  const sections = [healthLines(status), versionLines(status), routerLines(status.router), ...services];
  const texts = sections.filter((lines) => lines.length > 0).map((lines) => lines.map((line) => `${line}\n`).join(""));
  return texts.join("\n");
}

function field(label: string, value: string | number): string {
  return `${label.padStart(LABEL_WIDTH)}: ${value}`;
}

function healthLines({ warnings, notes }: StatusModel): readonly string[] {
  return [...warnings.map((warning) => field("Warning", warning)), ...notes.map((note) => field("Note", note))];
}

// There is no service to ask for newer versions, hence the words a disabled check had.
function versionLines({ version }: StatusModel): readonly string[] {
  return [field("Version", `${version} (version check update disabled)`)];
}

function routerLines(router: RouterStatus): readonly string[] {
  const { protocolMinVersion: min, protocolMaxVersion: max } = router;
  return [
    field("Service", "router"),
    field("Protocol", `weave ${min === max ? max : `${min}..${max}`}`),
    field("Name", peerText(router)),
    field("Encryption", router.encryption ? "enabled" : "disabled"),
    field("PeerDiscovery", router.peerDiscovery ? "enabled" : "disabled"),
    field("Targets", router.targets.length),
    field("Connections", `${router.connections.length}${inParentheses(countStates(router))}`),
    field("Peers", `${router.peers.length}${inParentheses(countPeerConnections(router))}`),
    field("TrustedSubnets", router.trustedSubnets.length === 0 ? "none" : router.trustedSubnets.join(", ")),
  ];
}

function dnsLines(dns: StatusModel["dns"]): readonly string[] {
  if (!dns) return [];
  return [
    field("Service", "dns"),
    field("Domain", dns.domain),
    field("Upstream", dns.upstream.length === 0 ? "none" : dns.upstream.join(", ")),
    field("TTL", dns.ttlSeconds),
    field("Entries", dns.entries),
  ];
}

function proxyLines(proxy: StatusModel["proxy"]): readonly string[] {
  return proxy ? [field("Service", "proxy"), ...proxy.addresses.map((address) => field("Address", address))] : [];
}

function ipamLines(ipam: IpamStatus | null): readonly string[] {
  if (!ipam) return [];
  return [
    field("Service", "ipam"),
    field("Status", ipam.status),
    ...(ipam.waitingFor.length === 0 ? [] : [field("WaitingFor", ipam.waitingFor.map(peerText).join(", "))]),
    field("Range", ipam.range),
    ...(ipam.range6 === null ? [] : [field("Range6", ipam.range6)]),
    field("DefaultSubnet", ipam.defaultSubnet),
  ];
}

function pluginLines(plugin: PluginStatus | null): readonly string[] {
  if (!plugin) return [];
  return [
    field("Service", "plugin (legacy)"),
    field("DriverName", plugin.driverName),
    field("MeshDriverName", plugin.meshDriverName),
    field("Endpoints", plugin.endpoints),
  ];
}

function inParentheses(text: string): string {
  return text === "" ? "" : ` (${text})`;
}

function countStates({ connections }: RouterStatus): string {
  return counts(CONNECTION_STATES.map((state) => [state, connections.filter((one) => one.state === state).length] as const));
}

function countPeerConnections({ peers }: RouterStatus): string {
  const all = peers.flatMap((peer) => peer.connections);
  const established = all.filter((one) => one.established).length;
  const text = counts([
    ["established", established],
    ["pending", all.length - established],
  ]);
  return text === "" ? "" : `with ${text} connections`;
}

function counts(pairs: readonly (readonly [string, number])[]): string {
  return pairs
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${count} ${name}`)
    .join(", ");
}
