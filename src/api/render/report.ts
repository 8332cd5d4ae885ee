// SPDX-License-Identifier: Apache-2.0
// `weave report`: the status model in the shape and with the keys Weave Net's report has, so that scripts and templates keep working.
// Keys it did not have (Warnings, Notes, Config, Router.Revoked, Router.Connections[].Path) stand behind those it had.
import type {
  ConnectionStatus,
  DataPathStatus,
  DnsStatus,
  IpamStatus,
  JsonValue,
  NameStatus,
  PluginStatus,
  RouterStatus,
  StatusModel,
} from "../status.ts";
import { connectionInfo } from "./connections.ts";
import { type GoMap, type GoStruct, type GoValue, NIL_LIST, NIL_MAP } from "./go-json.ts";
import { attributesOf, isLive } from "./text.ts";

/** Next hop of the route to ourselves. */
const NO_PEER = "00:00:00:00:00:00";

export function buildReport(status: StatusModel, names: readonly NameStatus[] = []): GoStruct {
  return {
    Ready: status.ready,
    Version: status.version,
    VersionCheck: { Enabled: false, Success: false, NewVersion: "", NextCheckAt: "0001-01-01T00:00:00Z" },
    Router: routerReport(status.router),
    IPAM: status.ipam ? ipamReport(status.ipam) : undefined,
    DNS: status.dns ? dnsReport(status.dns, names) : undefined,
    Proxy: status.proxy ? { Addresses: [...status.proxy.addresses] } : undefined,
    Plugin: status.plugin ? pluginReport(status.plugin) : undefined,
    Warnings: [...status.warnings],
    Notes: [...status.notes],
    Config: mapOf(status.config),
  };
}

function pluginReport(plugin: PluginStatus): GoStruct {
  return {
    Config: {
      Socket: plugin.socket,
      MeshSocket: plugin.meshSocket,
      Enable: true,
      EnableV2: false,
      EnableV2Multicast: plugin.v2Multicast,
      DNS: plugin.dns,
      DefaultSubnet: plugin.defaultSubnet,
      ProcPath: "/proc",
    },
    DriverName: plugin.driverName,
    MeshDriverName: plugin.meshDriverName,
    Endpoints: plugin.endpoints,
  };
}

function dnsReport(dns: DnsStatus, names: readonly NameStatus[]): GoStruct {
  return {
    Domain: dns.domain,
    Upstream: dns.upstream.length === 0 ? NIL_LIST : [...dns.upstream],
    Address: dns.address,
    TTL: dns.ttlSeconds,
    Entries: names.map(({ name, origin, container, address, version, removed }) => ({
      Hostname: name,
      Origin: origin,
      ContainerID: container,
      Address: address,
      Version: version,
      Tombstone: removed ? 1 : 0,
    })),
  };
}

function routerReport(router: RouterStatus): GoStruct {
  return {
    Protocol: "weave",
    ProtocolMinVersion: router.protocolMinVersion,
    ProtocolMaxVersion: router.protocolMaxVersion,
    Encryption: router.encryption,
    PeerDiscovery: router.peerDiscovery,
    Name: router.name,
    NickName: router.nickname,
    Port: router.port,
    Peers: router.peers.map(peerReport),
    UnicastRoutes: router.unicastRoutes.map(({ destination, via }) => ({ Dest: destination, Via: via ?? NO_PEER })),
    BroadcastRoutes: router.broadcastRoutes.map(({ source, via }) => ({
      Source: source,
      Via: via.length === 0 ? NIL_LIST : [...via],
    })),
    Connections: router.connections.map(connectionReport),
    TerminationCount: router.terminationCount,
    Targets: [...router.targets],
    OverlayDiagnostics: mapOf(router.overlayDiagnostics),
    TrustedSubnets: [...router.trustedSubnets],
    Interface: router.interface,
    CaptureStats: mapOf(router.captureStats),
    MACs: router.macs.map(({ mac, name, nickname, lastSeenMs }) => ({
      Mac: mac,
      Name: name,
      NickName: nickname,
      LastSeen: new Date(lastSeenMs).toISOString(),
    })),
    Revoked: [...router.revoked],
  };
}

