// SPDX-License-Identifier: Apache-2.0
// What the mesh needs from the world (authenticated links, data paths) and what it tells the world (routes, views).
// The mesh decides; sockets, sealing and the kernel are behind these ports, so a simulation can stand in for them.
import type { PeerName, ShortId } from "./peer-name.ts";

/** What each end says of itself inside the handshake, so it is authenticated by the session. Unknown keys are ignored. */
export interface Hello {
  readonly name: PeerName;
  readonly nickname: string;
  /** 16 hex digits, new at every process start. */
  readonly uid: string;
  readonly shortId: ShortId;
  /** X25519 public key the handshake proved, 32 bytes. Filled in by the transport, never by the sender's words. */
  readonly publicKey: Uint8Array;
  /** TCP port the sender listens on; its fast datapath is the UDP port above. */
  readonly port: number;
  /** 32 random bits of this attempt; both together decide which of two simultaneous connections stays. */
  readonly nonce: number;
  /** The sender counts the receiver's address among its trusted subnets. */
  readonly trusted: boolean;
  /** Transports the sender can use, best first: "fastdp", "wireguard", "sleeve". */
  readonly transports: readonly string[];
}

export interface LinkEvents {
  /** One whole message, decrypted. The buffer belongs to the receiver. */
  message(bytes: Uint8Array): void;
  /** Once, at the end, whoever ended it. Nothing follows. */
  closed(reason: string): void;
}

/** One authenticated control connection. */
export interface Link {
  /** The other end's `ip:port` on the underlay. */
  readonly remoteAddress: string;
  readonly localAddress: string;
  readonly outbound: boolean;
  /** A password protected the handshake. Control traffic is encrypted in any case. */
  readonly passwordUsed: boolean;
  /** The other end's, authenticated. */
  readonly hello: Hello;
  readonly sentHello: Hello;
  /** A secret only the two ends of this connection have, 32 bytes, equal at both; another for each use. It is given out once and forgotten,
   *  so that nothing derived from it can be derived again later. undefined: taken before, or the connection is over. */
  takeSecret(use: PathSecret): Uint8Array | undefined;
  /** Delivery begins here; what came earlier is held until now. Call once. */
  start(events: LinkEvents): void;
  /** Queues one message. Messages keep their order. Ignored after close. */
  send(message: Uint8Array): void;
  /** Bytes accepted by `send` and not yet taken by the network. */
  queuedBytes(): number;
  /** Tells the other end why, then closes. Its `closed` gets the reason. */
  refuse(reason: string): void;
  close(): void;
}

/** What the data paths use a connection's secrets for. */
export const PATH_SECRETS = ["sleeve", "wireguard"] as const;
export type PathSecret = (typeof PATH_SECRETS)[number];

/** One control connection as the data paths see it: here both ends agree on how frames shall travel. */
export interface PathSession {
  /** We dialled; the other end says the opposite. */
  readonly initiator: boolean;
  /** Our own address on it, and the other end's as we see it, without ports. */
  readonly localAddress: string;
  readonly remoteAddress: string;
  takeSecret(use: PathSecret): Uint8Array | undefined;
  /** To the other end's `DataPaths.received`, in order. */
  send(payload: Uint8Array): void;
}

/** One attempt to reach a target. */
export interface Transport {
  /** Resolves the name (each time anew), connects within 5 s, runs the handshake. Calls `done` once, never before it returns.
   *  Disposing cancels; `done` is then not called. */
  dial(target: string, hello: HelloSource, done: (result: DialResult) => void): Disposable;
}
export type DialResult = { readonly link: Link } | { readonly error: string; readonly remoteAddress?: string };

/** Our own hello for a connection with this remote `ip:port`. */
export type HelloSource = (remoteAddress: string) => Omit<Hello, "publicKey">;

/** How soon the answer has to be told: as soon as it is there, for which it is looked for again and again, or at the next `look` or up to 200 ms late,
 *  which costs an idle host far less. */
export type ProbeManner = "urgent" | "calm";

