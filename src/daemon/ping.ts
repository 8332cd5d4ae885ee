// SPDX-License-Identifier: Apache-2.0
// `weave ping` at the daemon: whom a word means, and what was measured in the words of the API.
import type { PingHop, PingPath, PingResponse, PingSeries } from "../api/ping.ts";
import { API_VERSION } from "../api/status.ts";
import { didYouMean } from "../config/nearest.ts";
import { formatPeer, formatPeerName, type PeerName, parsePeerName } from "../mesh/peer-name.ts";
import type { MeshView } from "../mesh/ports.ts";
import { parseHostPort, parseIpPort } from "../net/endpoint.ts";
import type { PingResult, Series } from "../overlay/peer-ping.ts";
import { UserError } from "../runtime/errors.ts";

export interface KnownPeer {
  readonly name: PeerName;
  readonly nickname: string;
}
type Seen = Pick<MeshView, "self" | "peers" | "connections">;

/** The peer that a name, a nickname or the address of a connection means. @throws {UserError} none, several, or this host */
export function findPeer(view: Seen, word: string): KnownPeer {
  const found = distinct(matches(view, word));
  const [peer, second] = found;
  if (peer === undefined) {
    const nicknames = knownPeers(view).map(({ nickname }) => nickname);
    throw new UserError("not-found", `no peer '${word}' is known`, didYouMean(word, nicknames) || "see 'weave status peers'");
  }
  if (second !== undefined) {
    const names = found.map(({ name, nickname }) => formatPeer(name, nickname)).join(", ");
    throw new UserError("conflict", `'${word}' means several peers: ${names}`, "give the name of one");
  }
  if (peer.name === view.self.name) throw new UserError("bad-request", `'${word}' is this host`, "give another peer");
  return peer;
}

function matches(view: Seen, word: string): readonly KnownPeer[] {
  const all = knownPeers(view);
  const name = parsePeerName(word);
  const named = all.filter((peer) => peer.name === name || peer.nickname === word);
  return named.length > 0 ? named : view.connections.flatMap(({ peer, address }) => (peer && isAt(address, word) ? [peer] : []));
}

/** Who is connected or in the topology, ourselves included. */
function knownPeers({ self, peers, connections }: Seen): KnownPeer[] {
  return [self, ...peers, ...connections.flatMap(({ peer }) => peer ?? [])];
}

function distinct(peers: readonly KnownPeer[]): readonly KnownPeer[] {
  const byName = new Map<PeerName, KnownPeer>();
  for (const { name, nickname } of peers) if (!byName.has(name)) byName.set(name, { name, nickname });
  return [...byName.values()];
}

/** `ip:port` as `status connections` shows it, or its address alone. */
function isAt(address: string, word: string): boolean {
  const wanted = parseHostPort(word);
  const at = parseIpPort(address);
  return wanted !== undefined && at?.ip === wanted.host && (wanted.port === undefined || wanted.port === at.port);
}

export function pingResponse(view: Seen, peer: KnownPeer, result: PingResult, sizeBytes?: number): PingResponse {
  const nicknames = new Map(knownPeers(view).map(({ name, nickname }) => [name, nickname]));
  const words = (name: PeerName) => ({ name: formatPeerName(name), nickname: nicknames.get(name) ?? "" });
  const paths = result.paths.map(
    ({ rttMs: _, series, ...path }): PingPath => ({ ...path, probes: series ? figures(series) : null }),
  );
  const route = result.route.map(({ from, to, path }): PingHop => ({ from: words(from), to: words(to), ...path }));
  const control = figures(result.control);
  return {
    apiVersion: API_VERSION,
    peer: words(peer.name),
    answered: paths.some(({ probes }) => probes !== null && probes.received > 0) || isAnsweredFar(result),
    sizeBytes: sizeBytes ?? null,
    paths,
    route,
    routeEnd: endText(result, (name) => formatPeer(name, nicknames.get(name) ?? "")),
    control,
  };
}

/** Its kernel reflects probes of neighbours only, so of others there is the word of its daemon. */
function isAnsweredFar({ route, routeEnd, control }: PingResult): boolean {
  return routeEnd === "" && route.length > 1 && control.rttsMs.length > 0;
}

function endText({ route, routeEnd }: PingResult, label: (name: PeerName) => string): string {
  const last = route.at(-1)?.to;
  switch (routeEnd) {
    case "":
      return "";
    case "no-route":
      return last === undefined ? "no route for frames" : `${label(last)} has no route for frames to it`;
    case "loop":
      return "the route is changing right now";
    case "silent":
      return `${last === undefined ? "a peer" : label(last)} on the route does not answer`;
    default:
      return routeEnd satisfies never;
  }
}

function figures({ sent, rttsMs }: Series): PingSeries {
  const received = rttsMs.length;
  const sum = rttsMs.reduce((total, rttMs) => total + rttMs, 0);
  return {
    sent,
    received,
    loss: sent === 0 ? 0 : (sent - received) / sent,
    rttMs: received === 0 ? null : { min: Math.min(...rttsMs), avg: sum / received, max: Math.max(...rttsMs) },
  };
}
