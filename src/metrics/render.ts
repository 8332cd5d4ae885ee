// SPDX-License-Identifier: Apache-2.0
// `/metrics`: the families Weave Net had, as far as their services run, those of this build's status model and counters, and the process.
// Families of services that are off are left out. Labels hold peer names, of which there are at most as many as direct neighbours, never
// addresses or container ids.
import type { JsonValue, StatusModel } from "../api/status.ts";
import type { Counters } from "../runtime/counters.ts";
import { type Family, formatFamilies, type Sample } from "./exposition.ts";
import { type TransportStats, transportFamilies } from "./transport-stats.ts";

/** @param transports undefined: nothing of them is counted here */
export function renderMetrics(status: StatusModel, counters: Counters, transports?: TransportStats): string {
  const own = [
    ...routerFamilies(status),
    ...ipamFamilies(status),
    ...(transports ? transportFamilies(transports) : []),
    ...processFamilies(status),
  ];
  const taken = new Set(own.map(({ name }) => name));
  const counted = counterFamilies(counters).filter(({ name }) => !taken.has(name));
  return formatFamilies([...own, ...counted].filter(({ samples }) => samples.length > 0));
}

function routerFamilies(status: StatusModel): Family[] {
  const { router } = status;
  return [
    {
      name: "weave_connections",
      type: "gauge",
      help: "Number of peer-to-peer connections.",
      samples: connectionSamples(router.connections),
    },
    counter("weave_connection_terminations_total", "Number of peer-to-peer connections terminated.", router.terminationCount),
    gauge("weave_peers", "Number of peers known, this one included.", router.peers.length),
    gauge("weave_targets", "Number of targets given by the operator.", router.targets.length),
    gauge("weave_ready", "1 when start-up is complete.", status.ready ? 1 : 0),
    gauge("weave_health_warnings", "Number of warnings that weave status shows.", status.warnings.length),
    ...(status.dns ? [gauge("weave_dns_entries", "Number of DNS entries of this host.", status.dns.ownEntries)] : []),
    gauge("weave_macs", "Number of container MAC addresses the switch has learnt.", router.macs.length),
    perPeer(status, "weave_connection_rtt_seconds", "Round-trip time of the data path to a neighbour.", ({ rttMs }) =>
      rttMs === null ? undefined : rttMs / 1000,
    ),
    perPeer(status, "weave_connection_loss_ratio", "Share of recent path probes to a neighbour that were lost.", ({ path }) =>
      path === null ? undefined : path.loss,
    ),
    perPeer(status, "weave_connection_mtu_bytes", "Largest container packet a connection carries.", ({ mtuBytes }) =>
      mtuBytes === null ? undefined : mtuBytes,
    ),
    {
      name: "weave_frames_dropped_total",
      type: "counter",
      help: "Frames the switch dropped, by reason.",
      samples: switchSamples(router.overlayDiagnostics, "Drops", "reason"),
    },
    {
      name: "weave_switch_events_total",
      type: "counter",
      help: "What the switch noticed, such as MAC addresses that moved and frames relayed for others.",
      samples: switchSamples(router.overlayDiagnostics, "Events", "event"),
    },
    {
      name: "weave_build_info",
      type: "gauge",
      help: "Always 1; the version is in the label.",
      samples: [{ labels: { version: status.version }, value: 1 }],
    },
  ];
}

function ipamFamilies({ ipam }: StatusModel): Family[] {
  if (!ipam) return [];
  const away = ipam.shares.filter((share) => !share.reachable);
  const lost = away.reduce((sum, share) => sum + share.addresses, 0);
  return [
    {
      name: "weave_ips",
      type: "gauge",
      help: "Number of IP addresses.",
      samples: [{ labels: { state: "local-used" }, value: ipam.active }],
    },
    gauge("weave_max_ips", "Size of IP address space used by allocator.", ipam.rangeSize),
    gauge("weave_ipam_unreachable_count", "Number of unreachable peers.", away.length),
    gauge(
      "weave_ipam_unreachable_percentage",
      "Percentage of all IP addresses owned by unreachable peers.",
      (100 * lost) / ipam.rangeSize,
    ),
    gauge("weave_ipam_pending_allocates", "Number of pending allocates.", ipam.pendingAllocates.length),
    gauge("weave_ipam_pending_claims", "Number of pending claims.", ipam.pendingClaims.length),
    gauge("weave_ipam_conflicts", "Addresses in use here and on another peer.", ipam.conflicts.length),
    gauge("weave_ipam_strangers", "Peers that allocate from another range or ring.", ipam.strangers.length),
  ];
}

type Connections = StatusModel["router"]["connections"];

// As before: for each state and type that was seen both kinds of encryption are told, and nothing for the others.
function connectionSamples(connections: Connections): Sample[] {
  const counts = new Map<string, { state: string; type: string; yes: number; no: number }>();
  for (const { state, overlay, encrypted } of connections) {
    const type = overlay === "" ? "unknown" : overlay;
    const count = counts.get(`${state} ${type}`) ?? { state, type, yes: 0, no: 0 };
    count[encrypted ? "yes" : "no"]++;
    counts.set(`${state} ${type}`, count);
  }
  return [...counts.values()].flatMap(({ state, type, yes, no }) => [
    { labels: { state, type, encryption: "" }, value: no },
    { labels: { state, type, encryption: "yes" }, value: yes },
  ]);
}

function perPeer(
  { router }: StatusModel,
  name: string,
  help: string,
  read: (connection: Connections[number]) => number | undefined,
): Family {
  const values = new Map<string, Sample>();
  for (const connection of router.connections) {
    const value = read(connection);
    if (connection.peer === null || connection.state !== "established" || value === undefined) continue;
    const { name: peer, nickname } = connection.peer;
    values.set(peer, { labels: { peer, nickname }, value });
  }
  return { name, type: "gauge", help, samples: [...values.values()] };
}

// The switch tells `fastdp.Drops` and `fastdp.Events`: word -> { Packets, Bytes }.
function switchSamples(
  diagnostics: StatusModel["router"]["overlayDiagnostics"],
  key: "Drops" | "Events",
  label: string,
): Sample[] {
  return Object.entries(recordOf(recordOf(diagnostics["fastdp"])[key])).flatMap(([word, count]) => {
    const packets = recordOf(count)["Packets"];
    return typeof packets === "number" ? [{ labels: { [label]: word }, value: packets }] : [];
  });
}

function recordOf(value: JsonValue | undefined): Readonly<Record<string, JsonValue>> {
  const isRecord = typeof value === "object" && value !== null && !Array.isArray(value);
  return isRecord ? (value as Readonly<Record<string, JsonValue>>) : {}; // checked just now
}

function processFamilies(status: StatusModel): Family[] {
  const { user, system } = process.cpuUsage();
  return [
    counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", (user + system) / 1e6),
    gauge("process_resident_memory_bytes", "Resident memory size in bytes.", process.memoryUsage.rss()),
    gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds.", status.startedAtMs / 1000),
  ];
}

function counterFamilies(counters: Counters): Family[] {
  return [...counters.all()]
    .map(({ name, help, labelName, read }) => ({
      name,
      type: "counter" as const,
      help,
      samples: [...read()].map(([label, value]) => ({ labels: label === "" ? {} : { [labelName]: label }, value })),
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function gauge(name: string, help: string, value: number): Family {
  return { name, type: "gauge", help, samples: [{ labels: {}, value }] };
}
function counter(name: string, help: string, value: number): Family {
  return { name, type: "counter", help, samples: [{ labels: {}, value }] };
}