/** The data path to one direct neighbour, as the overlay sees it. */
export interface DataPaths {
  /** Makes the neighbour known to the switch, so that its frames are taken and probes are answered. Called again when facts change.
   *  Returns why no data may flow (fail closed), or undefined. */
  open(neighbour: Neighbour): string | undefined;
  /** The neighbour is gone: its frames are refused from now on. */
  close(name: PeerName): void;
  /** The other end's data paths say something. The bytes are a peer's: whatever they are, nothing is thrown. */
  received(name: PeerName, session: PathSession, payload: Uint8Array): void;
  /** Asks for a sign of life, which arrives at `Mesh.pathReply`. Lost probes are silent. */
  probe(name: PeerName, manner: ProbeManner): void;
  /** Tells of answers that have arrived. */
  look(): void;
  /** Frames moved so far, for signs of life without a probe. */
  activity(name: PeerName): { readonly received: number; readonly sent: number };
}
export interface Neighbour {
  readonly name: PeerName;
  readonly nickname: string;
  readonly shortId: ShortId;
  /** The key it proved to hold, 32 bytes. */
  readonly publicKey: Uint8Array;
  /** Underlay address without port. */
  readonly address: string;
  /** UDP port of its fast datapath; the sleeve's is the one below. */
  readonly dataPort: number;
  readonly passwordUsed: boolean;
  /** Both ends trust each other's network. */
  readonly trusted: boolean;
  readonly transports: readonly string[];
  /** undefined: its control connection is away. */
  readonly session: PathSession | undefined;
}

/** Where frames go. Peers without a route are absent. Computed over established, symmetric connections. */
export interface Routes {
  /** Destination peer -> neighbour to hand the frame to. */
  readonly unicast: ReadonlyMap<PeerName, PeerName>;
  /** Source peer (ourselves included) -> our place in its broadcast tree. */
  readonly trees: ReadonlyMap<PeerName, { readonly parent: PeerName | undefined; readonly children: readonly PeerName[] }>;
  readonly shortIds: ReadonlyMap<PeerName, ShortId>;
}

export type ConnectionState = "connecting" | "retrying" | "failed" | "waiting" | "pending" | "established";

/** One line of `status connections`. */
export interface ConnectionView {
  readonly address: string;
  readonly outbound: boolean;
  readonly state: ConnectionState;
  readonly peer?: { readonly name: PeerName; readonly nickname: string };
  /** Last error, or why no data flows; empty when all is well. */
  readonly reason: string;
  /** Wall-clock ms since when it has been in this state. */
  readonly sinceMs: number;
  /** Wall-clock ms of the next attempt; undefined: none is planned. */
  readonly retryAtMs?: number;
  readonly passwordUsed: boolean;
  readonly trusted: boolean;
  /** "up", "stale" (the control connection is away, the kernel still answers) or "none" while dialling. */
  readonly control: "up" | "stale" | "none";
  readonly rttMs?: number;
}
export interface PeerView {
  readonly name: PeerName;
  readonly nickname: string;
  readonly uid: string;
  readonly shortId: ShortId;
  readonly version: number;
  readonly connections: readonly {
    readonly peer: PeerName;
    readonly nickname: string;
    readonly address: string;
    readonly outbound: boolean;
    readonly established: boolean;
  }[];
}
/** Everything the faces show of the mesh; plain values, made anew on each call, sorted. */
export interface MeshView {
  readonly self: { readonly name: PeerName; readonly nickname: string; readonly uid: string; readonly shortId: ShortId };
  readonly peers: readonly PeerView[];
  readonly connections: readonly ConnectionView[];
  readonly targets: readonly string[];
  readonly routes: Routes;
  readonly revoked: readonly string[];
  /** Health warnings for people: cloned identity, duplicate names, short id space full, ... */
  readonly warnings: readonly string[];
  /** Connections that ended so far, those to ourselves not counted. */
  readonly terminations: number;
}

/** A gossip channel, as other rooms see it. Merges are commutative, associative and idempotent. */
export interface Gossip {
  /** To every peer of the mesh, along our broadcast tree; missed ones are repaired by the digests. */
  broadcast(delta: Uint8Array): void;
  /** To one peer, over any control path; false when there is no route. */
  unicast(peer: PeerName, message: Uint8Array): boolean;
}
export interface GossipHandler {
  /** Merges a delta; returns what was new, to be passed on, or undefined. @throws {ProtocolError} unreadable: contained, reported */
  merge(from: PeerName, delta: Uint8Array): Uint8Array | undefined;
  received(from: PeerName, message: Uint8Array): void;
  /** A digest of the state, compared with neighbours from time to time; equal states have equal digests. */
  digest(): Uint8Array;
  /** What somebody with that digest lacks (the whole state for an empty one); undefined when nothing. */
  missing(digest: Uint8Array): Uint8Array | undefined;
}
