// SPDX-License-Identifier: Apache-2.0
// The mesh as plain values for the faces: sorted, made anew on each call, sharing nothing with what changes.
import { type Attempt, means } from "./dialer.ts";
import type { Neighbour } from "./neighbour.ts";
import type { Neighbours } from "./neighbours.ts";
import type { ConnectionView, MeshView, PeerView, Routes } from "./ports.ts";
import type { PeerRecord } from "./record.ts";
import type { Topology } from "./topology.ts";

export interface ViewSources {
  readonly self: PeerRecord;
  readonly topology: Topology;
  readonly neighbours: Neighbours;
  readonly attempts: Iterable<Attempt>;
  readonly turnedAway: readonly ConnectionView[];
  readonly targets: readonly string[];
  readonly routes: Routes;
  readonly revoked: readonly string[];
  readonly warnings: readonly string[];
}

export function viewOf(sources: ViewSources): MeshView {
  const { self, topology, neighbours } = sources;
  const peers = Array.from(topology.reachable(), (name) => topology.get(name)!).map((record) => peerView(record, topology));
  // An attempt at somebody whose data path works shows as the reason why the control connection does not.
  const attempts = Array.from(sources.attempts);
  const known = [...neighbours.all()];
  const isShown = (attempt: Attempt): boolean => !known.some(({ facts }) => means(attempt, facts));
  const connections = [
    ...known.map((neighbour) => neighbourView(neighbour, attempts)),
    ...attempts.filter(isShown).flatMap((attempt) => attemptView(attempt) ?? []),
    ...sources.turnedAway,
  ];
  return {
    self: { name: self.name, nickname: self.nickname, uid: self.uid, shortId: self.shortId },
    peers: peers.sort((a, b) => a.name - b.name),
    connections: connections.sort((a, b) => compareText(a.address, b.address)),
    targets: sources.targets,
    routes: sources.routes,
    revoked: sources.revoked,
    warnings: sources.warnings,
    terminations: neighbours.terminations,
  };
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function peerView(record: PeerRecord, topology: Topology): PeerView {
  const connections = Array.from(record.connections.values(), ({ peer, address, outbound, established }) => {
    return { peer, nickname: topology.get(peer)?.nickname ?? "", address, outbound, established };
  });
  const { name, nickname, uid, shortId, version } = record;
  return { name, nickname, uid, shortId, version, connections: connections.sort((a, b) => a.peer - b.peer) };
}

function neighbourView(neighbour: Neighbour, attempts: readonly Attempt[]): ConnectionView {
  const { facts } = neighbour;
  const rttMs = neighbour.latency.rttMs;
  return {
    address: facts.address,
    outbound: facts.outbound,
    state: neighbour.established ? "established" : "pending",
    peer: { name: facts.name, nickname: facts.nickname },
    reason: neighbour.reason() || failureOf(neighbour, attempts),
    sinceMs: neighbour.sinceMs,
    passwordUsed: facts.passwordUsed,
    trusted: facts.trusted,
    control: neighbour.link ? "up" : "stale",
    ...(rttMs === undefined ? {} : { rttMs }),
  };
}

/** Why a neighbour without a control connection could not be reached again; empty: it has one, or was not tried yet. */
function failureOf(neighbour: Neighbour, attempts: readonly Attempt[]): string {
  if (neighbour.link) return "";
  return attempts.find((attempt) => attempt.reason !== "" && means(attempt, neighbour.facts))?.reason ?? "";
}

/** undefined: it shows as a neighbour. */
function attemptView(attempt: Attempt): ConnectionView | undefined {
  const { state, reason, sinceMs } = attempt;
  if (state.is === "satisfied") return undefined;
  const common = { outbound: true, reason, sinceMs, passwordUsed: false, trusted: false, control: "none" as const };
  const address = attempt.kind === "target" ? attempt.key : attempt.lastAddress;
  if (address === "") return undefined;
  if (state.is === "dialing") return { ...common, address, state: reason === "" ? "connecting" : "retrying" };
  if (state.is === "given-up") return { ...common, address, state: "failed" };
  return { ...common, address, state: reason === "" ? "waiting" : "failed", retryAtMs: state.retryAtMs };
}