function ipamReport(ipam: IpamStatus): GoStruct {
  const { consensus } = ipam;
  return {
    Paxos: consensus ? { Elector: consensus.elector, KnownNodes: consensus.known, Quorum: consensus.quorum } : null,
    Range: ipam.range,
    RangeNumIPs: ipam.rangeSize,
    ActiveIPs: ipam.active,
    DefaultSubnet: ipam.defaultSubnet,
    Entries: listOf(
      ipam.entries.map((entry) => ({
        Token: entry.start,
        Size: entry.addresses,
        Peer: entry.name,
        Nickname: entry.nickname,
        IsKnownPeer: entry.reachable,
        Version: entry.version,
      })),
    ),
    PendingClaims: listOf(ipam.pendingClaims.map(pendingClaim)),
    PendingAllocates: listOf([...ipam.pendingAllocates]),
    Range6: ipam.range6 ?? undefined,
    Conflicts: listOf(ipam.conflicts.map(({ address, owner, peer }) => ({ Address: address, Owner: owner, Peer: peer }))),
    Strangers: listOf(ipam.strangers.map(({ peer, why }) => ({ Peer: peer, Why: why }))),
    OtherTwins: listOf(ipam.otherTwins.map(({ peer, why }) => ({ Peer: peer, Why: why }))),
  };
}

/** `owner 10.32.0.5/12` */
function pendingClaim(text: string): GoStruct {
  const space = text.lastIndexOf(" ");
  const [address = "", length = ""] = text.slice(space + 1).split("/");
  return { Ident: text.slice(0, space), CIDR: { Addr: address, PrefixLen: Number(length) } };
}

/** Empty lists were null. */
function listOf(items: GoValue[]): GoValue {
  return items.length === 0 ? NIL_LIST : items;
}

function peerReport(peer: RouterStatus["peers"][number]): GoStruct {
  return {
    Name: peer.name,
    NickName: peer.nickname,
    UID: /^[0-9a-f]{1,16}$/i.test(peer.uid) ? BigInt(`0x${peer.uid}`) : 0,
    ShortID: peer.shortId,
    Version: peer.version,
    Connections: peer.connections.map((connection) => ({
      Name: connection.name,
      NickName: connection.nickname,
      Address: connection.address,
      Outbound: connection.outbound,
      Established: connection.established,
    })),
  };
}

function connectionReport(connection: ConnectionStatus): GoStruct {
  return {
    Address: connection.address,
    Outbound: connection.outbound,
    State: connection.state,
    Info: connectionInfo(connection),
    Attrs: isLive(connection) ? attributesOf(connection) : NIL_MAP,
    Path: connection.path === null ? undefined : pathReport(connection.path),
  };
}

/** Milliseconds as numbers, shares of 0..1, times as RFC 3339. */
function pathReport(path: DataPathStatus): GoStruct {
  return {
    Transport: path.transport,
    Encrypted: path.encrypted,
    MTU: path.mtuBytes,
    RTT: path.rttMs,
    Loss: path.loss,
    Reason: path.reason,
    Since: new Date(path.sinceMs).toISOString(),
    Alternatives: path.alternatives.map((other) => ({
      Transport: other.transport,
      Encrypted: other.encrypted,
      State: other.state,
      MTU: other.mtuBytes,
      RTT: other.rttMs,
      Reason: other.reason,
      Since: new Date(other.sinceMs).toISOString(),
    })),
  };
}

function mapOf(record: Readonly<Record<string, JsonValue>>): GoMap {
  return new Map(Object.entries(record).map(([key, value]) => [key, goValue(value)]));
}

function goValue(value: JsonValue): GoValue {
  if (value === null || typeof value !== "object") return value;
  return Array.isArray(value) ? value.map(goValue) : mapOf(value as Readonly<Record<string, JsonValue>>);
}
