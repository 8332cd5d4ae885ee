// SPDX-License-Identifier: Apache-2.0
// The status model: everything the faces show of a running daemon, as plain versioned JSON. The daemon fills it in on each request; the
// renderers below `render/` turn it into text, the report and metrics. Lists are sorted by whoever fills them in.

/** Grows only when a key changes its meaning or goes away; new keys do not count. */
export const API_VERSION = 1;

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };

export const CONNECTION_STATES = ["established", "pending", "retrying", "failed", "connecting", "waiting"] as const;
export type ConnectionStateName = (typeof CONNECTION_STATES)[number];

export interface StatusModel {
  readonly apiVersion: typeof API_VERSION;
  readonly version: string;
  readonly pid: number;
  /** Wall clock, ms since 1970. */
  readonly startedAtMs: number;
  readonly ready: boolean;
  /** Health warnings for people, the gravest first; shown before everything else. */
  readonly warnings: readonly string[];
  /** What these hosts lack and nothing need be done about, behind the warnings. */
  readonly notes: readonly string[];
  readonly router: RouterStatus;
  /** null: no name service on this host. */
  readonly dns: DnsStatus | null;
  /** null: addresses are not allocated here. */
  readonly ipam: IpamStatus | null;
  /** null: there is no Docker API proxy on this host. */
  readonly proxy: ProxyStatus | null;
  /** null: Docker's plugin calls are not answered here. */
  readonly plugin: PluginStatus | null;
  /** Effective options by key, secrets masked. */
  readonly config: Readonly<Record<string, JsonValue>>;
}

export interface RouterStatus {
  /** Peer name, `66:b4:a1:85:da:65`. */
  readonly name: string;
  readonly nickname: string;
  /** 16 hex digits, new at every start. */
  readonly uid: string;
  readonly shortId: number;
  readonly port: number;
  readonly protocolMinVersion: number;
  readonly protocolMaxVersion: number;
  /** A password is set. */
  readonly encryption: boolean;
  readonly peerDiscovery: boolean;
  readonly trustedSubnets: readonly string[];
  /** As the operator wrote them. */
  readonly targets: readonly string[];
  readonly connections: readonly ConnectionStatus[];
  readonly peers: readonly PeerStatus[];
  /** Destination peer -> neighbour; ourselves are in it with the name as `via` absent. */
  readonly unicastRoutes: readonly { readonly destination: string; readonly via: string | null }[];
  /** Source peer -> the neighbours its broadcasts are passed to. */
  readonly broadcastRoutes: readonly { readonly source: string; readonly via: readonly string[] }[];
  /** Connections that ended so far, those to ourselves not counted. */
  readonly terminationCount: number;
  /** Peers whose key is refused everywhere. */
  readonly revoked: readonly string[];
  /** What switches the frames, in words: `weave (via BPF)`. */
  readonly interface: string;
  /** Container addresses the switch has learnt. */
  readonly macs: readonly MacStatus[];
  /** What each transport has to say of itself, by its name. */
  readonly overlayDiagnostics: Readonly<Record<string, JsonValue>>;
  readonly captureStats: Readonly<Record<string, number>>;
}

export interface IpamStatus {
  /** `ready`, `idle`, `awaiting consensus (quorum: 2, known: 1)`, … */
  readonly status: string;
  readonly range: string;
  readonly range6: string | null;
  readonly rangeSize: number;
  readonly defaultSubnet: string;
  /** Addresses in use on this host. */
  readonly active: number;
  /** Who owns how much, this host first; empty: there is no ring yet. */
  readonly shares: readonly {
    readonly name: string;
    readonly nickname: string;
    readonly addresses: number;
    readonly reachable: boolean;
  }[];
  readonly entries: readonly {
    readonly start: string;
    readonly addresses: number;
    readonly name: string;
    readonly nickname: string;
    readonly reachable: boolean;
    readonly version: number;
  }[];
  /** null: there is a ring. */
  readonly consensus: { readonly elector: boolean; readonly known: number; readonly quorum: number } | null;
  /** `owner subnet` */
  readonly pendingAllocates: readonly string[];
  /** `owner address/length` */
  readonly pendingClaims: readonly string[];
  /** Peers from which these wait for an answer. */
  readonly waitingFor: readonly { readonly name: string; readonly nickname: string }[];
  /** Addresses in use here and, as the ring says, on another peer. */
  readonly conflicts: readonly { readonly address: string; readonly owner: string; readonly peer: string }[];
  /** Peers with another range or ring. */
  readonly strangers: readonly { readonly peer: string; readonly why: string }[];
  /** Peers that are away for longer than `--reclaim-after`, where it cannot be told whether they are dead. */
  readonly undecided: readonly { readonly name: string; readonly nickname: string }[];
  /** Peers with the same ring, but another IPv6 range. */
  readonly otherTwins: readonly { readonly peer: string; readonly why: string }[];
}

