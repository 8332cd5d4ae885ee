// SPDX-License-Identifier: Apache-2.0
// The status model of the API, filled in from the parts of a running daemon. Pure: values in, one value out, lists sorted.
import type { ConnectionStatus, JsonValue, MacStatus, PeerStatus, RouterStatus } from "../api/status.ts";
import type { PeerTraffic } from "../host/datapath-codec.ts";
import { formatPeerName, type PeerName, SHORT_ID_FLOOD, type ShortId } from "../mesh/peer-name.ts";
import type { ConnectionView, MeshView, PeerView } from "../mesh/ports.ts";
import { formatMac, type Mac } from "../net/mac.ts";
import type { PathStatus } from "../overlay/path-status.ts";

type Traffic = { readonly packets: number; readonly bytes: number };
type Counts = Readonly<Record<string, Traffic>>;

/** What of the switch is shown. */
export interface SwitchView {
  readonly kind: { readonly object: string; readonly attach: string };
  readonly macs: readonly { readonly mac: Mac; readonly peer: number; readonly ageMs: number }[];
  readonly drops: Counts;
  readonly events: Counts;
  readonly peers: ReadonlyMap<ShortId, PeerTraffic>;
  readonly ports: number;
  readonly repairs: number;
}

export interface RouterParts {
  readonly mesh: MeshView;
  readonly port: number;
  readonly protocol: { readonly min: number; readonly max: number };
  readonly passwordSet: boolean;
  readonly discovery: boolean;
  readonly trustedSubnets: readonly string[];
  readonly switch: SwitchView;
  readonly mtuBytes: number;
  readonly nowMs: number;
  pathOf(name: PeerName): PathStatus | undefined;
  /** Why a neighbour has no path at all. */
  blockedReason(name: PeerName): string;
}

export function routerStatus(parts: RouterParts): RouterStatus {
  const { mesh } = parts;
  return {
    name: formatPeerName(mesh.self.name),
    nickname: mesh.self.nickname,
    uid: mesh.self.uid,
    shortId: mesh.self.shortId,
    port: parts.port,
    protocolMinVersion: parts.protocol.min,
    protocolMaxVersion: parts.protocol.max,
    encryption: parts.passwordSet,
    peerDiscovery: parts.discovery,
    trustedSubnets: parts.trustedSubnets,
    targets: mesh.targets,
    connections: mesh.connections.map((connection) => connectionStatus(connection, parts)),
    peers: mesh.peers.map(peerStatus),
    unicastRoutes: unicastRoutes(mesh),
    broadcastRoutes: broadcastRoutes(mesh),
    terminationCount: mesh.terminations,
    revoked: mesh.revoked,
    interface: "weave (via BPF)",
    macs: macStatus(parts),
    overlayDiagnostics: { fastdp: switchDiagnostics(parts), sleeve: null },
    captureStats: {},
  };
}

function connectionStatus(connection: ConnectionView, parts: RouterParts): ConnectionStatus {
  const { peer } = connection;
  const path = peer && parts.pathOf(peer.name);
  return {
    address: connection.address,
    outbound: connection.outbound,
    state: connection.state,
    peer: peer ? { name: formatPeerName(peer.name), nickname: peer.nickname } : null,
    overlay: path?.transport ?? (peer ? "none" : ""),
    passwordUsed: connection.passwordUsed,
    encrypted: path?.encrypted ?? false,
    reason: connection.reason || (path?.reason ?? (peer ? parts.blockedReason(peer.name) : "")),
    sinceMs: connection.sinceMs,
    retryAtMs: connection.retryAtMs ?? null,
    control: connection.control,
    rttMs: connection.rttMs ?? null,
    mtuBytes: path?.mtuBytes ?? null,
  };
}

function peerStatus(peer: PeerView): PeerStatus {
  return {
    name: formatPeerName(peer.name),
    nickname: peer.nickname,
    uid: peer.uid,
    shortId: peer.shortId,
    version: peer.version,
    connections: peer.connections.map((connection) => ({
      name: formatPeerName(connection.peer),
      nickname: connection.nickname,
      address: connection.address,
      outbound: connection.outbound,
      established: connection.established,
    })),
  };
}

function unicastRoutes(mesh: MeshView): RouterStatus["unicastRoutes"] {
  const others = [...mesh.routes.unicast]
    .filter(([destination]) => destination !== mesh.self.name)
    .map(([destination, via]) => ({ destination: formatPeerName(destination), via: formatPeerName(via) }));
  return [{ destination: formatPeerName(mesh.self.name), via: null }, ...others].sort(by((route) => route.destination));
}

function broadcastRoutes(mesh: MeshView): RouterStatus["broadcastRoutes"] {
  return [...mesh.routes.trees]
    .map(([source, place]) => ({ source: formatPeerName(source), via: place.children.map(formatPeerName).sort() }))
    .sort(by((route) => route.source));
}

function macStatus(parts: RouterParts): MacStatus[] {
  const { mesh } = parts;
  const peers = new Map(mesh.peers.map((peer) => [peer.shortId as number, peer]));
  return parts.switch.macs
    .map(({ mac, peer, ageMs }) => {
      const owner = peer === 0 || peer === mesh.self.shortId ? mesh.self : peers.get(peer);
      return {
        mac: formatMac(mac),
        name: owner ? formatPeerName(owner.name) : "",
        nickname: owner?.nickname ?? "",
        lastSeenMs: Math.round(parts.nowMs - ageMs),
      };
    })
    .sort(by((entry) => entry.mac));
}

function switchDiagnostics(parts: RouterParts): JsonValue {
  const names = new Map<number, string>(parts.mesh.peers.map((peer) => [peer.shortId, formatPeerName(peer.name)]));
  names.set(SHORT_ID_FLOOD, "everybody");
  return {
    Object: parts.switch.kind.object,
    Attach: parts.switch.kind.attach,
    Ports: parts.switch.ports,
    MTU: parts.mtuBytes,
    Repairs: parts.switch.repairs,
    Drops: countsStatus(parts.switch.drops),
    Events: countsStatus(parts.switch.events),
    Peers: Object.fromEntries(
      [...parts.switch.peers].map(([id, traffic]) => [names.get(id) ?? `short id ${id}`, countsStatus({ ...traffic })]),
    ),
  };
}

function countsStatus(counts: Counts): JsonValue {
  return Object.fromEntries(
    Object.entries(counts).map(([name, { packets, bytes }]) => [name, { Packets: packets, Bytes: bytes }]),
  );
}

function by<Item>(key: (item: Item) => string): (a: Item, b: Item) => number {
  return (a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0);
}
