// SPDX-License-Identifier: Apache-2.0
// One peer we are directly connected to: the control connection and the data path to it, which live and die apart.
//   control: up (link) or stale (the peer's daemon is away, its kernel still forwards)
//   path:    established when our probes are answered and the peer says the same; else pending, with the reason
import type { Instant } from "../runtime/clock.ts";
import { ipOf } from "./address.ts";
import { encodeMessage } from "./codec.ts";
import { Latency } from "./latency.ts";
import type { Message } from "./message.ts";
import type { PeerName, ShortId } from "./peer-name.ts";
import type { Hello, Link, Neighbour as PathFacts, PathSession } from "./ports.ts";
import type { Prober } from "./prober.ts";
import type { ConnectionEntry } from "./record.ts";

/** Messages that can be repaired later are not sent into a queue longer than this. */
const QUEUE_LIMIT_BYTES = 512 * 1024;

/** What stays known of a neighbour while there is no connection to it. */
export interface Acquaintance {
  readonly name: PeerName;
  readonly nickname: string;
  readonly uid: string;
  readonly key: string;
  readonly shortId: ShortId;
  readonly port: number;
  /** The other end's `ip:port`. */
  readonly address: string;
  readonly outbound: boolean;
  readonly passwordUsed: boolean;
  /** Both ends trust the other's network. */
  readonly trusted: boolean;
  readonly transports: readonly string[];
}

export class Neighbour {
  readonly name: PeerName;
  facts: Acquaintance;
  /** undefined: stale. */
  link: Link | undefined;
  /** The same connection as the data paths know it; a stale one stays until the next. */
  session: PathSession | undefined;
  /** The other end has admitted this connection, or did so before it restarted. */
  welcomed = false;
  /** Why no data may flow at all, from `DataPaths.open`. */
  blocked: string | undefined;
  /** Our probes are answered. */
  pathUp = false;
  /** The neighbour says that its probes are answered. */
  remotePathUp = false;
  /** Since when it has been connected anew without having said so. */
  remoteSince: Instant | undefined;
  /** It said that its probes are not answered, and was asked again. */
  doubted: Disposable | undefined;
  /** Last answer to a path probe of ours. */
  answeredAt: Instant = Number.NEGATIVE_INFINITY;
  /** As last told. */
  wasEstablished = false;
  /** The path was lost, and a ping on the control connection has not been answered since. */
  isCut = false;
  /** Last message on the control connection. */
  heardAt: Instant;
  /** Wall-clock ms of the last change of `established` or of the control connection. */
  sinceMs: number;
  /** Sends fell out of a full queue: digests go out once it has drained. */
  needsRepair = false;
  /** It said that it leaves for good. */
  hasLeft = false;
  readonly latency = new Latency();
  readonly path: Prober;
  readonly ping: Prober;
  staleTimer: Disposable | undefined;

  constructor(facts: Acquaintance, probers: { path: Prober; ping: Prober }, times: { now: Instant; wallMs: number }) {
    this.name = facts.name;
    this.facts = facts;
    this.path = probers.path;
    this.ping = probers.ping;
    this.heardAt = times.now;
    this.sinceMs = times.wallMs;
  }

  get established(): boolean {
    return this.welcomed && this.blocked === undefined && this.pathUp && this.remotePathUp;
  }

  /** Our half of the connection, as our record lists it; undefined while the other end has not admitted it. */
  entry(): ConnectionEntry | undefined {
    if (!this.welcomed) return undefined;
    const { address, outbound } = this.facts;
    return {
      peer: this.name,
      address,
      outbound,
      established: this.established,
      cut: this.isCut,
      latencyClass: this.latency.class,
    };
  }

  /** What the data path has to know; `shortId` from its newest record. */
  pathFacts(shortId: ShortId): PathFacts {
    const { name, nickname, key, port, address, passwordUsed, trusted, transports } = this.facts;
    return {
      name,
      nickname,
      shortId,
      publicKey: Uint8Array.fromHex(key),
      address: ipOf(address),
      dataPort: port + 1,
      passwordUsed,
      trusted,
      transports,
      session: this.session,
    };
  }

  /** Why it is not established; empty when it is. */
  reason(): string {
    if (this.blocked !== undefined) return this.blocked;
    if (!this.welcomed) return "waiting for the peer to admit the connection";
    if (!this.pathUp) return "no answer on any data path";
    return this.remotePathUp ? "" : "the peer gets no answer on its data path";
  }

  send(message: Message): void {
    this.link?.send(encodeMessage(message));
  }

  /** Sends what digests can repair, unless the queue is long. False: not sent. */
  sendBulk(bytes: Uint8Array): boolean {
    if (!this.link) return false;
    if (this.link.queuedBytes() > QUEUE_LIMIT_BYTES) {
      this.needsRepair = true;
      return false;
    }
    this.link.send(bytes);
    return true;
  }
}

/** `link` as the data paths know it. */
export function pathSessionOf(link: Link): PathSession {
  return {
    initiator: link.outbound,
    localAddress: ipOf(link.localAddress),
    remoteAddress: ipOf(link.remoteAddress),
    takeSecret: (use) => link.takeSecret(use),
    send: (payload) => link.send(encodeMessage({ type: "paths", payload })),
  };
}

/** Who is at the other end of `link`. */
export function acquaintanceOf(link: Link): Acquaintance {
  const { hello, sentHello } = link;
  return {
    name: hello.name,
    nickname: hello.nickname,
    uid: hello.uid,
    key: hello.publicKey.toHex(),
    shortId: hello.shortId,
    port: hello.port,
    address: link.remoteAddress,
    outbound: link.outbound,
    passwordUsed: link.passwordUsed,
    trusted: hello.trusted && sentHello.trusted,
    transports: commonTransports(hello, sentHello),
  };
}

function commonTransports(theirs: Hello, ours: Hello): string[] {
  return ours.transports.filter((transport) => theirs.transports.includes(transport));
}