/** One line of `status connections`: a live connection, or a target on which we are working. */
export interface ConnectionStatus {
  /** `ip:port` of the other end; a target that was never resolved stands here as it was given. */
  readonly address: string;
  readonly outbound: boolean;
  readonly state: ConnectionStateName;
  readonly peer: { readonly name: string; readonly nickname: string } | null;
  /** `fastdp`, `sleeve`, `none` (connected, but no data path); empty while there is no connection. */
  readonly overlay: string;
  readonly passwordUsed: boolean;
  /** Frames are encrypted on this connection. Control traffic always is. */
  readonly encrypted: boolean;
  /** Last error, or why this is not the best path; empty when all is well. */
  readonly reason: string;
  /** Wall-clock ms since when it has been in this state; since when on this transport, when that is what `reason` is about. */
  readonly sinceMs: number;
  /** Wall-clock ms of the next attempt; null: none is planned. */
  readonly retryAtMs: number | null;
  /** `stale`: the control connection is away and the other kernel still answers. */
  readonly control: "up" | "stale" | "none";
  readonly rttMs: number | null;
  readonly mtuBytes: number | null;
  /** The data path in full; null while there is no connection. */
  readonly path: DataPathStatus | null;
}

/** How frames reach a neighbour, and how else they could. */
export interface DataPathStatus {
  readonly transport: "fastdp" | "sleeve" | "none";
  readonly encrypted: boolean;
  /** Largest container packet. */
  readonly mtuBytes: number | null;
  readonly rttMs: number | null;
  /** Share of recent probes without an answer, 0..1. */
  readonly loss: number;
  /** Why it is not the best one; empty when it is. */
  readonly reason: string;
  /** Wall-clock ms since when this transport is in use. */
  readonly sinceMs: number;
  /** Best first. */
  readonly alternatives: readonly {
    readonly transport: "fastdp" | "sleeve";
    readonly encrypted: boolean;
    readonly state: "up" | "probing" | "down" | "unavailable";
    readonly reason: string;
    readonly sinceMs: number;
    readonly mtuBytes: number | null;
    readonly rttMs: number | null;
  }[];
}

export interface PeerStatus {
  readonly name: string;
  readonly nickname: string;
  readonly uid: string;
  readonly shortId: number;
  readonly version: number;
  readonly connections: readonly {
    readonly name: string;
    readonly nickname: string;
    readonly address: string;
    readonly outbound: boolean;
    readonly established: boolean;
  }[];
}

export interface MacStatus {
  readonly mac: string;
  /** The peer it lives on. */
  readonly name: string;
  readonly nickname: string;
  readonly lastSeenMs: number;
}

/** The name service; the names themselves are asked for apart, because there may be many. */
export interface DnsStatus {
  /** With a trailing dot. */
  readonly domain: string;
  /** Servers that are asked for all other names. */
  readonly upstream: readonly string[];
  /** `ip:port`; empty: nothing answers now. */
  readonly address: string;
  readonly ttlSeconds: number;
  /** Of the whole network. */
  readonly entries: number;
  /** Of this host. */
  readonly ownEntries: number;
}

/** The Docker API proxy. */
export interface ProxyStatus {
  /** `unix:///run/weave/weave.sock`, `tcp://0.0.0.0:12375`; the first is the one for clients of this host. */
  readonly addresses: readonly string[];
}

/** The Docker plugins. */
export interface PluginStatus {
  /** Drivers by the names that `docker network create -d` takes: of a swarm or cluster, and of this host. */
  readonly driverName: string;
  readonly meshDriverName: string;
  readonly socket: string;
  readonly meshSocket: string;
  /** Networks of the managed plugin get the route for multicast. */
  readonly v2Multicast: boolean;
  /** Containers get names. */
  readonly dns: boolean;
  /** Of the network `weave`; empty: addresses are not allocated here. */
  readonly defaultSubnet: string;
  /** Containers on this host's networks. */
  readonly endpoints: number;
}

/** One name at one address. */
export interface NameStatus {
  /** With a trailing dot. */
  readonly name: string;
  readonly address: string;
  /** Full container id, or what else it is known by. */
  readonly container: string;
  /** Peer name. */
  readonly origin: string;
  readonly version: number;
  readonly removed: boolean;
}

/** What a poll needs, without the cost of the whole model. */
export interface Health {
  readonly apiVersion: typeof API_VERSION;
  readonly ready: boolean;
  readonly version: string;
  readonly pid: number;
  readonly name: string;
  readonly nickname: string;
}

/** One attached interface: a container's, or the host's own (`weave:expose`). */
export interface PsEntry {
  /** Full container id, `weave:expose`, or what else the interface is known by. */
  readonly id: string;
  /** The word of the request that named it; null when everything was asked for. */
  readonly asked: string | null;
  readonly mac: string;
  /** `ip/length` */
  readonly addresses: readonly string[];
}
